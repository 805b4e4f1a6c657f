#include "common/object/pool_files.h"

#include <algorithm>
#include <filesystem>
#include <system_error>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "common/base/bytes.h"

namespace nark::pool_files {
namespace {

constexpr size_t kIdDigits = 8;
// What WriteFile appends to the name of a file that it is writing.
constexpr std::string_view kNewSuffix = ".new";

bool IsId(std::string_view text) {
  return text.size() == kIdDigits && text.find_first_not_of("0123456789abcdef") == text.npos;
}

// Whether writing a folder gives this name, be it for as long as it writes the file.
bool IsOurs(std::string_view name) {
  if (name.ends_with(kNewSuffix)) name.remove_suffix(kNewSuffix.size());
  for (const std::string_view prefix :
       {kSigningPrefix, kTlsPrefix, kHpkeKeyPrefix, kMacKeyPrefix}) {
    for (const std::string_view suffix : {kPemSuffix, kKeySuffix, kUriSuffix}) {
      if (IsNamed(name, prefix, suffix)) return true;
    }
  }
  return false;
}

}  // namespace

std::string HexId(const Digest& digest) { return ToHex(digest).substr(0, kIdDigits); }

bool IsNamed(std::string_view name, std::string_view prefix, std::string_view suffix) {
  if (!name.starts_with(prefix)) return false;
  name.remove_prefix(prefix.size());
  if (!name.ends_with(suffix)) return false;
  name.remove_suffix(suffix.size());
  if (suffix != kUriSuffix) return IsId(name);
  return name.size() == 2 * kIdDigits + 1 && name[kIdDigits] == '-' &&
         IsId(name.substr(0, kIdDigits)) && IsId(name.substr(kIdDigits + 1));
}

absl::StatusOr<std::vector<std::string>> OursBeside(const std::string& folder,
                                                    const std::set<std::string>& listed) {
  std::vector<std::string> names;
  std::error_code error;
  for (std::filesystem::directory_iterator entry(folder, error), end; !error && entry != end;
       entry.increment(error)) {
    std::string name = entry->path().filename();
    if (IsOurs(name) && !listed.contains(name)) names.push_back(std::move(name));
  }
  if (error) return absl::UnavailableError(absl::StrCat(folder, ": ", error.message()));
  std::ranges::sort(names);
  return names;
}

}  // namespace nark::pool_files
