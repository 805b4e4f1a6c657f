#ifndef NARK_COMMON_PKCS11_KEY_URI_H_
#define NARK_COMMON_PKCS11_KEY_URI_H_

#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "common/base/bytes.h"

namespace nark::pkcs11 {

enum class KeyClass { kPrivate, kSecret };

// A key in a token, as a PKCS#11 URI (RFC 7512) names it:
//   pkcs11:token=LABEL;object=LABEL;type=private;id=%AB...
// with `type` "private" or "secret-key" and the 32 bytes of CKA_ID. The id is what the key
// is found by; the object's label is for people.
struct KeyUri {
  std::string token;   // 1 to 32 bytes
  std::string object;  // 1 to 100 bytes
  KeyClass key_class = KeyClass::kPrivate;
  Digest id{};

  std::string ToString() const;
  // Takes exactly what ToString makes. INVALID_ARGUMENT.
  static absl::StatusOr<KeyUri> Parse(std::string_view text);
};

}  // namespace nark::pkcs11

#endif  // NARK_COMMON_PKCS11_KEY_URI_H_
