#include "keymanager/block_places.h"

#include <gtest/gtest.h>

#include <optional>
#include <string_view>
#include <utility>
#include <vector>

namespace nark::keymanager {
namespace {

class RefusedCauses final : public RefusalLog {
 public:
  void OnRefusal(Cause cause, std::string_view) override { causes.push_back(cause); }
  std::vector<Cause> causes;
};

Digest SpaceOf(uint8_t number) {
  Digest id{};
  id[0] = number;
  return id;
}

TEST(BlockPlacesTest, EverybodyHasAShareAndThereIsAnEndOfThem) {
  RefusedCauses refused;
  BlockPlaces places({.all = 3, .each = 2}, refused);
  std::vector<BlockPlaces::Place> held;
  for (const uint8_t space : {1, 1, 2}) {
    EXPECT_FALSE(places.full());
    auto place = places.Take(SpaceOf(space));
    ASSERT_TRUE(place.ok()) << place.status();
    held.push_back(*std::move(place));
  }
  EXPECT_TRUE(places.full());
  EXPECT_FALSE(places.Take(SpaceOf(1)).ok());
  EXPECT_FALSE(places.Take(SpaceOf(3)).ok());
  EXPECT_EQ(refused.causes, (std::vector{Cause::kRateLimited, Cause::kOverloaded}));
}

TEST(BlockPlacesTest, APlaceIsGivenBackOnceByWhoeverHoldsItLast) {
  RefusedCauses refused;
  BlockPlaces places({.all = 1, .each = 1}, refused);
  {
    auto first = places.Take(SpaceOf(1));
    ASSERT_TRUE(first.ok());
    const std::optional<BlockPlaces::Place> moved(*std::move(first));
    EXPECT_TRUE(places.full());
  }
  EXPECT_FALSE(places.full());
  EXPECT_TRUE(places.Take(SpaceOf(1)).ok());
  EXPECT_TRUE(places.Take(SpaceOf(2)).ok());
  EXPECT_TRUE(refused.causes.empty());
}

}  // namespace
}  // namespace nark::keymanager
