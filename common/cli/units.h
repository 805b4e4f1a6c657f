#ifndef NARK_COMMON_CLI_UNITS_H_
#define NARK_COMMON_CLI_UNITS_H_

#include <chrono>
#include <cstdint>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"

namespace nark::cli {

// "500ms", "10s", "2m", "1h", "30d", "250us". The unit is required, so that
// nobody has to guess it; fractions ("1.5s") are taken.
absl::StatusOr<std::chrono::microseconds> ParseDuration(std::string_view text);

// A plain number, or with KiB, MiB, GiB (1024) or kB, MB, GB (1000).
absl::StatusOr<uint64_t> ParseBytes(std::string_view text);

// Bits per second: a plain number, or with k, M or G (1000).
absl::StatusOr<uint64_t> ParseRate(std::string_view text);

// A decimal number without sign.
absl::StatusOr<uint64_t> ParseNumber(std::string_view text);

// "FIRST-LAST", both included, or one number for both.
struct NumberRange {
  uint64_t first = 0;
  uint64_t last = 0;
};
absl::StatusOr<NumberRange> ParseRange(std::string_view text);

// "10s", "500ms", "1h": the largest unit that needs no fraction.
std::string FormatDuration(std::chrono::microseconds duration);

}  // namespace nark::cli

#endif  // NARK_COMMON_CLI_UNITS_H_
