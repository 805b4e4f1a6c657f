#ifndef NARK_SECURESPACE_TPM_COUNTER_H_
#define NARK_SECURESPACE_TPM_COUNTER_H_

#include <cstdint>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/base/bytes.h"
#include "common/crypto/secret_bytes.h"
#include "securespace/rollback_counter.h"
#include "securespace/tpm_binding.h"

namespace nark::securespace {

// A TPM 2.0 NV index of the type counter. It can be read and incremented with its
// authorisation value alone, in HMAC sessions, so that the value itself never passes
// the bus again and an answer made up by whoever sits on the bus is noticed. The TPM's
// owner can delete it: made anew it starts above every counter that this TPM ever had.
//
// `authorisation` is 32 bytes. One thread only.
class TpmCounter final : public RollbackCounter {
 public:
  // Defines a counter at the first free index and counts once, as an index that was
  // never written has no value. INVALID_ARGUMENT where `tcti` is none that CheckTcti
  // takes, UNAVAILABLE where the TPM cannot be reached, FAILED_PRECONDITION
  // where its owner has set an authorisation or it has no room.
  static absl::StatusOr<std::unique_ptr<TpmCounter>> Define(const std::string& tcti,
                                                            const SecretBytes& authorisation);
  // FAILED_PRECONDITION where the index is not the one that was defined.
  static absl::StatusOr<std::unique_ptr<TpmCounter>> Open(const TpmBinding& binding,
                                                          const SecretBytes& authorisation);
  ~TpmCounter() override;

  const TpmBinding& binding() const;
  Digest identity() const override;
  absl::StatusOr<uint64_t> Read() override;
  absl::Status Increment() override;

 private:
  class Connection;
  TpmCounter(std::unique_ptr<Connection> connection, TpmBinding binding, const SecretBytes& auth);

  std::unique_ptr<Connection> connection_;
  TpmBinding binding_;
  Digest identity_;
};

}  // namespace nark::securespace

#endif  // NARK_SECURESPACE_TPM_COUNTER_H_
