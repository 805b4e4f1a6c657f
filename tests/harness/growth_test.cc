#include "tests/harness/growth.h"

#include <gtest/gtest.h>

#include <cmath>
#include <random>
#include <stdexcept>
#include <vector>

namespace nark::harness {
namespace {

constexpr uint64_t kSeed = 11;
constexpr double kMiB = 1 << 20;

// 200 readings of a program that does 100 things between two of them, and keeps `leaked` bytes
// of each; the memory that it has besides goes up and down by some hundred KiB.
std::vector<Reading> Series(double leaked) {
  std::mt19937_64 random(kSeed);
  std::normal_distribution<double> noise(0, 200 * 1024);
  std::vector<Reading> readings;
  for (int i = 0; i < 200; ++i) {
    const double work = 100.0 * i;
    readings.push_back({work, 30 * kMiB + leaked * work + noise(random)});
  }
  return readings;
}

TEST(GrowthTest, TellsALeakOf200BytesUnderNoiseOfAHundredTimesAsMuch) {
  const Growth growth = GrowthOf(Series(200));
  EXPECT_NEAR(growth.per_work, 200, 20) << "seed " << kSeed;
  EXPECT_EQ(growth.work, 19'900);
  EXPECT_NEAR(growth.total(), 200 * 19'900, 0.4 * kMiB);
  EXPECT_NEAR(growth.end - growth.start, 200 * 19'900 * 2 / 3, 0.4 * kMiB);
}

TEST(GrowthTest, TellsNoneWhereThereIsOnlyNoise) {
  const Growth growth = GrowthOf(Series(0));
  EXPECT_LT(std::abs(growth.per_work), 20) << "seed " << kSeed;
  EXPECT_NEAR(growth.start, growth.end, 0.2 * kMiB);
}

TEST(GrowthTest, PeaksDoNotCount) {
  std::vector<Reading> readings = Series(0);
  for (size_t i = 120; i < readings.size(); i += 10) readings[i].amount += 500 * kMiB;
  EXPECT_LT(std::abs(GrowthOf(readings).per_work), 20);
}

TEST(GrowthTest, OneDescriptorInAHundredJoinsIsTold) {
  std::vector<Reading> readings;
  for (int i = 0; i < 60; ++i) readings.push_back({10.0 * i, std::floor(20 + 0.1 * i)});
  EXPECT_NEAR(GrowthOf(readings).total(), 5.9, 0.5);
}

TEST(GrowthTest, SaysWhereItCanNotTell) {
  EXPECT_THROW(GrowthOf({}), std::runtime_error);
  EXPECT_THROW(GrowthOf(std::vector<Reading>(8, {1, 1})), std::runtime_error);
  EXPECT_THROW(GrowthOf(std::vector<Reading>(9, {1, 1})), std::runtime_error) << "no work";
}

}  // namespace
}  // namespace nark::harness
