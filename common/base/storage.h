#ifndef NARK_COMMON_BASE_STORAGE_H_
#define NARK_COMMON_BASE_STORAGE_H_

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/base/bytes.h"
#include "common/base/file_operations.h"

namespace nark {

// A file open for appending. One thread only.
class AppendFile {
 public:
  virtual ~AppendFile() = default;
  // Adds `bytes` at the end; lost by a crash until Sync() has returned OK. After
  // an error the file is to be reopened: what stands at its end is unknown.
  virtual absl::Status Append(ByteView bytes) = 0;
  // Returns once everything appended is durable.
  virtual absl::Status Sync() = 0;
};

// One flat folder of files. Cores that keep state take one, so that tests can
// crash it. Names contain no slash, else INVALID_ARGUMENT. One thread only.
class Storage {
 public:
  virtual ~Storage() = default;
  // The whole file; NOT_FOUND where there is none.
  virtual absl::StatusOr<Bytes> Read(std::string_view name) = 0;
  // Replaces the file durably and atomically: after a crash either the old or
  // the new content stands. Mode 0600.
  virtual absl::Status Replace(std::string_view name, ByteView content) = 0;
  // Opens for appending, creating (durably) where absent.
  virtual absl::StatusOr<std::unique_ptr<AppendFile>> OpenAppend(std::string_view name) = 0;
  // Removes durably; OK where there is none.
  virtual absl::Status Remove(std::string_view name) = 0;
};

// A Storage in a folder of the file system, which must exist.
class FolderStorage final : public Storage {
 public:
  // `operations` outlives the storage.
  explicit FolderStorage(std::string folder, FileOperations& operations = PosixFileOperations())
      : folder_(std::move(folder)), operations_(operations) {}
  absl::StatusOr<Bytes> Read(std::string_view name) override;
  absl::Status Replace(std::string_view name, ByteView content) override;
  absl::StatusOr<std::unique_ptr<AppendFile>> OpenAppend(std::string_view name) override;
  absl::Status Remove(std::string_view name) override;

 private:
  absl::StatusOr<std::string> PathOf(std::string_view name) const;
  std::string folder_;
  FileOperations& operations_;
};

// Reads a whole file by path. The message names the path and the cause.
// RESOURCE_EXHAUSTED beyond `limit_bytes`.
absl::StatusOr<Bytes> ReadFile(const std::string& path, size_t limit_bytes = 64 << 20);

// Replaces `path` durably and atomically (temporary file beside it, fsync,
// rename, fsync of the folder).
absl::Status WriteFile(const std::string& path, ByteView content, FileMode mode,
                       FileOperations& operations = PosixFileOperations());

// Whether WriteFile could put a file there now, found by trying beside it: for work that
// takes long, and would be lost at its end.
absl::Status CheckCanWrite(const std::string& path,
                           FileOperations& operations = PosixFileOperations());

}  // namespace nark

#endif  // NARK_COMMON_BASE_STORAGE_H_
