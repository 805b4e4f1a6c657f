#include "common/crypto/sha256_block.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "common/crypto/hash.h"
#include "common/crypto/random.h"

namespace nark {
namespace {

TEST(Sha256NodeTest, IsSha256OfNodeAndByte) {
  constexpr uint64_t kSeed = 20240301;
  SCOPED_TRACE(kSeed);
  SeededRandom random(kSeed);
  Sha256Node hash;
  for (int i = 0; i < 1000; ++i) {
    Digest node, child;
    ASSERT_TRUE(random.Fill(node).ok());
    const auto last = static_cast<uint8_t>(random.Below(256));
    hash.Hash(node.data(), last, child.data());
    EXPECT_EQ(child, Sha256({node, ByteView(&last, 1)}));
  }
}

TEST(Sha256NodeTest, WritesAChildOverItsNode) {
  Digest node{};
  const uint8_t last = 1;
  const Digest expected = Sha256({node, ByteView(&last, 1)});
  Sha256Node hash;
  hash.Hash(node.data(), last, node.data());
  EXPECT_EQ(node, expected);
}

}  // namespace
}  // namespace nark
