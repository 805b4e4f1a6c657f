#include "common/cli/units.h"

#include <array>
#include <charconv>
#include <cmath>
#include <limits>
#include <span>

#include "absl/strings/str_cat.h"
#include "common/base/status.h"

namespace nark::cli {
namespace {

struct Unit {
  std::string_view suffix;
  uint64_t factor;
};

constexpr std::array<Unit, 6> kDurations{{{"us", 1},
                                          {"ms", 1000},
                                          {"s", 1'000'000},
                                          {"m", 60'000'000},
                                          {"h", 3'600'000'000},
                                          {"d", 86'400'000'000}}};
constexpr std::array<Unit, 7> kSizes{{{"", 1},
                                      {"KiB", 1 << 10},
                                      {"MiB", 1 << 20},
                                      {"GiB", 1 << 30},
                                      {"kB", 1000},
                                      {"MB", 1'000'000},
                                      {"GB", 1'000'000'000}}};
constexpr std::array<Unit, 4> kRates{
    {{"", 1}, {"k", 1000}, {"M", 1'000'000}, {"G", 1'000'000'000}}};

absl::Status Unreadable(std::string_view text, std::string_view what) {
  return absl::InvalidArgumentError(absl::StrCat("'", Absl(text), "' is no ", Absl(what)));
}

// Digits, perhaps a fraction, then one of the suffixes. Exact for whole numbers.
absl::StatusOr<uint64_t> ParseScaled(std::string_view text, std::span<const Unit> units,
                                     std::string_view what) {
  size_t digits = text.find_first_not_of("0123456789.");
  std::string_view number = text.substr(0, digits);
  std::string_view suffix = digits == std::string_view::npos ? "" : text.substr(digits);
  const Unit* unit = nullptr;
  for (const Unit& candidate : units) {
    if (candidate.suffix == suffix) unit = &candidate;
  }
  if (unit == nullptr || number.empty() || number.front() == '.') return Unreadable(text, what);
  if (number.find('.') == std::string_view::npos) {
    auto whole = ParseNumber(number);
    if (!whole.ok() || *whole > std::numeric_limits<int64_t>::max() / unit->factor) {
      return Unreadable(text, what);
    }
    return *whole * unit->factor;
  }
  double value = 0;
  auto [end, error] = std::from_chars(number.data(), number.data() + number.size(), value);
  double scaled = value * static_cast<double>(unit->factor);
  if (error != std::errc() || end != number.data() + number.size() || scaled > 9e18) {
    return Unreadable(text, what);
  }
  return static_cast<uint64_t>(std::llround(scaled));
}

}  // namespace

absl::StatusOr<std::chrono::microseconds> ParseDuration(std::string_view text) {
  ASSIGN_OR_RETURN(uint64_t us,
                   ParseScaled(text, kDurations, "duration; write 500ms, 10s, 5m, 1h or 30d"));
  return std::chrono::microseconds(static_cast<int64_t>(us));
}

absl::StatusOr<uint64_t> ParseBytes(std::string_view text) {
  return ParseScaled(text, kSizes, "size; write a number of bytes, 64KiB or 2MiB");
}

absl::StatusOr<uint64_t> ParseRate(std::string_view text) {
  return ParseScaled(text, kRates, "rate; write bits per second, 500k or 20M");
}

absl::StatusOr<uint64_t> ParseNumber(std::string_view text) {
  uint64_t value = 0;
  auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size() || text.empty()) {
    return Unreadable(text, "number");
  }
  return value;
}

absl::StatusOr<NumberRange> ParseRange(std::string_view text) {
  size_t dash = text.find('-');
  auto first = ParseNumber(text.substr(0, dash));
  auto last = dash == std::string_view::npos ? first : ParseNumber(text.substr(dash + 1));
  if (!first.ok() || !last.ok() || *last < *first) {
    return Unreadable(text, "range; write FIRST-LAST, both included");
  }
  return NumberRange{*first, *last};
}

std::string FormatDuration(std::chrono::microseconds duration) {
  uint64_t us = static_cast<uint64_t>(duration.count());
  if (us == 0) return "0s";
  const Unit* best = &kDurations[0];
  for (const Unit& unit : kDurations) {
    if (us % unit.factor == 0) best = &unit;
  }
  return absl::StrCat(us / best->factor, Absl(best->suffix));
}

}  // namespace nark::cli
