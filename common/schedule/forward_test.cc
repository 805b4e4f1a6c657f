// Generators that walk to an id.

#include <gtest/gtest.h>

#include <algorithm>
#include <memory>
#include <set>
#include <string>
#include <utility>

#include "common/crypto/random.h"
#include "common/schedule/forward_source.h"
#include "common/schedule/logistic_step.h"
#include "common/schedule/testing.h"

namespace nark::schedule {
namespace {

using absl::StatusCode;

TEST(HashChainTest, ACoverGivesWhatIsLaterAndNothingEarlier) {
  constexpr uint32_t kDepth = 10;
  const SecretBytes root = RootOf(8);
  auto from_root = OpenRoot("hash-chain", kDepth, root);
  for (uint64_t first : {0, 1, 31, 32, 33, 500, 1023}) {
    SCOPED_TRACE(first);
    const auto cover = *Find("hash-chain").Cover(root, {"hash-chain", kDepth}, first, first);
    ASSERT_EQ(cover.size(), 1u);
    EXPECT_EQ(cover[0].level, first == 0 ? 0 : kDepth);
    EXPECT_EQ(cover[0].prefix, first);
    auto source = Open("hash-chain", kDepth, Copy(cover));
    // From the end, so that every way back is a walk.
    for (uint64_t id = 1 << kDepth; id-- > 0;) {
      if (id >= first) {
        ASSERT_EQ(LeafHex(*source, id), LeafHex(*from_root, id)) << id;
      } else {
        ASSERT_EQ(LeafCode(*source, id), StatusCode::kOutOfRange) << id;
      }
    }
  }
}

TEST(HashChainTest, OpensTheEarliestOfSeveralGrants) {
  constexpr uint32_t kDepth = 10;
  const SecretBytes root = RootOf(9);
  std::vector<Node> nodes;
  for (uint64_t first : {700, 40, 900, 40}) {
    auto cover = *Find("hash-chain").Cover(root, {"hash-chain", kDepth}, first, first);
    nodes.push_back(std::move(cover.front()));
  }
  auto source = Open("hash-chain", kDepth, Copy(nodes));
  auto from_root = OpenRoot("hash-chain", kDepth, root);
  for (uint64_t id : {1023, 40, 41, 899, 900, 701}) {
    EXPECT_EQ(LeafHex(*source, id), LeafHex(*from_root, id));
  }
  EXPECT_EQ(LeafCode(*source, 39), StatusCode::kOutOfRange);
  nodes.push_back({kDepth, 40, RootOf(1)});
  EXPECT_EQ(Find("hash-chain").Open({"hash-chain", kDepth}, std::move(nodes)).status().code(),
            StatusCode::kInvalidArgument);
}

TEST(HashChainTest, RefusesNodesOfOtherLevels) {
  const auto code = [](uint32_t level, uint64_t prefix) {
    std::vector<Node> nodes;
    nodes.push_back({level, prefix, RootOf(1)});
    return Find("hash-chain").Open({"hash-chain", 8}, std::move(nodes)).status().code();
  };
  EXPECT_EQ(code(0, 0), StatusCode::kOk);
  EXPECT_EQ(code(8, 255), StatusCode::kOk);
  EXPECT_EQ(code(8, 0), StatusCode::kInvalidArgument) << "the root is of level 0";
  EXPECT_EQ(code(7, 5), StatusCode::kInvalidArgument);
}

TEST(LogisticMapTest, ACoverIsTheRootWhateverTheRange) {
  const SecretBytes root = RootOf(6);
  const auto cover = Find("logistic-map").Cover(root, {"logistic-map", 20}, 10, 20);
  ASSERT_TRUE(cover.ok());
  ASSERT_EQ(cover->size(), 1u);
  EXPECT_EQ(cover->front().level, 0u);
  EXPECT_TRUE(cover->front().key == root);
}

TEST(LogisticMapTest, StepsAreThoseOfTheDefinition) {
  constexpr uint64_t kMost = ~uint64_t{0};
  EXPECT_EQ(LogisticStep<64>(0), 0u);
  EXPECT_EQ(LogisticStep<64>(1), 3u);
  EXPECT_EQ(LogisticStep<64>(kMost), 3u);
  EXPECT_EQ(LogisticStep<64>(uint64_t{1} << 63), kMost) << "4 x 1/2 x 1/2 is 1, and cut off";
  EXPECT_EQ(LogisticStep<64>(uint64_t{1} << 62), uint64_t{3} << 62);
  EXPECT_EQ(LogisticStep<64>(uint64_t{3} << 62), uint64_t{3} << 62) << "a fixed point";
  EXPECT_EQ(LogisticStep<8>(128), 255u);
  EXPECT_EQ(LogisticStep<8>(100), 100u * 156 / 64);
}

// A root of zeros would stay where it is.
TEST(LogisticMapTest, ARootOfZerosMakesKeysAllTheSame) {
  auto zeros = OpenRoot("logistic-map", 8, RootOf(0));
  std::set<std::string> leaves;
  for (uint64_t id = 0; id < 256; ++id) leaves.insert(LeafHex(*zeros, id));
  EXPECT_EQ(leaves.size(), 256u);
}

// A host that asks for the ends in turn makes the secure space walk the chain once.
TEST(ForwardSourceTest, WalksTheWholeChainOnce) {
  class CountingChain final : public Chain {
   public:
    explicit CountingChain(uint64_t& steps) : steps_(steps) {}
    void Step(uint8_t* node) override {
      ++steps_;
      StoreBig64(node, LoadBig64(node) + 1);
    }
    void LeafOf(const uint8_t* node, uint8_t* leaf) override { std::copy_n(node, 32, leaf); }

   private:
    uint64_t& steps_;
  };
  for (uint32_t depth : {1u, 2u, 9u, 10u, 20u}) {
    SCOPED_TRACE(depth);
    const uint64_t last = (uint64_t{1} << depth) - 1;
    const uint64_t spacing = uint64_t{1} << (depth + 1) / 2;
    uint64_t steps = 0;
    ForwardSource source({"hash-chain", depth}, std::make_unique<CountingChain>(steps), 0,
                         SecretBytes(32));
    SecretBytes leaf;
    ASSERT_TRUE(source.Leaf(last, leaf).ok());
    EXPECT_EQ(steps, last);
    constexpr uint64_t kSeed = 29;
    SeededRandom random(kSeed);
    for (int i = 0; i < 1000; ++i) {
      steps = 0;
      const uint64_t id = i % 2 == 0 ? random.Below(last + 1) : last;
      ASSERT_TRUE(source.Leaf(id, leaf).ok());
      EXPECT_EQ(LoadBig64(leaf.Reveal().data()), id) << "seed " << kSeed;
      EXPECT_LT(steps, spacing) << "seed " << kSeed;
    }
  }
}

}  // namespace
}  // namespace nark::schedule
