#ifndef NARK_NARKCTL_TOKEN_FLAGS_H_
#define NARK_NARKCTL_TOKEN_FLAGS_H_

#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "common/cli/program.h"
#include "common/pkcs11/token_keys.h"

namespace nark::narkctl {

// How a token is reached, as written. Not the PIN: that is in a file.
struct TokenFlags {
  std::string module;
  std::string pin_file;
  std::string label;
};

// Declares --pkcs11-module and --pkcs11-pin-file; they must outlive the command.
void DeclareToken(TokenFlags& flags, cli::Command& command);
// And --pkcs11-token, for where new keys go.
void DeclareNewToken(TokenFlags& flags, cli::Command& command);
// And --pkcs11-token, which has to be named.
void DeclareThisToken(TokenFlags& flags, cli::Command& command);

// Null where no module is named.
absl::StatusOr<std::unique_ptr<pkcs11::TokenKeys>> OpenToken(const TokenFlags& flags,
                                                             pkcs11::Access access);

}  // namespace nark::narkctl

#endif  // NARK_NARKCTL_TOKEN_FLAGS_H_
