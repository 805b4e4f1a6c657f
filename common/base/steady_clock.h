#ifndef NARK_COMMON_BASE_STEADY_CLOCK_H_
#define NARK_COMMON_BASE_STEADY_CLOCK_H_

#include <chrono>

#include "common/base/clock.h"

namespace nark {

// CLOCK_MONOTONIC as a Clock: for intervals only, its epoch means nothing.
class SteadyClock final : public Clock {
 public:
  Timestamp Now() override {
    return Timestamp(std::chrono::duration_cast<std::chrono::microseconds>(
        std::chrono::steady_clock::now().time_since_epoch()));
  }
};

}  // namespace nark

#endif  // NARK_COMMON_BASE_STEADY_CLOCK_H_
