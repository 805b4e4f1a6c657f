#include "load/retry.h"

#include <algorithm>

#include "common/base/status.h"

namespace nark::load {

using std::chrono::microseconds;

std::optional<microseconds> RetryWait(const absl::Status& error, uint64_t attempt, double uniform) {
  constexpr double kFirst = 0.1, kLongest = 1;  // seconds
  double wait = 0;
  if (const int told = RetryAfterSeconds(error); told > 0) {
    wait = told * (1 + uniform / 2);
  } else if (ReasonOf(error).empty()) {
    const auto doublings = static_cast<int>(std::clamp<uint64_t>(attempt, 1, 10) - 1);
    wait = std::min(kFirst * (1 << doublings), kLongest) * uniform;
  } else {
    return std::nullopt;
  }
  return std::chrono::duration_cast<microseconds>(std::chrono::duration<double>(wait));
}

}  // namespace nark::load
