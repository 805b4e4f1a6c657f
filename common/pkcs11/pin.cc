#include "common/pkcs11/pin.h"

#include <sys/stat.h>

#include <cstdlib>

#include "absl/strings/str_cat.h"
#include "common/base/status.h"
#include "common/crypto/secret_file.h"

namespace nark::pkcs11 {
namespace {

constexpr size_t kMaxPinBytes = 256;

}  // namespace

absl::StatusOr<SecretBytes> ReadPin(const std::string& path) {
  struct stat info {};
  const char* credentials = std::getenv("CREDENTIALS_DIRECTORY");
  const bool credential = credentials != nullptr && *credentials != '\0' &&
                          path.starts_with(std::string(credentials) + "/");
  // Of a credential systemd shows the mask of its access list as the group's rights.
  if (!credential && ::stat(path.c_str(), &info) == 0 && (info.st_mode & 077) != 0) {
    return absl::FailedPreconditionError(
        absl::StrCat(path, ": others may open the file with the PIN; chmod 0600 it"));
  }
  ASSIGN_OR_RETURN(SecretBytes content, ReadSecretFile(path, kMaxPinBytes));
  ByteView pin = content.Reveal();
  if (!pin.empty() && pin.back() == '\n') pin = pin.first(pin.size() - 1);
  if (pin.empty()) return absl::InvalidArgumentError(path + " holds no PIN");
  return SecretBytes::CopyOf(pin);
}

}  // namespace nark::pkcs11
