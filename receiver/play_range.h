#ifndef NARK_RECEIVER_PLAY_RANGE_H_
#define NARK_RECEIVER_PLAY_RANGE_H_

#include <cstdint>
#include <optional>
#include <string>

#include "absl/status/statusor.h"
#include "common/net/play_range.h"

namespace nark::receiver {

// What of a recording is to be played, as typed.
struct RangeFlags {
  std::optional<uint64_t> from_adu;
  std::optional<uint64_t> to_adu;
  // "+90s" from the recording's beginning, or "2026-11-26T20:00:00Z" (RFC 3339).
  std::string from_time;
  std::string to_time;
};

// INVALID_ARGUMENT names the flag: for a time that is none, for both kinds of times, and
// for a range that ends before it begins.
absl::StatusOr<net::PlayRange> ParseRange(const RangeFlags& flags);

}  // namespace nark::receiver

#endif  // NARK_RECEIVER_PLAY_RANGE_H_
