#include "common/base/file_operations.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "absl/strings/str_cat.h"
#include "common/base/status.h"

namespace nark {
namespace {

class Posix final : public FileOperations {
 public:
  absl::StatusOr<int> Create(const std::string& path, FileMode mode) override {
    const int file =
        ::open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, static_cast<mode_t>(mode));
    if (file < 0) return FileError(errno, "cannot create", path);
    if (::fchmod(file, static_cast<mode_t>(mode)) != 0) {
      const absl::Status status = FileError(errno, "cannot set the mode of", path);
      ::close(file);
      ::unlink(path.c_str());
      return status;
    }
    return file;
  }
  absl::StatusOr<int> OpenAppend(const std::string& path, FileMode mode) override {
    const int file =
        ::open(path.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, static_cast<mode_t>(mode));
    if (file < 0) return FileError(errno, "cannot open", path);
    return file;
  }
  absl::StatusOr<size_t> Write(int file, const std::string& path, ByteView bytes) override {
    for (;;) {
      const ssize_t n = ::write(file, bytes.data(), bytes.size());
      if (n >= 0) return static_cast<size_t>(n);
      if (errno != EINTR) return FileError(errno, "cannot write", path);
    }
  }
  absl::Status Sync(int file, const std::string& path) override {
    if (::fsync(file) != 0) return FileError(errno, "cannot sync", path);
    return absl::OkStatus();
  }
  absl::Status SyncContent(int file, const std::string& path) override {
    if (::fdatasync(file) != 0) return FileError(errno, "cannot sync", path);
    return absl::OkStatus();
  }
  void Close(int file) override { ::close(file); }
  absl::Status Rename(const std::string& from, const std::string& to) override {
    if (::rename(from.c_str(), to.c_str()) != 0) return FileError(errno, "cannot replace", to);
    return absl::OkStatus();
  }
  absl::Status Unlink(const std::string& path) override {
    if (::unlink(path.c_str()) != 0) return FileError(errno, "cannot remove", path);
    return absl::OkStatus();
  }
  absl::Status SyncFolder(const std::string& folder) override {
    const int file = ::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (file < 0) return FileError(errno, "cannot open", folder);
    absl::Status status;
    if (::fsync(file) != 0) status = FileError(errno, "cannot sync", folder);
    ::close(file);
    return status;
  }
  absl::StatusOr<Bytes> Read(const std::string& path, size_t limit_bytes) override {
    const int file = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
    if (file < 0) return FileError(errno, "cannot open", path);
    absl::StatusOr<Bytes> content = ReadAll(file, path, limit_bytes);
    ::close(file);
    return content;
  }

 private:
  static absl::StatusOr<Bytes> ReadAll(int file, const std::string& path, size_t limit_bytes) {
    struct stat info {};
    if (::fstat(file, &info) != 0) return FileError(errno, "cannot read", path);
    if (S_ISDIR(info.st_mode)) return absl::InvalidArgumentError(path + " is a folder, not a file");
    Bytes content;
    uint8_t chunk[16384];
    for (;;) {
      const ssize_t n = ::read(file, chunk, sizeof chunk);
      if (n < 0 && errno == EINTR) continue;
      if (n < 0) return FileError(errno, "cannot read", path);
      if (n == 0) return content;
      if (content.size() + static_cast<size_t>(n) > limit_bytes) {
        return absl::ResourceExhaustedError(
            absl::StrCat(path, " is larger than ", limit_bytes, " bytes"));
      }
      content.insert(content.end(), chunk, chunk + n);
    }
  }
};

}  // namespace

FileOperations& PosixFileOperations() {
  static Posix operations;
  return operations;
}

absl::Status FileError(int error, std::string_view what, const std::string& path) {
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
    case EFBIG:
      return absl::ResourceExhaustedError(message);
    default:
      return absl::InternalError(message);
  }
}

}  // namespace nark
