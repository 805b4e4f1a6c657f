#include "narkctl/trace/lsb_alignment.h"

#include <gtest/gtest.h>

#include "narkctl/trace/testing.h"

namespace nark::trace {
namespace {

constexpr size_t kSecond = 88200;

Pcm Part(const Pcm& all, size_t first, size_t count) {
  return Pcm(all.begin() + static_cast<int64_t>(first),
             all.begin() + static_cast<int64_t>(first + count));
}
void Append(Pcm& to, const Pcm& more) { to.insert(to.end(), more.begin(), more.end()); }

class LsbAlignmentTest : public testing::Test {
 protected:
  std::vector<Piece> Align(const Pcm& leak, AduRange range) {
    auto pieces = AlignByLsb(studio_.marks(), studio_.layout(), LsbOf(leak), leak.size(),
                             {.range = range, .effort = Effort::kThorough, .progress = nullptr});
    EXPECT_TRUE(pieces.ok()) << pieces.status();
    return pieces.ok() ? *pieces : std::vector<Piece>();
  }
  static size_t Aligned(const std::vector<Piece>& pieces) {
    size_t sum = 0;
    for (const Piece& piece : pieces) sum += piece.count;
    return sum;
  }

  Studio studio_{{.seed = 21}};
};

TEST_F(LsbAlignmentTest, FindsAnExcerptAcrossAdus) {
  const Pcm copy = studio_.CopyOf(3, {7, 9});
  const auto pieces = Align(Part(copy, 12345, 2 * kSecond), {0, 20});
  ASSERT_EQ(pieces.size(), 3u);
  EXPECT_EQ(pieces[0].place.adu_id, 7u);
  EXPECT_EQ(pieces[0].place.sample, 12345u);
  EXPECT_EQ(pieces[0].count, kSecond - 12345);
  EXPECT_EQ(pieces[1].place.adu_id, 8u);
  EXPECT_EQ(pieces[1].count, kSecond);
  EXPECT_EQ(pieces[2].place.sample, 0u);
  EXPECT_EQ(Aligned(pieces), 2 * kSecond);
}

TEST_F(LsbAlignmentTest, FindsTenMilliseconds) {
  const Pcm copy = studio_.CopyOf(3, {7, 8});
  for (const size_t first : {size_t{5000}, kSecond - 400}) {
    const auto pieces = Align(Part(copy, first, 882), {0, 20});
    ASSERT_FALSE(pieces.empty()) << first;
    EXPECT_EQ(pieces[0].place.sample, first);
    EXPECT_EQ(pieces[0].at, 0u);
    EXPECT_EQ(Aligned(pieces), 882u);
  }
}

TEST_F(LsbAlignmentTest, FindsEveryPieceOfWhatWasCut) {
  Pcm leak = Part(studio_.CopyOf(1, {15, 15}), 1001, 20000);
  Append(leak, Part(studio_.CopyOf(2, {3, 4}), 60000, 50000));
  Append(leak, Pcm(30000, 17));  // foreign
  Append(leak, Part(studio_.CopyOf(1, {16, 16}), 77, 9000));
  const auto pieces = Align(leak, {0, 20});
  ASSERT_EQ(pieces.size(), 4u);
  EXPECT_EQ(pieces[0].place.sample, 1001u);
  EXPECT_NEAR(static_cast<double>(pieces[1].at), 20000, 200);
  EXPECT_EQ(pieces[1].place.sample - pieces[1].at, 60000u - 20000u);
  EXPECT_EQ(pieces[2].place.adu_id, 4u);
  EXPECT_EQ(pieces[3].place.adu_id, 16u);
  EXPECT_NEAR(static_cast<double>(Aligned(pieces)), 79000, 600);
}

TEST_F(LsbAlignmentTest, FindsAdusOfOtherLengthsThanTheLayoutHas) {
  // As where a header took some of the first one's bytes.
  Pcm first = studio_.MasterOf(0), second = studio_.MasterOf(1);
  first.resize(first.size() - 22);
  Pcm leak = studio_.CopyOf(5, 0, first);
  Append(leak, studio_.CopyOf(5, 1, second));
  const auto pieces = Align(leak, {0, 5});
  ASSERT_EQ(pieces.size(), 2u);
  EXPECT_EQ(pieces[1].at, first.size());
  EXPECT_EQ(Aligned(pieces), leak.size());
}

TEST_F(LsbAlignmentTest, FindsWhatNoiseHasHalfDrowned) {
  Pcm leak = studio_.CopyOf(3, {7, 9});
  for (int16_t& sample : leak) {
    if (studio_.random()() % 100 < 38) sample ^= 1;
  }
  const auto pieces = Align(leak, {0, 20});
  EXPECT_GT(Aligned(pieces), leak.size() / 2);
  for (const Piece& piece : pieces) {
    EXPECT_EQ(piece.place.sample + (piece.place.adu_id - 7) * kSecond, piece.at);
  }
}

TEST_F(LsbAlignmentTest, FindsNothingInWhatWasNeverSent) {
  EXPECT_TRUE(Align(studio_.MasterOf(7), {0, 20}).empty());
  EXPECT_TRUE(Align(Pcm(100000), {0, 20}).empty());
}

}  // namespace
}  // namespace nark::trace
