#include "common/base/clock.h"

#include <gtest/gtest.h>

#include <ctime>

namespace nark {
namespace {

TEST(ClockTest, AManualClockStandsStillUntilMoved) {
  ManualClock clock(FromMicros(1'000'000));
  EXPECT_EQ(clock.Now(), clock.Now());
  clock.Advance(std::chrono::milliseconds(1500));
  EXPECT_EQ(ToMicros(clock.Now()), 2'500'000u);
  clock.Set(FromMicros(7));
  EXPECT_EQ(ToMicros(clock.Now()), 7u);
}

TEST(ClockTest, MicrosecondsReadBack) {
  for (uint64_t us : {uint64_t{0}, uint64_t{1}, uint64_t{4'102'444'800'000'001}}) {
    EXPECT_EQ(ToMicros(FromMicros(us)), us);
  }
}

TEST(ClockTest, TheSystemClockCountsFromTheUnixEpoch) {
  SystemClock clock;
  auto before = static_cast<uint64_t>(std::time(nullptr));
  uint64_t now = ToMicros(clock.Now()) / 1'000'000;
  auto after = static_cast<uint64_t>(std::time(nullptr));
  // time() may read a clock that ticks later than the one in microseconds.
  EXPECT_GE(now + 1, before);
  EXPECT_LE(now, after + 1);
}

}  // namespace
}  // namespace nark
