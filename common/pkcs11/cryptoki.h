#ifndef NARK_COMMON_PKCS11_CRYPTOKI_H_
#define NARK_COMMON_PKCS11_CRYPTOKI_H_

#include <p11-kit-1/p11-kit/pkcs11.h>

#include <string>

#include "absl/status/status.h"

namespace nark::pkcs11 {

// Of PKCS#11 3.0 (OASIS, June 2020), section 2.3; newer than the header.
inline constexpr CK_KEY_TYPE kEcMontgomery = 0x41;
inline constexpr CK_MECHANISM_TYPE kEcMontgomeryKeyPairGen = 0x1056;

// Of a result: "CKR_PIN_INCORRECT", or its number.
std::string NameOf(CK_RV result);

// Whether the request itself was refused, so that asking again is of no use. Anything else
// may be a token, a session or a handle that is gone.
bool IsRefusal(CK_RV result);

// Of a result that is not CKR_OK: UNAUTHENTICATED for a PIN, FAILED_PRECONDITION for
// another refusal, else UNAVAILABLE. One line: `what` and the result's name.
absl::Status ToStatus(CK_RV result, const std::string& what);

}  // namespace nark::pkcs11

#endif  // NARK_COMMON_PKCS11_CRYPTOKI_H_
