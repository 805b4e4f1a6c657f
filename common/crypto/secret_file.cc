#include "common/crypto/secret_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "absl/strings/str_cat.h"

namespace nark {
namespace {

absl::Status CannotRead(int error, const std::string& path) {
  std::string message = absl::StrCat("cannot read ", path, ": ", std::strerror(error));
  if (error == ENOENT) return absl::NotFoundError(message);
  if (error == EACCES || error == EPERM) return absl::PermissionDeniedError(message);
  return absl::InternalError(message);
}

// Into memory of the file's size, so that no growing buffer leaves copies behind.
absl::StatusOr<SecretBytes> ReadAll(int fd, const std::string& path, size_t limit_bytes) {
  struct stat info {};
  if (::fstat(fd, &info) != 0) return CannotRead(errno, path);
  if (!S_ISREG(info.st_mode)) return absl::InvalidArgumentError(path + " is not a regular file");
  if (static_cast<uint64_t>(info.st_size) > limit_bytes) {
    return absl::ResourceExhaustedError(
        absl::StrCat(path, " is larger than ", limit_bytes, " bytes"));
  }
  SecretBytes content(static_cast<size_t>(info.st_size));
  MutableByteView rest = content.RevealMutable();
  while (!rest.empty()) {
    ssize_t n = ::read(fd, rest.data(), rest.size());
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return CannotRead(errno, path);
    if (n == 0) return absl::InternalError("cannot read " + path + ": it shrank meanwhile");
    rest = rest.subspan(static_cast<size_t>(n));
  }
  return content;
}

}  // namespace

absl::StatusOr<SecretBytes> ReadSecretFile(const std::string& path, size_t limit_bytes) {
  int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) return CannotRead(errno, path);
  absl::StatusOr<SecretBytes> content = ReadAll(fd, path, limit_bytes);
  ::close(fd);
  return content;
}

}  // namespace nark
