#include "common/schedule/generator.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <set>
#include <string>
#include <utility>

#include "common/base/status.h"
#include "common/crypto/random.h"
#include "common/crypto/sha256_block.h"
#include "common/schedule/testing.h"
#include "tests/model/vectors.h"

namespace nark::schedule {
namespace {

using absl::StatusCode;

std::pair<uint64_t, uint64_t> IdsBelow(const Node& node, uint32_t depth) {
  const uint32_t height = depth - node.level;
  const uint64_t first = node.prefix << height;
  return {first, first + ((uint64_t{1} << height) - 1)};
}

// Ascending, without gaps, exactly first..last, and no two that a parent would
// replace: there is one such cover, and it is the smallest.
void ExpectMinimalCover(const std::vector<Node>& cover, uint32_t depth, uint64_t first,
                        uint64_t last) {
  ASSERT_FALSE(cover.empty());
  EXPECT_LE(cover.size(), std::max<size_t>(1, 2 * (depth - 1)));
  EXPECT_EQ(IdsBelow(cover.front(), depth).first, first);
  EXPECT_EQ(IdsBelow(cover.back(), depth).second, last);
  for (size_t i = 1; i < cover.size(); ++i) {
    const Node& a = cover[i - 1];
    const Node& b = cover[i];
    EXPECT_EQ(IdsBelow(a, depth).second + 1, IdsBelow(b, depth).first);
    EXPECT_FALSE(a.level == b.level && a.prefix / 2 == b.prefix / 2) << "two halves of one node";
  }
}

struct Range {
  uint64_t first;
  uint64_t last;
};
Range RandomRange(SeededRandom& random, uint32_t depth) {
  // Short ones as often as long ones.
  const uint64_t ids = uint64_t{1} << depth;
  const uint64_t span = random.Below(uint64_t{1} << random.Below(depth + 1)) + 1;
  const uint64_t first = random.Below(ids - span + 1);
  return {first, first + span - 1};
}

TEST(RegistryTest, FindsWhatItNames) {
  EXPECT_EQ(GeneratorIds(),
            (std::vector<std::string_view>{"marks", "hkdf", "hash-chain", "logistic-map"}));
  for (std::string_view id : GeneratorIds()) EXPECT_EQ(Find(id).id(), id);
}

TEST(RegistryTest, NamesTheKnownOnesWhereItHasNone) {
  const auto found = FindGenerator("logistic");
  EXPECT_EQ(found.status().code(), StatusCode::kInvalidArgument);
  EXPECT_EQ(Std(found.status().message()),
            "no generator \"logistic\"; known: marks hkdf hash-chain logistic-map");
}

TEST(RegistryTest, SaysWhatEachPromises) {
  struct Expected {
    const char* id;
    Properties properties;
    uint32_t default_depth;
  };
  const Expected all[] = {
      {"marks", {Access::kRandom, RangeGrants::kExact, true, 63}, 32},
      {"hkdf", {Access::kRandom, RangeGrants::kEverything, true, 63}, 32},
      {"hash-chain", {Access::kForwardOnly, RangeGrants::kEverything, true, 20}, 20},
      {"logistic-map", {Access::kForwardOnly, RangeGrants::kEverything, false, 20}, 20},
  };
  ASSERT_EQ(GeneratorIds().size(), std::size(all));
  for (const Expected& expected : all) {
    SCOPED_TRACE(expected.id);
    const Properties properties = Find(expected.id).properties();
    EXPECT_EQ(properties.access, expected.properties.access);
    EXPECT_EQ(properties.range_grants, expected.properties.range_grants);
    EXPECT_EQ(properties.secure, expected.properties.secure);
    EXPECT_EQ(properties.max_depth, expected.properties.max_depth);
    EXPECT_EQ(DefaultDepth(Find(expected.id)), expected.default_depth);
  }
}

TEST(GeneratorVectorsTest, LeavesAndCoversAreTheModels) {
  for (const auto& expected : model::Vectors()["schedule"]["roots"]) {
    const std::string id = expected["generator"];
    const uint32_t depth = expected["depth"];
    SCOPED_TRACE(id + " of depth " + std::to_string(depth));
    const SecretBytes root = SecretBytes::CopyOf(model::HexField(expected, "root"));
    auto source = OpenRoot(id, depth, root);
    for (const auto& leaf : expected["leaves"]) {
      EXPECT_EQ(LeafHex(*source, leaf["id"]), leaf["leaf"]);
    }
    for (const auto& range : expected["covers"]) {
      const auto cover = Find(id).Cover(root, {id, depth}, range["first"], range["last"]);
      ASSERT_TRUE(cover.ok()) << cover.status();
      ASSERT_EQ(cover->size(), range["nodes"].size());
      for (size_t i = 0; i < cover->size(); ++i) {
        EXPECT_EQ((*cover)[i].level, range["nodes"][i]["level"]);
        EXPECT_EQ((*cover)[i].prefix, range["nodes"][i]["prefix"]);
        EXPECT_EQ(ToHex((*cover)[i].key.Reveal()), range["nodes"][i]["key"]);
      }
    }
  }
}

TEST(GeneratorTest, RefusesADepthOutOfBounds) {
  for (std::string_view id : GeneratorIds()) {
    for (uint32_t depth : {0u, Find(id).properties().max_depth + 1, 64u, 255u, 0xFFFFFFFFu}) {
      const Parameters parameters{std::string(id), depth};
      EXPECT_EQ(Find(id).Check(parameters).code(), StatusCode::kInvalidArgument) << depth;
      EXPECT_EQ(Find(id).Open(parameters, {}).status().code(), StatusCode::kInvalidArgument);
      EXPECT_EQ(Find(id).Cover(RootOf(1), parameters, 0, 0).status().code(),
                StatusCode::kInvalidArgument);
    }
  }
}

TEST(GeneratorTest, RefusesRangesThatAreNone) {
  for (std::string_view id : GeneratorIds()) {
    const Parameters parameters{std::string(id), 8};
    const auto code = [&](uint64_t first, uint64_t last) {
      return Find(id).Cover(RootOf(1), parameters, first, last).status().code();
    };
    EXPECT_EQ(code(0, 255), StatusCode::kOk);
    EXPECT_EQ(code(0, 256), StatusCode::kOutOfRange);
    EXPECT_EQ(code(256, 256), StatusCode::kOutOfRange);
    EXPECT_EQ(code(9, 8), StatusCode::kInvalidArgument);
    EXPECT_EQ(Find(id).Cover(SecretBytes(31), parameters, 0, 1).status().code(),
              StatusCode::kInvalidArgument);
  }
}

TEST(GeneratorTest, RefusesIdsBeyondItsDepth) {
  for (std::string_view id : GeneratorIds()) {
    for (uint32_t depth : {1u, 7u, 8u, 20u, 32u, 63u}) {
      if (depth > Find(id).properties().max_depth) continue;
      auto source = OpenRoot(id, depth, RootOf(1));
      const uint64_t ids = uint64_t{1} << depth;
      EXPECT_EQ(LeafCode(*source, ids - 1), StatusCode::kOk) << id << depth;
      EXPECT_EQ(LeafCode(*source, ids), StatusCode::kOutOfRange) << id << depth;
      EXPECT_EQ(LeafCode(*source, ~uint64_t{0}), StatusCode::kOutOfRange) << id << depth;
    }
  }
}

TEST(GeneratorTest, DerivesNothingFromNothing) {
  for (std::string_view id : GeneratorIds()) {
    auto source = Open(id, DefaultDepth(Find(id)), {});
    EXPECT_EQ(LeafCode(*source, 0), StatusCode::kOutOfRange);
  }
}

TEST(GeneratorTest, RefusesNodesThatAreNone) {
  for (std::string_view id : GeneratorIds()) {
    const auto code = [&](uint32_t level, uint64_t prefix, size_t key_bytes) {
      std::vector<Node> nodes;
      nodes.push_back({level, prefix, SecretBytes(key_bytes)});
      return Find(id).Open({std::string(id), 8}, std::move(nodes)).status().code();
    };
    EXPECT_EQ(code(0, 0, 32), StatusCode::kOk);
    EXPECT_EQ(code(0, 1, 32), StatusCode::kInvalidArgument);
    EXPECT_EQ(code(8, 256, 32), StatusCode::kInvalidArgument);
    EXPECT_EQ(code(9, 0, 32), StatusCode::kInvalidArgument);
    EXPECT_EQ(code(64, 0, 32), StatusCode::kInvalidArgument);
    EXPECT_EQ(code(0, 0, 31), StatusCode::kInvalidArgument);
    EXPECT_EQ(code(0, 0, 33), StatusCode::kInvalidArgument);
  }
}

TEST(GeneratorTest, RefusesNodesThatContradictEachOther) {
  for (std::string_view id : GeneratorIds()) {
    std::vector<Node> nodes;
    nodes.push_back({0, 0, RootOf(1)});
    nodes.push_back({0, 0, RootOf(1)});
    EXPECT_TRUE(Find(id).Open({std::string(id), 8}, Copy(nodes)).ok());
    nodes.push_back({0, 0, RootOf(2)});
    EXPECT_EQ(Find(id).Open({std::string(id), 8}, std::move(nodes)).status().code(),
              StatusCode::kInvalidArgument);
  }
}

TEST(GeneratorTest, SequentialAndRandomAccessAgree) {
  constexpr uint64_t kSeed = 7;
  for (std::string_view id : GeneratorIds()) {
    SeededRandom random(kSeed);
    const uint32_t depth = DefaultDepth(Find(id));
    auto sequential = OpenRoot(id, depth, RootOf(3));
    auto jumping = OpenRoot(id, depth, RootOf(3));
    const uint64_t first = (uint64_t{1} << depth) - 0x100 - 2000;
    std::vector<std::string> leaves;
    for (uint64_t i = 0; i < 2000; ++i) leaves.push_back(LeafHex(*sequential, first + i));
    for (int n = 0; n < 2000; ++n) {
      const uint64_t i = random.Below(leaves.size());
      EXPECT_EQ(LeafHex(*jumping, first + i), leaves[i]) << id << ", seed " << kSeed;
    }
    EXPECT_EQ(std::set<std::string>(leaves.begin(), leaves.end()).size(), leaves.size());
  }
}

TEST(MarksTest, EveryKeyOfACoverIsTheSeeds) {
  constexpr uint64_t kSeed = 11;
  SeededRandom random(kSeed);
  for (int round = 0; round < 500; ++round) {
    const auto depth = static_cast<uint32_t>(random.Below(63) + 1);
    const Range range = RandomRange(random, depth);
    SCOPED_TRACE("seed " + std::to_string(kSeed) + ", round " + std::to_string(round));
    const SecretBytes root = RootOf(static_cast<uint8_t>(round));
    auto cover = Find("marks").Cover(root, {"marks", depth}, range.first, range.last);
    ASSERT_TRUE(cover.ok()) << cover.status();
    ExpectMinimalCover(*cover, depth, range.first, range.last);
    auto from_seed = OpenRoot("marks", depth, root);
    auto from_cover = Open("marks", depth, *std::move(cover));
    const uint64_t span = range.last - range.first;
    for (uint64_t id :
         {range.first, range.last, range.first + span / 2, range.first + random.Below(span + 1)}) {
      EXPECT_EQ(LeafHex(*from_cover, id), LeafHex(*from_seed, id));
    }
    if (range.first > 0) {
      EXPECT_EQ(LeafCode(*from_cover, range.first - 1), StatusCode::kOutOfRange);
    }
    EXPECT_EQ(LeafCode(*from_cover, range.last + 1), StatusCode::kOutOfRange);
  }
}

// All that can be hashed out of a node, leaf or not.
void CollectBelow(const Digest& node, uint32_t steps, std::set<Digest>& all) {
  all.insert(node);
  if (steps == 0) return;
  Sha256Node hash;
  for (uint8_t bit : {uint8_t{0}, uint8_t{1}}) {
    Digest child;
    hash.Hash(node.data(), bit, child.data());
    CollectBelow(child, steps - 1, all);
  }
}

// Exhaustive, for every range of a small tree: hashing a cover's nodes as deep as
// the whole tree is gives no key outside the range.
TEST(MarksTest, NoKeyOutsideTheRangeFollowsFromItsCover) {
  constexpr uint32_t kDepth = 5;
  const SecretBytes root = RootOf(5);
  auto source = OpenRoot("marks", kDepth, root);
  std::vector<Digest> leaves(1 << kDepth);
  for (uint64_t id = 0; id < leaves.size(); ++id) {
    SecretBytes leaf;
    ASSERT_TRUE(source->Leaf(id, leaf).ok());
    std::copy_n(leaf.Reveal().begin(), 32, leaves[id].begin());
  }
  for (uint64_t first = 0; first < leaves.size(); ++first) {
    for (uint64_t last = first; last < leaves.size(); ++last) {
      const auto cover = *Find("marks").Cover(root, {"marks", kDepth}, first, last);
      std::set<Digest> derivable;
      for (const Node& node : cover) {
        Digest key;
        std::copy_n(node.key.Reveal().begin(), 32, key.begin());
        CollectBelow(key, kDepth, derivable);
      }
      for (uint64_t id = 0; id < leaves.size(); ++id) {
        EXPECT_EQ(derivable.count(leaves[id]), id >= first && id <= last ? 1u : 0u)
            << first << "-" << last << ": " << id;
      }
    }
  }
}

TEST(MarksTest, OpensOverlappingNodesOfSeveralGrants) {
  constexpr uint64_t kSeed = 13;
  constexpr uint32_t kDepth = 10;
  SeededRandom random(kSeed);
  const SecretBytes root = RootOf(9);
  auto from_seed = OpenRoot("marks", kDepth, root);
  for (int round = 0; round < 100; ++round) {
    SCOPED_TRACE("seed " + std::to_string(kSeed) + ", round " + std::to_string(round));
    std::vector<Node> nodes;
    std::vector<Range> ranges;
    for (int grant = 0; grant < 4; ++grant) {
      ranges.push_back(RandomRange(random, kDepth));
      auto cover =
          *Find("marks").Cover(root, {"marks", kDepth}, ranges.back().first, ranges.back().last);
      nodes.insert(nodes.begin(), std::make_move_iterator(cover.begin()),
                   std::make_move_iterator(cover.end()));
    }
    auto source = Open("marks", kDepth, std::move(nodes));
    for (uint64_t id = 0; id < 1u << kDepth; ++id) {
      const bool granted = std::any_of(ranges.begin(), ranges.end(), [id](const Range& range) {
        return id >= range.first && id <= range.last;
      });
      if (granted) {
        EXPECT_EQ(LeafHex(*source, id), LeafHex(*from_seed, id));
      } else {
        EXPECT_EQ(LeafCode(*source, id), StatusCode::kOutOfRange) << id;
      }
    }
  }
}

TEST(MarksTest, ARefusedIdDoesNotDisturbTheNext) {
  const SecretBytes root = RootOf(4);
  auto source = Open("marks", 32, *Find("marks").Cover(root, {"marks", 32}, 100, 200));
  const std::string expected = LeafHex(*OpenRoot("marks", 32, root), 150);
  EXPECT_EQ(LeafHex(*source, 150), expected);
  EXPECT_EQ(LeafCode(*source, 201), StatusCode::kOutOfRange);
  EXPECT_EQ(LeafHex(*source, 150), expected);
}

TEST(HkdfTest, ACoverIsTheRootWhateverTheRange) {
  const SecretBytes root = RootOf(6);
  const auto cover = Find("hkdf").Cover(root, {"hkdf", 32}, 10, 20);
  ASSERT_TRUE(cover.ok());
  ASSERT_EQ(cover->size(), 1u);
  EXPECT_EQ(cover->front().level, 0u);
  EXPECT_TRUE(cover->front().key == root);
}

TEST(HkdfTest, RefusesANodeBelowTheRoot) {
  std::vector<Node> nodes;
  nodes.push_back({1, 0, RootOf(1)});
  EXPECT_EQ(Find("hkdf").Open({"hkdf", 8}, std::move(nodes)).status().code(),
            StatusCode::kInvalidArgument);
}

}  // namespace
}  // namespace nark::schedule
