#include "narkctl/issued_list.h"

#include <sys/file.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <filesystem>
#include <set>
#include <system_error>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "common/base/file_operations.h"
#include "common/base/status.h"
#include "common/base/storage.h"
#include "narkctl/audit_secrets.h"
#include "narkctl/folder.h"

namespace nark::narkctl {
namespace {

constexpr size_t kMostBytes = size_t{1} << 30;
constexpr size_t kIdBytes = 32, kVoucherIdBytes = 16;
// Hexadecimal digits: two ids, two numbers, and what is between and behind.
constexpr size_t kLineBytes = 2 * kIdBytes + 2 * kVoucherIdBytes + 16 + 16 + 4;

std::string FolderOf(const std::string& provider, const VerifiedSession& session) {
  return absl::StrCat(provider, "/audit/issued/",
                      ToHex(AsBytes(session.terms().audit().block_id())));
}

std::string PathOf(const std::string& provider, const VerifiedSession& session) {
  return absl::StrCat(FolderOf(provider, session), "/", ToHex(session.name().session_id));
}

std::string LineOf(const v1::Voucher& voucher) {
  const v1::AduRange& range = voucher.policy().range();
  return absl::StrCat(ToHex(AsBytes(voucher.secure_space_id())), " ",
                      ToHex(AsBytes(voucher.voucher_id())), " ",
                      absl::Hex(range.first(), absl::kZeroPad16), " ",
                      absl::Hex(range.last(), absl::kZeroPad16), "\n");
}

// False where the line, with its end, is none.
bool AddLine(std::string_view line, std::set<Digest>& seen, IssuedVouchers& issued) {
  const std::vector<std::string> words = absl::StrSplit(Absl(line.substr(0, line.size() - 1)), ' ');
  if (line.back() != '\n' || words.size() != 4) return false;
  const absl::StatusOr<Digest> id = ParseDigest(words[0]);
  const Bytes voucher_id = FromHex(words[1]), first = FromHex(words[2]), last = FromHex(words[3]);
  if (!id.ok() || voucher_id.size() != kVoucherIdBytes || first.size() != 8 || last.size() != 8) {
    return false;
  }
  if (seen.insert(*id).second) issued.secure_spaces.push_back(*id);
  const std::pair range(LoadBig64(first.data()), LoadBig64(last.data()));
  const std::pair all = issued.range.value_or(range);
  issued.range = {std::min(all.first, range.first), std::max(all.second, range.second)};
  return true;
}

// Adds nothing where there is no such file.
absl::Status AddFile(const std::string& path, std::set<Digest>& seen, IssuedVouchers& issued) {
  const absl::StatusOr<Bytes> bytes = ReadFile(path, kMostBytes);
  if (absl::IsNotFound(bytes.status())) return absl::OkStatus();
  RETURN_IF_ERROR(bytes.status());
  const std::string_view text = AsText(*bytes);
  for (size_t at = 0; at + kLineBytes <= text.size(); at += kLineBytes) {
    const std::string_view line = text.substr(at, kLineBytes);
    if (line.ends_with("\n\n")) continue;  // cut short by a crash, and ended since
    if (AddLine(line, seen, issued)) continue;
    return absl::InvalidArgumentError(absl::StrCat(path, ", line ", at / kLineBytes + 1,
                                                   " is none; restore the file from a copy"));
  }
  return absl::OkStatus();
}

absl::Status WriteAll(FileOperations& files, int file, const std::string& path, ByteView bytes) {
  while (!bytes.empty()) {
    ASSIGN_OR_RETURN(const size_t written, files.Write(file, path, bytes));
    bytes = bytes.subspan(written);
  }
  return files.Sync(file, path);
}

// Alone among processes, until the file is closed: two that end the same torn line would not
// both begin their own where a line begins.
absl::Status AppendLine(FileOperations& files, int file, const std::string& path,
                        const std::string& line) {
  int locked;
  do locked = ::flock(file, LOCK_EX);
  while (locked != 0 && errno == EINTR);
  struct stat status;
  if (locked != 0 || ::fstat(file, &status) != 0) return FileError(errno, "cannot lock", path);
  // What a crash left of a line is ended, so that this one begins its own.
  const size_t torn = static_cast<size_t>(status.st_size) % kLineBytes;
  const std::string end(torn == 0 ? 0 : kLineBytes - torn, '\n');
  return WriteAll(files, file, path, AsBytes(end + line));
}

}  // namespace

absl::Status AppendIssued(const std::string& provider, const VerifiedSession& session,
                          const v1::Voucher& voucher) {
  if (voucher.secure_space_id().size() != kIdBytes ||
      voucher.voucher_id().size() != kVoucherIdBytes) {
    return absl::InvalidArgumentError("the voucher's ids have not 32 and 16 bytes");
  }
  const std::string folder = FolderOf(provider, session), path = PathOf(provider, session);
  RETURN_IF_ERROR(MakePrivateFolder(folder));
  FileOperations& files = PosixFileOperations();
  ASSIGN_OR_RETURN(const int file, files.OpenAppend(path, FileMode::kSecret));
  const absl::Status appended = AppendLine(files, file, path, LineOf(voucher));
  files.Close(file);
  RETURN_IF_ERROR(appended);
  return files.SyncFolder(folder);
}

absl::StatusOr<IssuedVouchers> ReadIssued(const std::string& provider,
                                          const VerifiedSession& session) {
  const std::string folder = FolderOf(provider, session), own = PathOf(provider, session);
  IssuedVouchers issued;
  std::set<Digest> seen;
  // This session's first: the range is its own.
  RETURN_IF_ERROR(AddFile(own, seen, issued));
  const std::optional<std::pair<uint64_t, uint64_t>> range = issued.range;
  std::vector<std::string> others;
  std::error_code error;
  for (const auto& entry : std::filesystem::directory_iterator(folder, error)) {
    if (entry.path() != own) others.push_back(entry.path());
  }
  if (error && error != std::errc::no_such_file_or_directory) {
    return FileError(error.value(), "cannot list", folder);
  }
  std::ranges::sort(others);
  for (const std::string& path : others) RETURN_IF_ERROR(AddFile(path, seen, issued));
  issued.range = range;
  return issued;
}

}  // namespace nark::narkctl
