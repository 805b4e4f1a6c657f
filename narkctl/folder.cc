#include "narkctl/folder.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <system_error>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/base/status.h"
#include "common/base/storage.h"
#include "common/crypto/random.h"
#include "common/crypto/secret_file.h"

namespace nark::narkctl {
namespace {

absl::Status Errno(int error, std::string_view what, const std::string& path) {
  const std::string message = absl::StrCat(Absl(what), " ", path, ": ", std::strerror(error));
  return error == EACCES || error == EPERM || error == EROFS ? absl::PermissionDeniedError(message)
         : error == ENOENT                                   ? absl::NotFoundError(message)
                                                             : absl::InternalError(message);
}

// "a/b/" is "a/b".
std::string WithoutSlash(std::string path) {
  while (path.size() > 1 && path.back() == '/') path.pop_back();
  return path;
}

std::string ParentOf(const std::string& path) {
  const std::string parent = std::filesystem::path(path).parent_path();
  return parent.empty() ? "." : parent;
}

absl::Status SyncFolder(const std::string& path) {
  const int fd = ::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (fd < 0) return Errno(errno, "cannot open", path);
  const int result = ::fsync(fd);
  const int error = errno;
  ::close(fd);
  return result == 0 ? absl::OkStatus() : Errno(error, "cannot sync", path);
}

}  // namespace

absl::StatusOr<NewFolder> NewFolder::Create(const std::string& path) {
  const std::string target = WithoutSlash(path);
  std::error_code error;
  if (target.empty()) return absl::InvalidArgumentError("the folder's name is empty");
  if (std::filesystem::exists(target, error) &&
      !(std::filesystem::is_directory(target, error) && std::filesystem::is_empty(target, error))) {
    return absl::AlreadyExistsError(
        absl::StrCat(target, " exists and is not an empty folder; name a new one"));
  }
  std::filesystem::create_directories(ParentOf(target), error);
  if (error) return Errno(error.value(), "cannot create", ParentOf(target));
  std::array<uint8_t, 6> suffix;
  RETURN_IF_ERROR(SystemRandom().Fill(suffix));
  std::string filling = absl::StrCat(target, ".new-", ToHex(suffix));
  if (::mkdir(filling.c_str(), 0700) != 0) return Errno(errno, "cannot create", filling);
  return NewFolder(target, std::move(filling));
}

NewFolder::NewFolder(NewFolder&& other) noexcept
    : path_(std::move(other.path_)), filling_(std::exchange(other.filling_, "")) {}

NewFolder::~NewFolder() {
  std::error_code ignored;
  if (!filling_.empty()) std::filesystem::remove_all(filling_, ignored);
}

std::string NewFolder::PathOf(const std::string& name) const {
  return absl::StrCat(filling_, "/", name);
}

absl::Status NewFolder::MakeSubfolder(const std::string& name) const {
  const std::string path = PathOf(name);
  return ::mkdir(path.c_str(), 0700) == 0 ? absl::OkStatus() : Errno(errno, "cannot create", path);
}

absl::Status NewFolder::Finish() {
  RETURN_IF_ERROR(SyncFolder(filling_));
  // Replaces an empty folder; fails where something came into it meanwhile.
  if (::rename(filling_.c_str(), path_.c_str()) != 0) {
    return Errno(errno, "cannot create", path_);
  }
  filling_.clear();
  return SyncFolder(ParentOf(path_));
}

absl::Status WriteIdentity(const SigningIdentity& identity, const std::string& certificate_path,
                           const std::string& key_path) {
  ASSIGN_OR_RETURN(SecretBytes key, identity.key.ToPem());
  RETURN_IF_ERROR(WriteFile(key_path, key.Reveal(), FileMode::kSecret));
  return WriteFile(certificate_path, AsBytes(identity.certificate.ToPem()), FileMode::kPublic);
}

absl::StatusOr<Digest> ParseDigest(const std::string& text) {
  const Bytes bytes = FromHex(text);
  Digest digest;
  if (bytes.size() != digest.size()) {
    return absl::InvalidArgumentError("it is not 64 hexadecimal digits");
  }
  std::ranges::copy(bytes, digest.begin());
  return digest;
}

absl::StatusOr<Digest> ParseSecureSpaceId(const std::string& text) {
  absl::StatusOr<Digest> id = ParseDigest(text);
  if (id.ok()) return id;
  return absl::InvalidArgumentError(
      "a secure-space id is 64 hexadecimal digits, as 'nark-securespace init' prints");
}

}  // namespace nark::narkctl
