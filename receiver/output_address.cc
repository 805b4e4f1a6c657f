#include "receiver/output_address.h"

#include <limits>
#include <set>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "common/base/status.h"
#include "common/cli/units.h"

namespace nark::receiver {
namespace {

constexpr std::string_view kSender = "sender=";
constexpr std::string_view kSubSession = "sub-session=";

}  // namespace

absl::StatusOr<OutputAddress> OutputAddress::Parse(std::string_view text) {
  OutputAddress address{.uri = std::string(text), .filter = {}};
  const size_t hash = text.rfind('#');
  if (hash == std::string_view::npos) return address;
  const std::string_view fragment = text.substr(hash + 1);
  if (!fragment.starts_with(kSender) && !fragment.starts_with(kSubSession)) return address;
  address.uri = std::string(text.substr(0, hash));
  std::set<std::string_view> seen;
  for (const auto part : absl::StrSplit(Absl(fragment), '&')) {
    const std::string_view one = Std(part);
    const bool sender = one.starts_with(kSender);
    const std::string_view name = sender ? kSender : kSubSession;
    const absl::StatusOr<uint64_t> id = one.starts_with(name)
                                            ? cli::ParseNumber(std::string(one.substr(name.size())))
                                            : absl::InvalidArgumentError("");
    if (!id.ok() || *id > std::numeric_limits<uint32_t>::max() || !seen.insert(name).second) {
      return absl::InvalidArgumentError(
          absl::StrCat("output '", Absl(text),
                       "': behind # goes sender=ID, sub-session=ID, or "
                       "both joined by &"));
    }
    if (sender) {
      address.filter.sender_id = static_cast<uint32_t>(*id);
    } else {
      address.filter.sub_session = static_cast<uint32_t>(*id);
    }
  }
  return address;
}

}  // namespace nark::receiver
