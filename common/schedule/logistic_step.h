#ifndef NARK_COMMON_SCHEDULE_LOGISTIC_STEP_H_
#define NARK_COMMON_SCHEDULE_LOGISTIC_STEP_H_

#include <cstdint>

namespace nark::schedule {

// The logistic map x -> 4 x (1 - x) (May, 1976), in fixed point so that all machines
// agree: X stands for X / 2^kBits, and
//   next X = floor(X (2^kBits - X) / 2^(kBits - 2)), but at most 2^kBits - 1.
// Only X = 0 leads to 0. Narrower maps are there to be measured.
template <int kBits>
constexpr uint64_t LogisticStep(uint64_t x) {
  static_assert(kBits >= 8 && kBits <= 64);
  __extension__ typedef unsigned __int128 Wide;
  constexpr Wide kOne = Wide{1} << kBits;
  const Wide next = Wide{x} * (kOne - x) >> (kBits - 2);
  return next == kOne ? static_cast<uint64_t>(kOne - 1) : static_cast<uint64_t>(next);
}

}  // namespace nark::schedule

#endif  // NARK_COMMON_SCHEDULE_LOGISTIC_STEP_H_
