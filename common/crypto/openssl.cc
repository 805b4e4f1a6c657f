#include "common/crypto/openssl.h"

#include <openssl/err.h>

#include <cstdio>
#include <cstdlib>

#include "absl/strings/str_cat.h"
#include "common/base/status.h"

namespace nark {

absl::Status OpenSslError(std::string_view what) {
  // The first error is the cause; those after it are its callers' complaints.
  const char* cause = ERR_reason_error_string(ERR_peek_error());
  absl::Status status = absl::InternalError(
      absl::StrCat(Absl(what), ": ", cause == nullptr ? "no cause given by OpenSSL" : cause));
  ERR_clear_error();
  return status;
}

absl::Status OpenSslRefusal(absl::StatusCode code, std::string_view what) {
  ERR_clear_error();
  return absl::Status(code, Absl(what));
}

void CheckOpenSsl(int ok, const char* what) {
  if (ok == 1) return;
  std::fprintf(stderr, "OpenSSL cannot be used: %s\n", what);
  ERR_print_errors_fp(stderr);
  std::abort();
}

}  // namespace nark
