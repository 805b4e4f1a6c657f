#include "common/audit/code_length.h"

#include <gtest/gtest.h>

namespace nark::audit {
namespace {

TEST(SymbolsForTest, GrowsWithTheSquareOfColluders) {
  const uint64_t one = SymbolsFor(1);
  EXPECT_GT(one, 100u);
  for (const uint32_t colluders : {2u, 5u, 10u, 50u}) {
    const auto expected = static_cast<double>(one) * colluders * colluders;
    // Rounded up, each.
    EXPECT_NEAR(static_cast<double>(SymbolsFor(colluders)), expected, colluders * colluders + 1.0);
  }
}

TEST(ColludersForTest, IsTheMostForWhomTheSymbolsSuffice) {
  for (uint32_t words_log2 = 10; words_log2 <= 16; ++words_log2) {
    const uint64_t symbols = uint64_t{1} << words_log2;
    const uint32_t most = ColludersFor(symbols);
    EXPECT_LE(SymbolsFor(most), symbols);
    EXPECT_GT(SymbolsFor(most + 1), symbols);
  }
  EXPECT_EQ(ColludersFor(0), 0u);
  EXPECT_EQ(ColludersFor(65'536), 15u);
}

}  // namespace
}  // namespace nark::audit
