#include "common/cli/units.h"

#include <gtest/gtest.h>

namespace nark::cli {
namespace {

using std::chrono::microseconds;

TEST(UnitsTest, DurationsNeedAUnit) {
  EXPECT_EQ(*ParseDuration("500ms"), microseconds(500'000));
  EXPECT_EQ(*ParseDuration("10s"), microseconds(10'000'000));
  EXPECT_EQ(*ParseDuration("1.5s"), microseconds(1'500'000));
  EXPECT_EQ(*ParseDuration("2m"), microseconds(120'000'000));
  EXPECT_EQ(*ParseDuration("1h"), microseconds(3'600'000'000));
  EXPECT_EQ(*ParseDuration("0s"), microseconds(0));
  for (const char* bad :
       {"", "10", "s", "-1s", "1 s", "1.2.3s", ".5s", "1e3s", "99999999999999d"}) {
    EXPECT_EQ(ParseDuration(bad).status().code(), absl::StatusCode::kInvalidArgument) << bad;
  }
}

TEST(UnitsTest, SizesAndRatesScale) {
  EXPECT_EQ(*ParseBytes("65536"), 65536u);
  EXPECT_EQ(*ParseBytes("64KiB"), 65536u);
  EXPECT_EQ(*ParseBytes("2MiB"), 2u << 20);
  EXPECT_EQ(*ParseBytes("1kB"), 1000u);
  EXPECT_EQ(*ParseRate("20M"), 20'000'000u);
  EXPECT_EQ(*ParseRate("1.2M"), 1'200'000u);
  EXPECT_FALSE(ParseBytes("64kib").ok());
  EXPECT_FALSE(ParseRate("20m").ok());
}

TEST(UnitsTest, WholeNumbersStayExact) {
  EXPECT_EQ(*ParseNumber("18446744073709551615"), 18446744073709551615u);
  EXPECT_FALSE(ParseNumber("18446744073709551616").ok());
  EXPECT_FALSE(ParseNumber("0x10").ok());
  EXPECT_FALSE(ParseNumber("").ok());
}

TEST(UnitsTest, RangesAreInclusiveAndOrdered) {
  EXPECT_EQ(ParseRange("3-9")->first, 3u);
  EXPECT_EQ(ParseRange("3-9")->last, 9u);
  EXPECT_EQ(ParseRange("7")->last, 7u);
  EXPECT_FALSE(ParseRange("9-3").ok());
  EXPECT_FALSE(ParseRange("-3").ok());
  EXPECT_FALSE(ParseRange("3-").ok());
}

TEST(UnitsTest, DurationsReadBack) {
  for (const char* text : {"500ms", "10s", "90s", "1h", "250us", "2m"}) {
    EXPECT_EQ(*ParseDuration(FormatDuration(*ParseDuration(text))), *ParseDuration(text));
  }
  EXPECT_EQ(FormatDuration(microseconds(10'000'000)), "10s");
  EXPECT_EQ(FormatDuration(microseconds(0)), "0s");
}

}  // namespace
}  // namespace nark::cli
