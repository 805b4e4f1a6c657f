#include "sender/pacer.h"

#include <gtest/gtest.h>

namespace nark::sender {
namespace {

using std::chrono::microseconds;
using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr Timestamp kStart{seconds{1000}};

Adu AduAt(microseconds begin, microseconds end) {
  return {.bytes = Bytes(1000), .random_access = false, .time = ProgrammeTime{begin, end}};
}

Adu AduOf(size_t bytes) {
  return {.bytes = Bytes(bytes), .random_access = false, .time = std::nullopt};
}

TEST(PacerTest, MaxSendsAtOnce) {
  ManualClock clock(kStart);
  Pacer pacer = Pacer::Max();
  for (int i = 0; i < 3; ++i) {
    Slot slot = pacer.Next(AduAt(seconds(i), seconds(i + 1)), clock.Now());
    EXPECT_EQ(slot.begin, clock.Now());
    EXPECT_EQ(slot.length.count(), 0);
  }
}

TEST(PacerTest, ProgrammeTimeIsKeptFromTheFirstAduOn) {
  ManualClock clock(kStart);
  Pacer pacer = Pacer::ByProgramme();
  Slot first = pacer.Next(AduAt(seconds(5), seconds(6)), clock.Now());
  EXPECT_EQ(first.begin, kStart);
  EXPECT_EQ(first.length, seconds(1));
  // Asked for early or a little late, the slot is the same.
  Slot early = pacer.Next(AduAt(seconds(6), milliseconds(7500)), clock.Now());
  EXPECT_EQ(early.begin, kStart + seconds(1));
  EXPECT_EQ(early.length, milliseconds(1500));
  clock.Advance(milliseconds(2900));
  Slot late = pacer.Next(AduAt(milliseconds(7500), seconds(8)), clock.Now());
  EXPECT_EQ(late.begin, kStart + milliseconds(2500));
}

TEST(PacerTest, AfterAPauseOfTheInputItGoesOnFromNow) {
  ManualClock clock(kStart);
  Pacer pacer = Pacer::ByProgramme();
  pacer.Next(AduAt(seconds(0), seconds(1)), clock.Now());
  clock.Advance(seconds(60));
  Slot resumed = pacer.Next(AduAt(seconds(1), seconds(2)), clock.Now());
  EXPECT_EQ(resumed.begin, clock.Now());
  Slot next = pacer.Next(AduAt(seconds(2), seconds(3)), clock.Now());
  EXPECT_EQ(next.begin, clock.Now() + seconds(1));
}

TEST(PacerTest, AdusWithoutTimeGoAtOnce) {
  ManualClock clock(kStart);
  Pacer pacer = Pacer::ByProgramme();
  Slot slot = pacer.Next(AduOf(10), clock.Now());
  EXPECT_EQ(slot.begin, kStart);
  EXPECT_EQ(slot.length.count(), 0);
}

TEST(PacerTest, ARateSpreadsTheBytesEvenly) {
  ManualClock clock(kStart);
  Pacer pacer = Pacer::AtRate(8'000'000);  // a byte a microsecond
  Slot first = pacer.Next(AduOf(5000), clock.Now());
  EXPECT_EQ(first.begin, kStart);
  EXPECT_EQ(first.length, microseconds(5000));
  Slot second = pacer.Next(AduOf(100), clock.Now());
  EXPECT_EQ(second.begin, kStart + microseconds(5000));
  EXPECT_EQ(second.length, microseconds(100));
  clock.Advance(seconds(10));
  EXPECT_EQ(pacer.Next(AduOf(100), clock.Now()).begin, clock.Now());
}

TEST(PacerTest, TheLargestAduAtTheLowestRateDoesNotOverflow) {
  ManualClock clock(kStart);
  Pacer pacer = Pacer::AtRate(1);
  EXPECT_EQ(pacer.Next(AduOf(16 << 20), clock.Now()).length, seconds(8 * (16 << 20)));
}

}  // namespace
}  // namespace nark::sender
