#include "common/wire/batch_tree.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <vector>

#include "common/crypto/hash.h"
#include "common/crypto/random.h"

namespace nark::wire {
namespace {

// A tree with everything about it.
struct Grown {
  explicit Grown(uint16_t count, uint8_t salt = 0) {
    std::vector<Digest> leaves;
    for (uint16_t i = 0; i < count; ++i) {
      const uint8_t name[] = {salt, static_cast<uint8_t>(i >> 8), static_cast<uint8_t>(i)};
      leaves.push_back(Sha256(name));
    }
    levels = BuildTree(std::move(leaves));
  }
  const Digest& root() const { return levels.back().front(); }
  const Digest& leaf(size_t index) const { return levels[0][index]; }
  Bytes Path(size_t index) const {
    Bytes path;
    for (size_t level = 0; level + 1 < levels.size(); ++level, index /= 2) {
      if ((index ^ 1) >= levels[level].size()) continue;
      const Digest& sibling = levels[level][index ^ 1];
      path.insert(path.end(), sibling.begin(), sibling.end());
    }
    return path;
  }
  std::vector<std::vector<Digest>> levels;
};

TEST(BatchTreeTest, HoldsEveryLeafInEveryOrder) {
  SeededRandom random(1);
  for (uint16_t count = 1; count <= 70; ++count) {
    const Grown grown(count);
    BatchTree tree(count, grown.root());
    std::vector<uint16_t> order;
    for (uint16_t i = 0; i < count; ++i) order.push_back(i);
    for (size_t i = count; i > 1; --i) std::swap(order[i - 1], order[random.Below(i)]);
    for (int times = 0; times < 2; ++times) {
      for (uint16_t index : order) {
        EXPECT_TRUE(tree.Contains(grown.leaf(index), index, grown.Path(index))) << count;
      }
    }
  }
}

// Whatever is asked, in whatever state: what is known changes the cost alone.
TEST(BatchTreeTest, SaysWhatHashingToTheRootSays) {
  SeededRandom random(2);
  size_t good = 0, bad = 0;
  for (int round = 0; round < 300; ++round) {
    const auto count = static_cast<uint16_t>(1 + random.Below(40));
    const Grown grown(count), other(count, 1);
    BatchTree tree(count, grown.root());
    for (int question = 0; question < 60; ++question) {
      const auto index = static_cast<uint16_t>(random.Below(count));
      Digest leaf = grown.leaf(index);
      Bytes path = grown.Path(index);
      switch (random.Below(6)) {
        case 0:  // a bit of the path
          if (!path.empty()) path[random.Below(path.size())] ^= uint8_t(1 << random.Below(8));
          break;
        case 1:  // another tree's leaf
          leaf = other.leaf(index);
          break;
        case 2:  // another tree's path
          path = other.Path(index);
          break;
        case 3:  // both, which lead to another root
          leaf = other.leaf(index);
          path = other.Path(index);
          break;
        default:
          break;
      }
      const bool leads = RootFromPath(leaf, index, count, path) == grown.root();
      EXPECT_EQ(tree.Contains(leaf, index, path), leads) << count << " " << index;
      ++(leads ? good : bad);
    }
  }
  EXPECT_GT(good, 5000u);
  EXPECT_GT(bad, 5000u);
}

TEST(BatchTreeTest, WhatDoesNotLeadToTheRootLeavesNothingBehind) {
  const Grown grown(8), forged(8, 1);
  BatchTree tree(8, grown.root());
  for (uint16_t index = 0; index < 8; ++index) {
    EXPECT_FALSE(tree.Contains(forged.leaf(index), index, forged.Path(index)));
    // A genuine path with one forged sibling, which would vouch for a forged leaf.
    Bytes path = grown.Path(index);
    std::copy_n(forged.leaf(index ^ 1).begin(), kTreeHashBytes, path.begin());
    EXPECT_FALSE(tree.Contains(grown.leaf(index), index, path));
  }
  for (uint16_t index = 0; index < 8; ++index) {
    EXPECT_FALSE(tree.Contains(forged.leaf(index), index, grown.Path(index)));
    EXPECT_TRUE(tree.Contains(grown.leaf(index), index, grown.Path(index)));
    EXPECT_FALSE(tree.Contains(forged.leaf(index), index, grown.Path(index)));
  }
}

TEST(BatchTreeTest, LeavesInOrderCostANodeEachAtMost) {
  for (uint16_t count : {2, 511, 512, 513, 1024}) {
    const Grown grown(count);
    BatchTree tree(count, grown.root());
    const size_t limit = tree.node_limit();
    EXPECT_LE(limit, 2u * count + 10u);
    for (uint16_t index = 0; index < count; ++index) {
      EXPECT_TRUE(tree.Contains(grown.leaf(index), index, grown.Path(index)));
    }
    EXPECT_LE(tree.nodes_hashed(), count + 10u);
    const uint64_t hashed = tree.nodes_hashed();
    for (uint16_t index = 0; index < count; ++index) {
      EXPECT_TRUE(tree.Contains(grown.leaf(index), index, grown.Path(index)));
    }
    EXPECT_EQ(tree.nodes_hashed(), hashed) << "a repeated leaf costs none";
    EXPECT_EQ(tree.node_limit(), limit);
  }
}

}  // namespace
}  // namespace nark::wire
