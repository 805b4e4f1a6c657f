#include "sender/strength.h"

#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <vector>

namespace nark::sender {
namespace {

TEST(StrengthTest, ParityIsTheShareRoundedUp) {
  EXPECT_EQ(ParityFragments(1, 0), 0u);
  EXPECT_EQ(ParityFragments(1, 1), 1u);
  EXPECT_EQ(ParityFragments(10, 20), 2u);
  EXPECT_EQ(ParityFragments(11, 20), 3u);
  EXPECT_EQ(ParityFragments(300, 100), 300u);
  EXPECT_EQ(ParityFragments(32'768, 100), 32'767u) << "65,535 fragments in all";
  EXPECT_EQ(ParityFragments(65'535, 100), 0u);
}

TEST(StrengthTest, EveryBlockHasParityWhereverThereIsAny) {
  for (uint32_t source = 1; source <= 12'000; ++source) {
    const fec::Spread spread(source, ParityFragments(source, 1));
    ASSERT_GE(spread.parity_of(spread.blocks() - 1), 1u) << source;
  }
}

// Against every pattern of losses, one by one.
TEST(StrengthTest, BlockFailureIsExact) {
  for (const double loss : {0.05, 0.1, 0.3}) {
    for (uint32_t source = 1; source <= 10; ++source) {
      for (uint32_t parity = 0; parity <= 4; ++parity) {
        double failure = 0;
        const auto count = static_cast<int>(source + parity);
        for (uint32_t lost = 0; lost < uint32_t{1} << count; ++lost) {
          const int gone = std::popcount(lost);
          if (gone > static_cast<int>(parity)) {
            failure += std::pow(loss, gone) * std::pow(1 - loss, count - gone);
          }
        }
        EXPECT_NEAR(BlockFailure(fec::Spread(source, parity), loss), failure, 1e-12)
            << source << " and " << parity;
      }
    }
  }
}

TEST(StrengthTest, TheDesignLossIsHalfOfWhatParityMakesGood) {
  EXPECT_DOUBLE_EQ(DesignLoss(100), 0.25);
  EXPECT_DOUBLE_EQ(DesignLoss(20), 1.0 / 12);
}

// At the design loss and at every higher one a header outlives a block, but for the limit.
TEST(StrengthTest, HeadersAreStrongerThanBlocks) {
  size_t at_limit = 0;
  for (const uint32_t percent : {1, 5, 10, 20, 50, 100}) {
    for (uint32_t source = 1; source <= 1000; ++source) {
      const fec::Spread spread(source, ParityFragments(source, percent));
      // Of 1,424 bytes: 44 hashes in the header, 89 a page.
      const uint32_t fragments = source + spread.parity();
      const uint32_t pages = fragments <= 44 ? 0 : (fragments + 88) / 89;
      const uint32_t copies = HeaderCopies(spread, pages, percent);
      ASSERT_GE(copies, kFewestCopies);
      ASSERT_LE(copies, kMostCopies);
      if (copies == kMostCopies) ++at_limit;
      for (const double loss : {DesignLoss(percent), 1.2 * DesignLoss(percent)}) {
        const double header = HeaderFailure(copies, pages, loss);
        ASSERT_TRUE(header < BlockFailure(spread, loss) || copies == kMostCopies)
            << source << " at " << percent << " %, loss " << loss;
        // Not more often than needed, either.
        if (loss == DesignLoss(percent) && copies > kFewestCopies) {
          ASSERT_GE(HeaderFailure(copies - 1, pages, loss), BlockFailure(spread, loss));
        }
      }
    }
  }
  EXPECT_LT(at_limit, 6u * 1000);
}

TEST(StrengthTest, WithoutParityNothingIsRepeatedMore) {
  EXPECT_EQ(HeaderCopies(fec::Spread(400, 0), 5, 0), 2u);
  EXPECT_EQ(WholeCopies(0), 1u);
  EXPECT_EQ(WholeCopies(20), 3u);
}

}  // namespace
}  // namespace nark::sender
