#include "receiver/play_range.h"

#include <chrono>

#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "common/base/status.h"
#include "common/cli/units.h"

namespace nark::receiver {
namespace {

absl::StatusOr<uint64_t> ParseTime(const std::string& text, const char* flag) {
  if (text.starts_with('+')) {
    const auto duration = cli::ParseDuration(text.substr(1));
    if (duration.ok() && duration->count() >= 0) return static_cast<uint64_t>(duration->count());
  } else {
    absl::Time time;
    std::string error;
    if (absl::ParseTime(absl::RFC3339_full, text, &time, &error) && time >= absl::UnixEpoch() &&
        time != absl::InfiniteFuture()) {
      return static_cast<uint64_t>(absl::ToUnixMicros(time));
    }
  }
  return absl::InvalidArgumentError(absl::StrCat(
      flag, " is +DURATION from the beginning, as +90s, or a time as 2026-11-26T20:00:00Z, not '",
      text, "'"));
}

}  // namespace

absl::StatusOr<net::PlayRange> ParseRange(const RangeFlags& flags) {
  net::PlayRange range;
  range.from_adu = flags.from_adu;
  range.to_adu = flags.to_adu;
  if (!flags.from_time.empty()) {
    ASSIGN_OR_RETURN(range.from_time_us, ParseTime(flags.from_time, "--from-time"));
  }
  if (!flags.to_time.empty()) {
    ASSIGN_OR_RETURN(range.to_time_us, ParseTime(flags.to_time, "--to-time"));
  }
  const bool from_beginning = flags.from_time.starts_with('+');
  if (!flags.from_time.empty() && !flags.to_time.empty() &&
      from_beginning != flags.to_time.starts_with('+')) {
    return absl::InvalidArgumentError(
        "--from-time and --to-time: give both as +DURATION, or both as times");
  }
  if (from_beginning || flags.to_time.starts_with('+')) {
    range.origin = net::PlayRange::Origin::kBeginning;
  }
  if (range.from_adu && range.to_adu && *range.from_adu > *range.to_adu) {
    return absl::InvalidArgumentError("--to-adu lies before --from-adu");
  }
  if (range.from_time_us && range.to_time_us && *range.from_time_us > *range.to_time_us) {
    return absl::InvalidArgumentError("--to-time lies before --from-time");
  }
  return range;
}

}  // namespace nark::receiver
