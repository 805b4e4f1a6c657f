#include "load/arrivals.h"

#include <algorithm>
#include <cmath>

namespace nark::load {
namespace {

constexpr double kMostPerSecond = 1e6;

// When so many joins are expected to have begun: the inverse of the integral of the rate.
double SecondsUntil(const RateProfile& profile, double joins) {
  const double from = profile.from_per_second;
  const double slope = (profile.to_per_second - from) / profile.seconds();
  // The root of slope/2 t^2 + from t = joins in the form that also holds for slope 0.
  const double root = std::sqrt(std::max(0.0, from * from + 2 * slope * joins));
  return joins == 0 ? 0 : 2 * joins / (from + root);
}

}  // namespace

RateProfile ProgrammeStart(uint64_t audience, std::chrono::microseconds duration) {
  const double mean =
      0.1 * static_cast<double>(audience) / std::chrono::duration<double>(kPaperPeriod).count();
  return {.from_per_second = 0, .to_per_second = 2 * mean, .duration = duration};
}

absl::StatusOr<ArrivalProcess> ArrivalProcess::Create(const RateProfile& profile, Spacing spacing,
                                                      uint64_t seed) {
  const double least = std::min(profile.from_per_second, profile.to_per_second);
  const double most = std::max(profile.from_per_second, profile.to_per_second);
  if (!(least >= 0) || !(most > 0) || !(most <= kMostPerSecond)) {
    return absl::InvalidArgumentError("a rate is above 0 and at most 1000000 joins a second");
  }
  if (profile.duration.count() <= 0) {
    return absl::InvalidArgumentError("a run lasts longer than nothing");
  }
  return ArrivalProcess(profile, spacing, seed);
}

std::optional<std::chrono::microseconds> ArrivalProcess::Next() {
  if (spacing_ == Spacing::kPoisson) {
    expected_ += -std::log1p(-uniform_.Next());
  } else if (begun_) {
    expected_ += 1;
  }
  begun_ = true;
  // A hair's breadth, so that 5 s of 100/s are 500 joins whatever rounding does.
  if (expected_ >= profile_.joins() * (1 - 1e-12)) return std::nullopt;
  return std::chrono::microseconds(std::llround(SecondsUntil(profile_, expected_) * 1e6));
}

}  // namespace nark::load
