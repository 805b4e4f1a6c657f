#ifndef NARK_COMMON_CRYPTO_CERTIFICATE_PARSED_H_
#define NARK_COMMON_CRYPTO_CERTIFICATE_PARSED_H_

#include <atomic>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "common/crypto/certificate.h"
#include "common/crypto/openssl.h"
#include "common/crypto/role_extension.h"

namespace nark {

// What parsing leaves; nothing of it changes afterwards, except what is remembered
// of a successful check.
struct Certificate::Parsed {
  UniqueX509 x509;
  Bytes der;
  PublicKey public_key;
  std::string subject;
  Timestamp not_before;
  Timestamp not_after;
  std::string serial_hex;
  RoleContent content;
  mutable std::atomic<bool> signed_itself{false};
};

struct RevocationList::Parsed {
  UniqueCrl crl;
  Bytes der;
  Timestamp this_update;
  Timestamp next_update;
  uint64_t number = 0;
  std::vector<std::string> serials_hex;  // sorted
  // The id of the key under which the signature has been found to verify.
  mutable absl::Mutex mutex;
  mutable std::optional<Digest> verified_by ABSL_GUARDED_BY(mutex);
};

}  // namespace nark

#endif  // NARK_COMMON_CRYPTO_CERTIFICATE_PARSED_H_
