#include "load/arrivals.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <vector>

namespace nark::load {
namespace {

using std::chrono::microseconds;
using std::chrono::seconds;

constexpr uint64_t kSeed = 20260131;

std::vector<double> All(const RateProfile& profile, Spacing spacing, uint64_t seed = kSeed) {
  auto process = ArrivalProcess::Create(profile, spacing, seed);
  EXPECT_TRUE(process.ok()) << process.status();
  std::vector<double> starts;
  while (const auto next = process->Next()) {
    starts.push_back(std::chrono::duration<double>(*next).count());
  }
  EXPECT_FALSE(process->Next().has_value()) << "it goes on after its end";
  return starts;
}

size_t Before(const std::vector<double>& starts, double at) {
  return static_cast<size_t>(std::lower_bound(starts.begin(), starts.end(), at) - starts.begin());
}

TEST(ArrivalsTest, EvenSpacingIsExact) {
  const std::vector<double> starts = All({100, 100, seconds(5)}, Spacing::kEven);
  ASSERT_EQ(starts.size(), 500u);
  for (size_t i = 0; i < starts.size(); ++i) {
    EXPECT_DOUBLE_EQ(starts[i], static_cast<double>(i) / 100);
  }
  EXPECT_EQ(All({1111, 1111, seconds(900)}, Spacing::kEven).size(), 999'900u);
  EXPECT_EQ(All({0.5, 0.5, seconds(10)}, Spacing::kEven).size(), 5u);
}

TEST(ArrivalsTest, ARampHasItsAreaAndItsShape) {
  const std::vector<double> starts = All({0, 200, seconds(10)}, Spacing::kEven);
  ASSERT_EQ(starts.size(), 1000u);
  // A quarter of the joins in the first half, a hundredth in the first tenth.
  EXPECT_NEAR(static_cast<double>(Before(starts, 5)), 250, 1);
  EXPECT_NEAR(static_cast<double>(Before(starts, 1)), 10, 1);
  const std::vector<double> falling = All({200, 0, seconds(10)}, Spacing::kEven);
  ASSERT_EQ(falling.size(), 1000u);
  EXPECT_NEAR(static_cast<double>(Before(falling, 5)), 750, 1);
}

TEST(ArrivalsTest, TheProgrammeHasThePapersNumbers) {
  const RateProfile profile = ProgrammeStart(kPaperAudience, kPaperPeriod);
  EXPECT_DOUBLE_EQ(profile.joins(), 1e6);
  EXPECT_NEAR(profile.mean_per_second(), 1111.1, 0.1);
  EXPECT_NEAR(profile.to_per_second, 2222.2, 0.1);
  // A hundredth of the audience, compressed into a minute: the same shape at a
  // hundredth of the rate.
  const RateProfile small = ProgrammeStart(kPaperAudience / 100, seconds(60));
  EXPECT_NEAR(small.mean_per_second(), 11.111, 0.001);
  EXPECT_EQ(All(small, Spacing::kEven).size(), 667u);
}

TEST(ArrivalsTest, PoissonArrivalsAreThoseOfAPoissonProcess) {
  SCOPED_TRACE(kSeed);
  const std::vector<double> starts = All({1000, 1000, seconds(100)}, Spacing::kPoisson);
  // The count's standard deviation is its root.
  EXPECT_NEAR(static_cast<double>(starts.size()), 1e5, 5 * std::sqrt(1e5));
  double sum = 0, squares = 0;
  size_t longer = 0;
  for (size_t i = 1; i < starts.size(); ++i) {
    ASSERT_GE(starts[i], starts[i - 1]);
    const double gap = starts[i] - starts[i - 1];
    sum += gap;
    squares += gap * gap;
    longer += gap > 0.001 ? 1 : 0;
  }
  const double gaps = static_cast<double>(starts.size() - 1);
  const double mean = sum / gaps;
  EXPECT_NEAR(mean, 0.001, 0.00002);
  // Exponential: the deviation is the mean, and e^-1 of the gaps are longer than it.
  EXPECT_NEAR(std::sqrt(squares / gaps - mean * mean) / mean, 1, 0.02);
  EXPECT_NEAR(static_cast<double>(longer) / gaps, std::exp(-1), 0.01);
  // Counts of disjoint seconds vary as their mean does.
  double variance = 0;
  for (int second = 0; second < 100; ++second) {
    const double count =
        static_cast<double>(Before(starts, second + 1) - Before(starts, second)) - 1000;
    variance += count * count / 100;
  }
  EXPECT_NEAR(variance / 1000, 1, 0.5);
}

TEST(ArrivalsTest, ASeedSaysItAll) {
  const RateProfile profile{0, 500, seconds(4)};
  EXPECT_EQ(All(profile, Spacing::kPoisson, 1), All(profile, Spacing::kPoisson, 1));
  EXPECT_NE(All(profile, Spacing::kPoisson, 1), All(profile, Spacing::kPoisson, 2));
  // Written down, so that a run of another machine can be repeated here.
  const std::vector<double> starts = All({1, 1, seconds(100)}, Spacing::kPoisson, 1);
  ASSERT_GT(starts.size(), 2u);
  EXPECT_NEAR(starts[0], 0.143728, 1e-6);
}

TEST(ArrivalsTest, RefusesWhatIsNoRate) {
  for (const RateProfile& profile :
       {RateProfile{0, 0, seconds(1)}, RateProfile{-1, 10, seconds(1)},
        RateProfile{std::nan(""), 1, seconds(1)}, RateProfile{1, 2e6, seconds(1)},
        RateProfile{1, 1, seconds(0)}}) {
    EXPECT_EQ(ArrivalProcess::Create(profile, Spacing::kEven, 1).status().code(),
              absl::StatusCode::kInvalidArgument);
  }
}

}  // namespace
}  // namespace nark::load
