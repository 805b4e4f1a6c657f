#include "narkctl/token_flags.h"

namespace nark::narkctl {

void DeclareToken(TokenFlags& flags, cli::Command& command) {
  command
      .Text("--pkcs11-module", &flags.module,
            "the PKCS#11 library of a token that holds keys of the pool")
      .Text("--pkcs11-pin-file", &flags.pin_file, "file with its PIN, mode 0600");
}

void DeclareNewToken(TokenFlags& flags, cli::Command& command) {
  DeclareToken(flags, command);
  command.Text("--pkcs11-token", &flags.label,
               "label of the token for new keys [that of the pool's signing key]");
}

void DeclareThisToken(TokenFlags& flags, cli::Command& command) {
  DeclareToken(flags, command);
  command.Text("--pkcs11-token", &flags.label, "label of the token", cli::Need::kRequired);
}

absl::StatusOr<std::unique_ptr<pkcs11::TokenKeys>> OpenToken(const TokenFlags& flags,
                                                             pkcs11::Access access) {
  return pkcs11::TokenKeys::FromFiles(flags.module, flags.pin_file, access);
}

}  // namespace nark::narkctl
