#include "common/object/id_set.h"

#include <gtest/gtest.h>

#include <limits>
#include <set>
#include <utility>
#include <vector>

#include "common/crypto/random.h"

namespace nark {
namespace {

using Ranges = std::vector<std::pair<uint64_t, uint64_t>>;

Ranges RangesOf(const IdSet& set) { return {set.ranges().begin(), set.ranges().end()}; }

Ranges RangesOf(const std::set<uint64_t>& ids) {
  Ranges ranges;
  for (uint64_t id : ids) {
    if (!ranges.empty() && ranges.back().second + 1 == id) {
      ranges.back().second = id;
    } else {
      ranges.emplace_back(id, id);
    }
  }
  return ranges;
}

TEST(IdSetTest, JoinsRangesThatTouch) {
  IdSet set;
  set.Insert(4);
  set.Insert(6);
  EXPECT_EQ(RangesOf(set), (Ranges{{4, 4}, {6, 6}}));
  set.Insert(5);
  EXPECT_EQ(RangesOf(set), (Ranges{{4, 6}}));
  set.Insert(0, 9);
  EXPECT_EQ(RangesOf(set), (Ranges{{0, 9}}));
}

TEST(IdSetTest, HoldsBothEndsOfTheIds) {
  constexpr uint64_t kMax = std::numeric_limits<uint64_t>::max();
  IdSet set;
  set.Insert(kMax);
  set.Insert(0);
  EXPECT_TRUE(set.Contains(0));
  EXPECT_TRUE(set.Contains(kMax));
  EXPECT_FALSE(set.Contains(1));
  EXPECT_EQ(RangesOf(set), (Ranges{{0, 0}, {kMax, kMax}}));
  set.Insert(kMax - 1);
  EXPECT_EQ(RangesOf(set), (Ranges{{0, 0}, {kMax - 1, kMax}}));
  set.Insert(0, kMax);
  EXPECT_EQ(RangesOf(set), (Ranges{{0, kMax}}));
}

TEST(IdSetTest, RemovesBothEndsAndTheMiddle) {
  constexpr uint64_t kMax = std::numeric_limits<uint64_t>::max();
  IdSet set;
  set.Insert(0, kMax);
  for (uint64_t id : {uint64_t{0}, kMax, uint64_t{5}, uint64_t{5}}) set.Remove(id);
  EXPECT_EQ(RangesOf(set), (Ranges{{1, 4}, {6, kMax - 1}}));
}

TEST(IdSetTest, AgreesWithASetOfSingleIds) {
  for (uint64_t seed = 0; seed < 200; ++seed) {
    SCOPED_TRACE(testing::Message() << "seed " << seed);
    SeededRandom random(seed);
    IdSet set;
    std::set<uint64_t> model;
    for (int step = 0; step < 60; ++step) {
      uint64_t first = random.Below(80);
      uint64_t last = first + (random.Below(3) == 0 ? random.Below(10) : 0);
      set.Insert(first, last);
      for (uint64_t id = first; id <= last; ++id) model.insert(id);
      if (random.Below(2) == 0) {
        const uint64_t gone = random.Below(95);
        set.Remove(gone);
        model.erase(gone);
      }
      ASSERT_EQ(RangesOf(set), RangesOf(model));
    }
    for (uint64_t id = 0; id < 100; ++id) ASSERT_EQ(set.Contains(id), model.contains(id)) << id;
  }
}

}  // namespace
}  // namespace nark
