#include "load/microsecond_histogram.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <vector>

#include "load/uniform.h"

namespace nark::load {
namespace {

using std::chrono::microseconds;

// As the histogram defines it, from all values.
uint64_t ExactQuantile(std::vector<uint64_t> values, double part) {
  std::sort(values.begin(), values.end());
  const auto rank = static_cast<size_t>(std::ceil(part * static_cast<double>(values.size())));
  return values[std::max<size_t>(rank, 1) - 1];
}

void ExpectWithinBound(const std::vector<uint64_t>& values) {
  MicrosecondHistogram histogram;
  uint64_t sum = 0;
  for (const uint64_t value : values) {
    histogram.Add(microseconds(value));
    sum += value;
  }
  ASSERT_EQ(histogram.count(), values.size());
  for (const double part : {0.0, 0.001, 0.01, 0.1, 0.5, 0.9, 0.99, 0.999, 0.9999, 1.0}) {
    const uint64_t exact = ExactQuantile(values, part);
    const auto found = static_cast<uint64_t>(histogram.Quantile(part).count());
    EXPECT_GE(found, exact) << part;
    EXPECT_LE(static_cast<double>(found),
              static_cast<double>(exact) * (1 + MicrosecondHistogram::kRelativeError))
        << part;
  }
  EXPECT_EQ(static_cast<uint64_t>(histogram.max().count()), ExactQuantile(values, 1));
  EXPECT_DOUBLE_EQ(histogram.mean_us(),
                   static_cast<double>(sum) / static_cast<double>(values.size()));
}

TEST(MicrosecondHistogramTest, QuantilesAreWithinTheirBoundOfSortedValues) {
  Uniform uniform(7);
  std::vector<uint64_t> flat, exponential, wild;
  for (int i = 0; i < 20'000; ++i) {
    flat.push_back(static_cast<uint64_t>(uniform.Next() * 50'000));
    exponential.push_back(static_cast<uint64_t>(-std::log1p(-uniform.Next()) * 3'000));
    wild.push_back(static_cast<uint64_t>(std::pow(10, uniform.Next() * 9.5)));
  }
  ExpectWithinBound(flat);
  ExpectWithinBound(exponential);
  ExpectWithinBound(wild);
  ExpectWithinBound({0});
  ExpectWithinBound({17, 17, 17});
}

TEST(MicrosecondHistogramTest, EachDurationAloneIsItself) {
  // The maximum is exact, so a bucket's width must not show.
  for (uint64_t us = 0; us < 3'600'000'000; us = us * 9 / 8 + 1) {
    MicrosecondHistogram histogram;
    histogram.Add(microseconds(us));
    EXPECT_EQ(static_cast<uint64_t>(histogram.Quantile(0.5).count()), us);
  }
}

TEST(MicrosecondHistogramTest, BucketsMeetWithoutGapAndOverlap) {
  // Around every power of two a value is not taken for one below it.
  for (int bit = 1; bit < 31; ++bit) {
    for (const int64_t near : {-2, -1, 0, 1, 2}) {
      const int64_t us = (int64_t{1} << bit) + near;
      if (us < 1) continue;
      MicrosecondHistogram histogram;
      histogram.Add(microseconds(us));
      histogram.Add(MicrosecondHistogram::kLongest);
      const int64_t found = histogram.Quantile(0.5).count();
      EXPECT_GE(found, us);
      EXPECT_LE(found, us + us / 128);
    }
  }
}

TEST(MicrosecondHistogramTest, ClampsWhatIsOutOfRange) {
  MicrosecondHistogram histogram;
  histogram.Add(microseconds(-5));
  EXPECT_EQ(histogram.Quantile(1).count(), 0);
  histogram.Add(std::chrono::hours(30));
  EXPECT_EQ(histogram.Quantile(1), std::chrono::hours(1));
  EXPECT_EQ(histogram.count(), 2u);
}

TEST(MicrosecondHistogramTest, MergingIsCountingAllInOne) {
  MicrosecondHistogram one, other, both;
  Uniform uniform(3);
  for (int i = 0; i < 1000; ++i) {
    const microseconds value(static_cast<int64_t>(uniform.Next() * 1e6));
    (i % 3 == 0 ? one : other).Add(value);
    both.Add(value);
  }
  one.Merge(other);
  EXPECT_EQ(one.count(), both.count());
  EXPECT_EQ(one.max(), both.max());
  for (const double part : {0.1, 0.5, 0.99}) EXPECT_EQ(one.Quantile(part), both.Quantile(part));
}

TEST(MicrosecondHistogramTest, NothingCountedIsZero) {
  const MicrosecondHistogram none;
  EXPECT_EQ(none.count(), 0u);
  EXPECT_EQ(none.Quantile(0.99).count(), 0);
  EXPECT_EQ(none.max().count(), 0);
  EXPECT_EQ(none.mean_us(), 0);
}

}  // namespace
}  // namespace nark::load
