#ifndef NARK_COMMON_OBJECT_SIGNER_CACHE_H_
#define NARK_COMMON_OBJECT_SIGNER_CACHE_H_

#include <map>
#include <string_view>

#include "absl/base/thread_annotations.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "common/base/bytes.h"
#include "common/base/clock.h"
#include "common/crypto/certificate.h"
#include "common/object/session.h"
#include "nark/v1/envelope.pb.h"

namespace nark {

// Remembers certificate chains that verified, by their bytes, so that the next
// object of the same signer costs one signature instead of parsing and verifying
// the chain again: for who verifies many objects of few signers. What it says is
// what VerifyEnvelopeChain says; validity periods are looked at each time. Holds
// at most 64 chains. Thread-safe.
class SignerCache {
 public:
  // As VerifyEnvelopeChain, at `now`, without revocation.
  absl::StatusOr<Certificate> VerifyEnvelope(const v1::SignedEnvelope& envelope,
                                             std::string_view payload_type, const Certificate& root,
                                             CertificateRole leaf_role, Timestamp now);

  size_t size() const;

 private:
  struct Chain {
    Certificate leaf;
    Timestamp not_before;  // of all its certificates and the root
    Timestamp not_after;
  };
  mutable absl::Mutex mutex_;
  std::map<Digest, Chain> chains_ ABSL_GUARDED_BY(mutex_);
};

// VerifyVoucher with a memory for tills.
absl::StatusOr<VerifiedVoucher> VerifyVoucher(const v1::SignedEnvelope& envelope,
                                              const VerifiedSession& session, Timestamp now,
                                              SignerCache& tills);

// The same of what was sold before, for who settles it: its till's certificate is
// judged at the voucher's issue time, if that is before `now`. A purchase must stay
// refundable after the till's certificate expired.
absl::StatusOr<VerifiedVoucher> VerifySoldVoucher(const v1::SignedEnvelope& envelope,
                                                  const VerifiedSession& session, Timestamp now,
                                                  SignerCache& tills);

}  // namespace nark

#endif  // NARK_COMMON_OBJECT_SIGNER_CACHE_H_
