#include "common/object/id_counts.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdint>
#include <limits>

#include "common/crypto/random.h"

namespace nark {
namespace {

constexpr uint64_t kMax = std::numeric_limits<uint64_t>::max();

IdSet RandomSet(SeededRandom& random) {
  IdSet ids;
  const uint64_t ranges = random.Below(40);
  for (uint64_t i = 0; i < ranges; ++i) {
    const uint64_t first = random.Below(300);
    ids.Insert(first, first + random.Below(5));
  }
  // The ends of what there is.
  if (random.Below(4) == 0) ids.Insert(kMax - 2, kMax);
  return ids;
}

TEST(IdCountsTest, CountsAsTheSetDoes) {
  for (uint64_t seed = 1; seed <= 300; ++seed) {
    SCOPED_TRACE(testing::Message() << "seed " << seed);
    SeededRandom random(seed);
    const IdSet ids = RandomSet(random);
    const IdCounts counts(ids);
    ASSERT_EQ(counts.size(), ids.size());
    for (int i = 0; i < 200; ++i) {
      const uint64_t first = random.Below(8) == 0 ? kMax - random.Below(4) : random.Below(320);
      const uint64_t last = random.Below(8) == 0
                                ? kMax
                                : first + random.Below(std::min<uint64_t>(50, kMax - first) + 1);
      ASSERT_EQ(counts.CountIn(first, last), ids.CountIn(first, last)) << first << " to " << last;
    }
    const IdSet others = RandomSet(random);
    uint64_t both = 0;
    for (const auto& [first, last] : others.ranges()) both += ids.CountIn(first, last);
    ASSERT_EQ(counts.CountIn(others), both);
  }
}

TEST(IdCountsTest, AnEmptySetHasNone) {
  EXPECT_EQ(IdCounts().CountIn(0, kMax), 0u);
  EXPECT_EQ(IdCounts(IdSet()).size(), 0u);
}

}  // namespace
}  // namespace nark
