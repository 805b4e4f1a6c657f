#ifndef NARK_COMMON_BASE_FILE_OPERATIONS_H_
#define NARK_COMMON_BASE_FILE_OPERATIONS_H_

#include <cstddef>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/base/bytes.h"

namespace nark {

enum class FileMode { kPublic = 0644, kSecret = 0600 };

// What durable storage asks of a file system, one call each, so that tests can fail
// or stop every one. Errors are FileError's. One thread only.
class FileOperations {
 public:
  virtual ~FileOperations() = default;

  // A new file for writing; fails where the name exists, be it as a link. Exactly
  // this mode, whatever the umask. The number is to be closed.
  virtual absl::StatusOr<int> Create(const std::string& path, FileMode mode) = 0;
  // For appending, created where absent.
  virtual absl::StatusOr<int> OpenAppend(const std::string& path, FileMode mode) = 0;
  // How much was written: at least 1 byte of what is not empty, maybe not all.
  virtual absl::StatusOr<size_t> Write(int file, const std::string& path, ByteView bytes) = 0;
  // Content and attributes are durable on return.
  virtual absl::Status Sync(int file, const std::string& path) = 0;
  // The content is durable on return, with what it takes to read it.
  virtual absl::Status SyncContent(int file, const std::string& path) = 0;
  virtual void Close(int file) = 0;
  // Takes the place of what stands at `to`, in one step.
  virtual absl::Status Rename(const std::string& from, const std::string& to) = 0;
  // NOT_FOUND where there is none.
  virtual absl::Status Unlink(const std::string& path) = 0;
  // The names in the folder are durable on return.
  virtual absl::Status SyncFolder(const std::string& folder) = 0;
  // The whole file. RESOURCE_EXHAUSTED beyond `limit_bytes`.
  virtual absl::StatusOr<Bytes> Read(const std::string& path, size_t limit_bytes) = 0;
};

// The real ones. Stateless.
FileOperations& PosixFileOperations();

// "<what> <path>: <cause>" with the code that fits errno: NOT_FOUND, PERMISSION_DENIED
// (also for a file system mounted read-only), RESOURCE_EXHAUSTED (no space), else INTERNAL.
absl::Status FileError(int error, std::string_view what, const std::string& path);

}  // namespace nark

#endif  // NARK_COMMON_BASE_FILE_OPERATIONS_H_
