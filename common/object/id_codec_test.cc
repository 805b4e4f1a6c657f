#include "common/object/id_codec.h"

#include <gtest/gtest.h>

#include <cmath>
#include <string>

#include "common/base/bytes.h"
#include "common/crypto/random.h"

namespace nark {
namespace {

std::string HexOf(const IdSet& ids) {
  auto packed = PackIds(ids);
  EXPECT_TRUE(packed.ok()) << packed.status();
  return packed.ok() ? ToHex(*packed) : "";
}

IdSet SetOf(std::initializer_list<std::pair<uint64_t, uint64_t>> ranges) {
  IdSet ids;
  for (const auto& [first, last] : ranges) ids.Insert(first, last);
  return ids;
}

void ExpectRoundTrip(const IdSet& ids, const std::string& what) {
  auto packed = PackIds(ids);
  ASSERT_TRUE(packed.ok()) << what << ": " << packed.status();
  auto unpacked = UnpackIds(*packed);
  ASSERT_TRUE(unpacked.ok()) << what << ": " << unpacked.status();
  EXPECT_EQ(*unpacked, ids) << what;
}

// What a receiver keeps of `total` ADUs, of which each is lost with `loss`, in bursts.
IdSet Received(SeededRandom& random, uint64_t total, double loss, double burst) {
  IdSet ids;
  // A chain of two states: from good to lost and back.
  const double back = 1 / burst, away = loss * back / (1 - loss);
  bool lost = false;
  for (uint64_t id = 0; id < total; ++id) {
    const double draw = static_cast<double>(random.Below(1 << 30)) / (1 << 30);
    lost = lost ? draw >= back : draw < away;
    if (!lost) ids.Insert(id);
  }
  return ids;
}

TEST(IdCodecTest, PacksAsDocumented) {
  EXPECT_EQ(HexOf(IdSet()), "00");
  EXPECT_EQ(HexOf(SetOf({{5, 5}})), "0105050000");
  EXPECT_EQ(HexOf(SetOf({{0, 299}})), "0100ab020000");
  // 3 is missing after three ids, 4 after none: 1110 0, padded.
  EXPECT_EQ(HexOf(SetOf({{0, 2}, {5, 6}})), "0100060200e0");
  // A run of 100 before one of 50: rice(6, 99) is 10 100011, rice(5, 49) is 10 10001.
  EXPECT_EQ(HexOf(SetOf({{0, 99}, {150, 150}})), "02009601010605a3a2");
}

TEST(IdCodecTest, UnpacksWhatItPacks) {
  constexpr uint64_t kMost = (uint64_t{1} << 63) - 1;
  ExpectRoundTrip(IdSet(), "empty");
  ExpectRoundTrip(SetOf({{0, 0}}), "zero");
  ExpectRoundTrip(SetOf({{0, kMost}}), "all");
  ExpectRoundTrip(SetOf({{kMost, kMost}}), "the last");
  ExpectRoundTrip(SetOf({{0, 0}, {kMost, kMost}}), "both ends");
  for (uint64_t seed = 1; seed <= 200; ++seed) {
    SeededRandom random(seed);
    IdSet ids;
    const uint64_t ranges = 1 + random.Below(40);
    const uint64_t spread = uint64_t{1} << random.Below(50);
    for (uint64_t i = 0; i < ranges; ++i) {
      const uint64_t first = random.Below(spread);
      ids.Insert(first, first + random.Below(1 + spread / 64));
    }
    ExpectRoundTrip(ids, "seed " + std::to_string(seed));
  }
}

TEST(IdCodecTest, RefusesEveryOtherEncoding) {
  SeededRandom random(7);
  auto packed = PackIds(Received(random, 300, 0.1, 2));
  ASSERT_TRUE(packed.ok());
  for (size_t bit = 0; bit < packed->size() * 8; ++bit) {
    Bytes flipped = *packed;
    flipped[bit / 8] ^= static_cast<uint8_t>(1 << bit % 8);
    auto unpacked = UnpackIds(flipped);
    // Another set, or none: never the same set from other bytes.
    if (unpacked.ok()) EXPECT_NE(*unpacked, *UnpackIds(*packed)) << "bit " << bit;
  }
  for (size_t size = 0; size < packed->size(); ++size) {
    EXPECT_FALSE(UnpackIds(ByteView(*packed).first(size)).ok()) << size;
  }
  Bytes longer = *packed;
  longer.push_back(0);
  EXPECT_FALSE(UnpackIds(longer).ok());
}

TEST(IdCodecTest, RefusesMoreRangesThanAreBounded) {
  // A claim of 2^62 runs, in a few bytes.
  Bytes huge = {2, 0};
  for (int i = 0; i < 8; ++i) huge.push_back(0xff);
  huge.push_back(0x7f);
  for (int i = 0; i < 8; ++i) huge.push_back(0xff);
  huge.push_back(0x3f);
  huge.insert(huge.end(), {0, 0, 0});
  EXPECT_FALSE(UnpackIds(huge).ok());
}

// 24 hours at 30 ADUs a second, 1 % lost (docs/figures.md).
TEST(IdCodecTest, IsWithinFivePercentOfTheEntropyOfLoss) {
  constexpr uint64_t kTotal = 24 * 3600 * 30;
  SeededRandom random(1);
  auto independent = PackIds(Received(random, kTotal, 0.01, 1 / 0.99));
  ASSERT_TRUE(independent.ok());
  const double p = 0.01;
  const double entropy = kTotal * -(p * std::log2(p) + (1 - p) * std::log2(1 - p)) / 8;
  EXPECT_LE(static_cast<double>(independent->size()), 1.05 * entropy);
  EXPECT_GE(static_cast<double>(independent->size()), 0.9 * entropy);  // or it lost something
}

}  // namespace
}  // namespace nark
