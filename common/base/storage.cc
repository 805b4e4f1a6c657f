#include "common/base/storage.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "absl/strings/str_cat.h"
#include "common/base/status.h"

namespace nark {
namespace {

absl::Status Errno(int error, std::string_view what, const std::string& path) {
  std::string message = absl::StrCat(Absl(what), " ", path, ": ", std::strerror(error));
  switch (error) {
    case ENOENT:
      return absl::NotFoundError(message);
    case EACCES:
    case EPERM:
    case EROFS:
      return absl::PermissionDeniedError(message);
    case ENOSPC:
    case EDQUOT:
      return absl::ResourceExhaustedError(message);
    default:
      return absl::InternalError(message);
  }
}

// A descriptor that closes itself.
class Descriptor {
 public:
  explicit Descriptor(int fd) : fd_(fd) {}
  ~Descriptor() {
    if (fd_ >= 0) ::close(fd_);
  }
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  int get() const { return fd_; }

 private:
  int fd_;
};

absl::Status WriteAll(int fd, ByteView bytes, const std::string& path) {
  while (!bytes.empty()) {
    ssize_t n = ::write(fd, bytes.data(), bytes.size());
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return Errno(errno, "cannot write", path);
    bytes = bytes.subspan(static_cast<size_t>(n));
  }
  return absl::OkStatus();
}

absl::Status SyncFolderOf(const std::string& folder) {
  Descriptor fd(::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (fd.get() < 0) return Errno(errno, "cannot open", folder);
  if (::fsync(fd.get()) != 0) return Errno(errno, "cannot sync", folder);
  return absl::OkStatus();
}

std::string FolderOf(const std::string& path) {
  size_t slash = path.rfind('/');
  if (slash == std::string::npos) return ".";
  return slash == 0 ? "/" : path.substr(0, slash);
}

class FdAppendFile final : public AppendFile {
 public:
  FdAppendFile(int fd, std::string path) : fd_(fd), path_(std::move(path)) {}
  absl::Status Append(ByteView bytes) override { return WriteAll(fd_.get(), bytes, path_); }
  absl::Status Sync() override {
    if (::fdatasync(fd_.get()) != 0) return Errno(errno, "cannot sync", path_);
    return absl::OkStatus();
  }

 private:
  Descriptor fd_;
  std::string path_;
};

}  // namespace

absl::StatusOr<Bytes> ReadFile(const std::string& path, size_t limit_bytes) {
  Descriptor fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (fd.get() < 0) return Errno(errno, "cannot open", path);
  struct stat info {};
  if (::fstat(fd.get(), &info) != 0) return Errno(errno, "cannot read", path);
  if (S_ISDIR(info.st_mode)) return absl::InvalidArgumentError(path + " is a folder, not a file");
  Bytes content;
  uint8_t chunk[16384];
  for (;;) {
    ssize_t n = ::read(fd.get(), chunk, sizeof chunk);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return Errno(errno, "cannot read", path);
    if (n == 0) return content;
    if (content.size() + static_cast<size_t>(n) > limit_bytes) {
      return absl::ResourceExhaustedError(
          absl::StrCat(path, " is larger than ", limit_bytes, " bytes"));
    }
    content.insert(content.end(), chunk, chunk + n);
  }
}

absl::Status WriteFile(const std::string& path, ByteView content, FileMode mode) {
  std::string temporary = path + ".new";
  {
    // What a crash left behind may have another mode, or be a link.
    ::unlink(temporary.c_str());
    Descriptor fd(::open(temporary.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC,
                         static_cast<mode_t>(mode)));
    if (fd.get() < 0) return Errno(errno, "cannot create", temporary);
    absl::Status status = absl::OkStatus();
    if (::fchmod(fd.get(), static_cast<mode_t>(mode)) != 0) {  // whatever the umask
      status = Errno(errno, "cannot set the mode of", temporary);
    }
    if (status.ok()) status = WriteAll(fd.get(), content, temporary);
    if (status.ok() && ::fsync(fd.get()) != 0) status = Errno(errno, "cannot sync", temporary);
    if (!status.ok()) {
      ::unlink(temporary.c_str());
      return status;
    }
  }
  if (::rename(temporary.c_str(), path.c_str()) != 0) {
    absl::Status status = Errno(errno, "cannot replace", path);
    ::unlink(temporary.c_str());
    return status;
  }
  return SyncFolderOf(FolderOf(path));
}

absl::StatusOr<std::string> FolderStorage::PathOf(std::string_view name) const {
  if (name.empty() || name == "." || name == ".." || name.find('/') != std::string_view::npos ||
      name.find('\0') != std::string_view::npos) {
    return absl::InvalidArgumentError(absl::StrCat("not the name of a file: ", Absl(name)));
  }
  return absl::StrCat(folder_, "/", Absl(name));
}

absl::Status FolderStorage::SyncFolder() const { return SyncFolderOf(folder_); }

absl::StatusOr<Bytes> FolderStorage::Read(std::string_view name) {
  ASSIGN_OR_RETURN(std::string path, PathOf(name));
  // Whoever appended it bounds it; a limit here would only lock him out.
  return ReadFile(path, size_t{2} << 30);
}

absl::Status FolderStorage::Replace(std::string_view name, ByteView content) {
  ASSIGN_OR_RETURN(std::string path, PathOf(name));
  return WriteFile(path, content, FileMode::kSecret);
}

absl::StatusOr<std::unique_ptr<AppendFile>> FolderStorage::OpenAppend(std::string_view name) {
  ASSIGN_OR_RETURN(std::string path, PathOf(name));
  int fd = ::open(path.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
  if (fd < 0) return Errno(errno, "cannot open", path);
  auto file = std::make_unique<FdAppendFile>(fd, path);
  RETURN_IF_ERROR(SyncFolder());
  return std::unique_ptr<AppendFile>(std::move(file));
}

absl::Status FolderStorage::Remove(std::string_view name) {
  ASSIGN_OR_RETURN(std::string path, PathOf(name));
  if (::unlink(path.c_str()) != 0 && errno != ENOENT) return Errno(errno, "cannot remove", path);
  return SyncFolder();
}

}  // namespace nark
