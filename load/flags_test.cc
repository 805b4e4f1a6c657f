#include "load/flags.h"

#include <gtest/gtest.h>

namespace nark::load {
namespace {

TEST(FlagsTest, Rates) {
  EXPECT_EQ(*ParseJoinsPerSecond("1200"), 1200);
  EXPECT_EQ(*ParseJoinsPerSecond("0.5"), 0.5);
  for (const char* text : {"", "0", "-1", "fast", "inf", "nan", "12/s"}) {
    EXPECT_FALSE(ParseJoinsPerSecond(text).ok()) << text;
  }
}

TEST(FlagsTest, Percents) {
  EXPECT_EQ(*ParsePercent("100"), 1);
  EXPECT_EQ(*ParsePercent("0.5"), 0.005);
  EXPECT_EQ(*ParsePercent("0"), 0);
  for (const char* text : {"", "101", "-1", "nan", "5%"}) {
    EXPECT_FALSE(ParsePercent(text).ok()) << text;
  }
}

TEST(FlagsTest, Sweeps) {
  EXPECT_EQ(*ParseRates("100..500:5"), (std::vector<double>{100, 200, 300, 400, 500}));
  EXPECT_EQ(*ParseRates("0.5..1:2"), (std::vector<double>{0.5, 1}));
  EXPECT_EQ(*ParseRates("500..100:2"), (std::vector<double>{500, 100}));
  for (const char* text :
       {"", "100", "100..200", "100:200..3", "100..200:1", "..200:3", "1..2:x"}) {
    EXPECT_FALSE(ParseRates(text).ok()) << text;
  }
}

}  // namespace
}  // namespace nark::load
