#include "narkctl/issued_list.h"

#include <algorithm>
#include <filesystem>
#include <set>
#include <system_error>

#include "absl/strings/str_cat.h"
#include "common/base/file_operations.h"
#include "common/base/status.h"
#include "common/base/storage.h"

namespace nark::narkctl {
namespace {

constexpr size_t kMostBytes = size_t{1} << 30;
constexpr size_t kLineBytes = 64 + 1 + 32 + 1;

std::string FolderOf(const std::string& provider) { return provider + "/audit/issued"; }

std::string PathOf(const std::string& provider, const SessionName& session) {
  return absl::StrCat(FolderOf(provider), "/", ToHex(session.session_id));
}

// Of a line without its end.
absl::StatusOr<Digest> SecureSpaceOf(std::string_view line) {
  const Bytes id = FromHex(std::string(line.substr(0, line.find(' '))));
  Digest digest;
  if (line.size() != kLineBytes - 1 || id.size() != digest.size()) {
    return absl::InvalidArgumentError("it is no secure-space id and voucher id");
  }
  std::copy(id.begin(), id.end(), digest.begin());
  return digest;
}

absl::Status WriteAll(FileOperations& files, int file, const std::string& path, ByteView bytes) {
  while (!bytes.empty()) {
    ASSIGN_OR_RETURN(const size_t written, files.Write(file, path, bytes));
    bytes = bytes.subspan(written);
  }
  return files.Sync(file, path);
}

}  // namespace

absl::Status AppendIssued(const std::string& provider, const SessionName& session,
                          const Digest& secure_space_id, ByteView voucher_id) {
  const std::string folder = FolderOf(provider), path = PathOf(provider, session);
  std::error_code error;
  std::filesystem::create_directories(folder, error);
  if (error) return FileError(error.value(), "cannot make", folder);
  // What a crash left of a line is ended, so that this one begins its own.
  const uint64_t size =
      std::filesystem::exists(path, error) ? std::filesystem::file_size(path, error) : 0;
  std::string line =
      size % kLineBytes == 0 ? "" : std::string(kLineBytes - size % kLineBytes, '\n');
  absl::StrAppend(&line, ToHex(secure_space_id), " ", ToHex(voucher_id), "\n");
  FileOperations& files = PosixFileOperations();
  ASSIGN_OR_RETURN(const int file, files.OpenAppend(path, FileMode::kSecret));
  const absl::Status written = WriteAll(files, file, path, AsBytes(line));
  files.Close(file);
  RETURN_IF_ERROR(written);
  return files.SyncFolder(folder);
}

absl::StatusOr<std::vector<Digest>> ReadIssued(const std::string& provider,
                                               const SessionName& session) {
  const std::string path = PathOf(provider, session);
  const absl::StatusOr<Bytes> bytes = ReadFile(path, kMostBytes);
  std::vector<Digest> ids;
  if (absl::IsNotFound(bytes.status())) return ids;
  RETURN_IF_ERROR(bytes.status());
  const std::string_view text(reinterpret_cast<const char*>(bytes->data()), bytes->size());
  std::set<Digest> seen;
  for (size_t at = 0; at + kLineBytes <= text.size(); at += kLineBytes) {
    const std::string_view line = text.substr(at, kLineBytes);
    if (line.ends_with("\n\n")) continue;  // cut short by a crash, and ended since
    const absl::StatusOr<Digest> id = SecureSpaceOf(line.substr(0, kLineBytes - 1));
    if (!id.ok() || line.back() != '\n') {
      return absl::InvalidArgumentError(absl::StrCat(path, ", line ", at / kLineBytes + 1,
                                                     " is no secure-space id and voucher "
                                                     "id; restore the file from a copy"));
    }
    if (seen.insert(*id).second) ids.push_back(*id);
  }
  return ids;
}

}  // namespace nark::narkctl
