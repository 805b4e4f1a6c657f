#include "common/base/storage.h"

#include <cerrno>
#include <filesystem>
#include <system_error>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/base/status.h"

namespace nark {
namespace {

// A file that closes itself.
class OpenFile {
 public:
  OpenFile(FileOperations& operations, int file, std::string path)
      : operations_(operations), file_(file), path_(std::move(path)) {}
  ~OpenFile() { operations_.Close(file_); }
  OpenFile(const OpenFile&) = delete;
  OpenFile& operator=(const OpenFile&) = delete;

  absl::Status WriteAll(ByteView bytes) {
    while (!bytes.empty()) {
      ASSIGN_OR_RETURN(size_t written, operations_.Write(file_, path_, bytes));
      bytes = bytes.subspan(written);
    }
    return absl::OkStatus();
  }
  absl::Status Sync() { return operations_.Sync(file_, path_); }
  absl::Status SyncContent() { return operations_.SyncContent(file_, path_); }

 private:
  FileOperations& operations_;
  const int file_;
  const std::string path_;
};

class AppendedFile final : public AppendFile {
 public:
  AppendedFile(FileOperations& operations, int file, std::string path)
      : file_(operations, file, std::move(path)) {}
  absl::Status Append(ByteView bytes) override { return file_.WriteAll(bytes); }
  absl::Status Sync() override { return file_.SyncContent(); }

 private:
  OpenFile file_;
};

std::string FolderOf(const std::string& path) {
  size_t slash = path.rfind('/');
  if (slash == std::string::npos) return ".";
  return slash == 0 ? "/" : path.substr(0, slash);
}

absl::Status WriteNew(FileOperations& operations, const std::string& path, ByteView content,
                      FileMode mode) {
  ASSIGN_OR_RETURN(int number, operations.Create(path, mode));
  OpenFile file(operations, number, path);
  RETURN_IF_ERROR(file.WriteAll(content));
  return file.Sync();
}

}  // namespace

absl::Status WriteFile(const std::string& path, ByteView content, FileMode mode,
                       FileOperations& operations) {
  const std::string temporary = path + ".new";
  // What a crash left behind may have another mode, or be a link. Where it cannot be
  // removed, creating fails.
  (void)operations.Unlink(temporary);
  absl::Status status = WriteNew(operations, temporary, content, mode);
  if (status.ok()) status = operations.Rename(temporary, path);
  if (!status.ok()) {
    (void)operations.Unlink(temporary);
    return status;
  }
  return operations.SyncFolder(FolderOf(path));
}

absl::Status CheckCanWrite(const std::string& path, FileOperations& operations) {
  std::error_code ignored;
  if (std::filesystem::is_directory(path, ignored)) {
    return FileError(EISDIR, "cannot replace", path);
  }
  const std::string trial = path + ".new";
  (void)operations.Unlink(trial);
  ASSIGN_OR_RETURN(const int file, operations.Create(trial, FileMode::kPublic));
  operations.Close(file);
  return operations.Unlink(trial);
}

absl::StatusOr<Bytes> ReadFile(const std::string& path, size_t limit_bytes) {
  return PosixFileOperations().Read(path, limit_bytes);
}

absl::StatusOr<std::string> FolderStorage::PathOf(std::string_view name) const {
  if (name.empty() || name == "." || name == ".." || name.find('/') != std::string_view::npos ||
      name.find('\0') != std::string_view::npos) {
    return absl::InvalidArgumentError(absl::StrCat("not the name of a file: ", Absl(name)));
  }
  return absl::StrCat(folder_, "/", Absl(name));
}

absl::StatusOr<Bytes> FolderStorage::Read(std::string_view name) {
  ASSIGN_OR_RETURN(std::string path, PathOf(name));
  // Whoever appended it bounds it; a limit here would only lock him out.
  return operations_.Read(path, size_t{2} << 30);
}

absl::Status FolderStorage::Replace(std::string_view name, ByteView content) {
  ASSIGN_OR_RETURN(std::string path, PathOf(name));
  return WriteFile(path, content, FileMode::kSecret, operations_);
}

absl::StatusOr<std::unique_ptr<AppendFile>> FolderStorage::OpenAppend(std::string_view name) {
  ASSIGN_OR_RETURN(std::string path, PathOf(name));
  ASSIGN_OR_RETURN(int number, operations_.OpenAppend(path, FileMode::kSecret));
  auto file = std::make_unique<AppendedFile>(operations_, number, path);
  RETURN_IF_ERROR(operations_.SyncFolder(folder_));
  return std::unique_ptr<AppendFile>(std::move(file));
}

absl::Status FolderStorage::Remove(std::string_view name) {
  ASSIGN_OR_RETURN(std::string path, PathOf(name));
  absl::Status status = operations_.Unlink(path);
  if (!status.ok() && !absl::IsNotFound(status)) return status;
  return operations_.SyncFolder(folder_);
}

}  // namespace nark
