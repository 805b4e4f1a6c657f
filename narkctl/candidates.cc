#include "narkctl/candidates.h"

#include <algorithm>
#include <filesystem>
#include <system_error>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "common/base/status.h"
#include "common/base/storage.h"
#include "common/object/envelope.h"
#include "common/object/file.h"
#include "narkctl/folder.h"
#include "narkctl/issued_list.h"

namespace nark::narkctl {
namespace {

constexpr size_t kMostListBytes = size_t{1} << 30;
constexpr size_t kMostVoucherBytes = 1 << 20;

absl::StatusOr<v1::Voucher> ReadVoucher(const std::string& path) {
  ASSIGN_OR_RETURN(const Bytes bytes, ReadFile(path, kMostVoucherBytes));
  ASSIGN_OR_RETURN(const v1::NarkFile file, ParseNarkFile(bytes, path, v1::NarkFile::kVoucher));
  return PayloadOf<v1::Voucher>(file.voucher(), path);
}

void AddVoucher(const v1::Voucher& voucher, const SessionName& session, Candidates& candidates) {
  const absl::StatusOr<SessionName> name = SessionName::FromProto(voucher.session());
  Digest id;
  if (!name.ok() || *name != session || voucher.secure_space_id().size() != id.size()) return;
  std::ranges::copy(AsBytes(voucher.secure_space_id()), id.begin());
  candidates.secure_spaces.push_back(id);
  const v1::AduRange& range = voucher.policy().range();
  std::pair<uint64_t, uint64_t> all =
      candidates.range.value_or(std::pair(range.first(), range.last()));
  candidates.range = {std::min<uint64_t>(all.first, range.first()),
                      std::max<uint64_t>(all.second, range.last())};
}

absl::StatusOr<Candidates> FromFolder(const std::string& path, const SessionName& session) {
  Candidates candidates;
  std::error_code error;
  for (std::filesystem::directory_iterator entry(path, error), end; !error && entry != end;
       entry.increment(error)) {
    std::error_code ignored;
    if (!entry->is_regular_file(ignored)) continue;
    const absl::StatusOr<v1::Voucher> voucher = ReadVoucher(entry->path().string());
    const size_t before = candidates.secure_spaces.size();
    if (voucher.ok()) AddVoucher(*voucher, session, candidates);
    if (candidates.secure_spaces.size() == before) {
      candidates.left_out.push_back(entry->path().filename());
    }
  }
  if (error) return FileError(error.value(), "cannot read", path);
  return candidates;
}

absl::StatusOr<Candidates> FromList(const std::string& path, const SessionName& session) {
  Candidates candidates;
  // One voucher by itself.
  if (const absl::StatusOr<v1::Voucher> voucher = ReadVoucher(path); voucher.ok()) {
    AddVoucher(*voucher, session, candidates);
    return candidates;
  }
  ASSIGN_OR_RETURN(const Bytes bytes, ReadFile(path, kMostListBytes));
  int number = 0;
  for (absl::string_view line : absl::StrSplit(Absl(AsText(bytes)), '\n')) {
    ++number;
    const std::string text(absl::StripAsciiWhitespace(line.substr(0, line.find('#'))));
    if (text.empty()) continue;
    const absl::StatusOr<Digest> id = ParseSecureSpaceId(text);
    if (!id.ok()) return Annotate(id.status(), absl::StrCat(path, ", line ", number));
    candidates.secure_spaces.push_back(*id);
  }
  return candidates;
}

absl::StatusOr<Candidates> Read(const std::string& path, const std::string& provider,
                                const VerifiedSession& session) {
  if (path.empty()) {
    ASSIGN_OR_RETURN(IssuedVouchers issued, ReadIssued(provider, session));
    return Candidates{std::move(issued.secure_spaces), {}, issued.range};
  }
  std::error_code ignored;
  return std::filesystem::is_directory(path, ignored) ? FromFolder(path, session.name())
                                                      : FromList(path, session.name());
}

}  // namespace

absl::StatusOr<Candidates> ReadCandidates(const std::string& path, const std::string& provider,
                                          const VerifiedSession& session) {
  ASSIGN_OR_RETURN(Candidates candidates, Read(path, provider, session));
  if (!candidates.secure_spaces.empty()) return candidates;
  return absl::InvalidArgumentError(
      path.empty()
          ? absl::StrCat(provider, " has no voucher of this session issued; name --candidates")
          : absl::StrCat(path, " has no voucher of this session and no secure-space id"));
}

}  // namespace nark::narkctl
