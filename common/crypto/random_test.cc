#include "common/crypto/random.h"

#include <gtest/gtest.h>

#include <set>

#include "common/crypto/hash.h"

namespace nark {
namespace {

TEST(SystemRandomTest, FillsEveryByte) {
  SystemRandom random;
  // A byte that stays zero in 40 draws would be filled by nobody (p = 2^-320).
  Bytes seen(100, 0);
  for (int i = 0; i < 40; ++i) {
    Bytes bytes(100, 0);
    ASSERT_TRUE(random.Fill(bytes).ok());
    for (size_t j = 0; j < bytes.size(); ++j) seen[j] |= bytes[j];
  }
  for (uint8_t b : seen) EXPECT_NE(b, 0);
  EXPECT_TRUE(random.Fill({}).ok());
}

TEST(SystemRandomTest, DoesNotRepeat) {
  SystemRandom random;
  std::set<Bytes> seen;
  for (int i = 0; i < 1000; ++i) {
    Bytes bytes(16);
    ASSERT_TRUE(random.Fill(bytes).ok());
    EXPECT_TRUE(seen.insert(bytes).second);
  }
}

TEST(SeededRandomTest, TheSeedDecidesEverything) {
  Bytes a(100), b(100), c(100);
  ASSERT_TRUE(SeededRandom(1).Fill(a).ok());
  ASSERT_TRUE(SeededRandom(1).Fill(b).ok());
  ASSERT_TRUE(SeededRandom(2).Fill(c).ok());
  EXPECT_EQ(a, b);
  EXPECT_NE(a, c);
}

TEST(SeededRandomTest, IsSha256InCounterMode) {
  Bytes drawn(40);
  ASSERT_TRUE(SeededRandom(0x0102030405060708).Fill(drawn).ok());
  Digest first = Sha256(FromHex("01020304050607080000000000000000"));
  Digest second = Sha256(FromHex("01020304050607080000000000000001"));
  EXPECT_TRUE(Equal(ByteView(drawn).first(32), first));
  EXPECT_TRUE(Equal(ByteView(drawn).last(8), ByteView(second).first(8)));
}

TEST(SeededRandomTest, BelowStaysBelowAndReachesAll) {
  SeededRandom random(3);
  EXPECT_EQ(random.Below(1), 0u);
  std::array<int, 6> counts{};
  for (int i = 0; i < 6000; ++i) ++counts.at(random.Below(6));
  // Six standard deviations (29) about the mean of 1000.
  for (int count : counts) EXPECT_NEAR(count, 1000, 174);
  for (int i = 0; i < 100; ++i)
    EXPECT_LT(random.Below((uint64_t{1} << 63) + 1), (uint64_t{1} << 63) + 1);
}

}  // namespace
}  // namespace nark
