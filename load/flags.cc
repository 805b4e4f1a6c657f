#include "load/flags.h"

#include <cmath>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "common/base/status.h"

namespace nark::load {

absl::StatusOr<double> ParseJoinsPerSecond(const std::string& text) {
  double rate = 0;
  if (!absl::SimpleAtod(text, &rate) || !std::isfinite(rate) || rate <= 0) {
    return absl::InvalidArgumentError(
        absl::StrCat("takes joins a second, such as 1200 or 0.5, not '", text, "'"));
  }
  return rate;
}

absl::StatusOr<double> ParsePercent(const std::string& text) {
  double percent = 0;
  if (!absl::SimpleAtod(text, &percent) || !(percent >= 0 && percent <= 100)) {
    return absl::InvalidArgumentError(absl::StrCat("takes 0 to 100 percent, not '", text, "'"));
  }
  return percent / 100;
}

absl::StatusOr<std::vector<double>> ParseRates(const std::string& text) {
  const absl::Status bad = absl::InvalidArgumentError(
      absl::StrCat("takes FROM..TO:STEPS, such as 200..2400:12, not '", text, "'"));
  const size_t dots = text.find(".."), colon = text.rfind(':');
  if (dots == std::string::npos || colon == std::string::npos || colon < dots) return bad;
  const auto from = ParseJoinsPerSecond(text.substr(0, dots));
  const auto to = ParseJoinsPerSecond(text.substr(dots + 2, colon - dots - 2));
  int steps = 0;
  if (!from.ok() || !to.ok() || !absl::SimpleAtoi(text.substr(colon + 1), &steps) || steps < 2 ||
      steps > 1000) {
    return bad;
  }
  std::vector<double> rates;
  for (int i = 0; i < steps; ++i) rates.push_back(*from + (*to - *from) * i / (steps - 1));
  return rates;
}

}  // namespace nark::load
