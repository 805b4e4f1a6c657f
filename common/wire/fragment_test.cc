#include "common/wire/fragment.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <numeric>
#include <string>
#include <utility>

#include "common/crypto/random.h"

namespace nark::wire {
namespace {

constexpr uint64_t kSeed = 5;

// An ADU as both sides see it.
struct Cut {
  Header header;
  std::vector<Bytes> fragments;
  HashPages hashes;
};

Cut MakeCut(SeededRandom& random, uint32_t ciphertext_bytes, uint16_t fragment_bytes,
            uint16_t parity) {
  Bytes ciphertext(ciphertext_bytes);
  (void)random.Fill(ciphertext);
  Cut cut;
  cut.header.ciphertext_bytes = ciphertext_bytes;
  cut.header.fragment_bytes = fragment_bytes;
  const uint32_t source = SourceFragments(ciphertext_bytes, fragment_bytes);
  cut.header.source_fragments = static_cast<uint16_t>(source);
  cut.header.parity_fragments = parity;
  Bytes joined;
  for (uint32_t i = 0; i < source; ++i) {
    const ByteView fragment = SourceFragment(ciphertext, fragment_bytes, i);
    joined.insert(joined.end(), fragment.begin(), fragment.end());
    cut.fragments.push_back(ToBytes(fragment));
  }
  EXPECT_EQ(joined, ciphertext);
  for (uint16_t i = 0; i < parity; ++i) {
    cut.fragments.emplace_back(fragment_bytes);
    (void)random.Fill(cut.fragments.back());
  }
  std::vector<FragmentHash> hashes;
  for (const Bytes& fragment : cut.fragments) hashes.push_back(HashFragment(fragment));
  cut.hashes = BuildHashPages(std::move(hashes), fragment_bytes);
  cut.header.hashes = cut.hashes.root;
  return cut;
}

struct Shape {
  uint32_t ciphertext_bytes;
  uint16_t fragment_bytes;
  uint16_t parity;
};
// One, two, three and four levels; last fragments that are full, short, one byte.
const std::vector<Shape>& Shapes() {
  static const std::vector<Shape> shapes = {
      {17, 512, 0},       {512, 512, 0},          {513, 512, 0},           {16 * 512, 512, 0},
      {16 * 512, 512, 1}, {40000, 512, 7},        {512 * 512 + 1, 512, 0}, {300000, 512, 100},
      {50000, 1424, 20},  {1424 * 4000, 1424, 0},
  };
  return shapes;
}

TEST(HashTreeTest, EveryPieceIsGoodInAnyOrder) {
  SeededRandom random(kSeed);
  for (const Shape& shape : Shapes()) {
    SCOPED_TRACE(shape.ciphertext_bytes);
    const Cut cut = MakeCut(random, shape.ciphertext_bytes, shape.fragment_bytes, shape.parity);
    HashTreeReceiver tree(cut.header);
    ASSERT_EQ(tree.pages(), cut.hashes.pages.size());
    ASSERT_EQ(tree.fragments(), cut.fragments.size());
    std::vector<uint32_t> order(tree.pages());
    std::iota(order.begin(), order.end(), 0);
    for (size_t i = order.size(); i > 1; --i) std::swap(order[i - 1], order[random.Below(i)]);
    // What is not known yet becomes known once the pages above it have come.
    for (size_t rounds = 0; !tree.complete(); ++rounds) {
      ASSERT_LT(rounds, 4u);
      for (uint32_t page : order) {
        EXPECT_NE(tree.AcceptPage(page, cut.hashes.pages[page]), PieceCheck::kForged);
      }
    }
    for (uint32_t i = 0; i < tree.fragments(); ++i) {
      EXPECT_EQ(tree.FragmentPayloadBytes(i), cut.fragments[i].size());
      EXPECT_EQ(tree.CheckFragment(i, cut.fragments[i]), PieceCheck::kGood) << i;
    }
  }
}

TEST(HashTreeTest, WithoutPagesNothingIsKnownAndNothingIsForged) {
  SeededRandom random(kSeed);
  const Cut cut = MakeCut(random, 300000, 512, 3);
  HashTreeReceiver tree(cut.header);
  ASSERT_EQ(tree.pages(), 20u) << "19 pages of the fragments, one of these";
  EXPECT_FALSE(tree.complete());
  EXPECT_EQ(tree.CheckFragment(0, cut.fragments[0]), PieceCheck::kUnknownYet);
  EXPECT_EQ(tree.AcceptPage(0, cut.hashes.pages[0]), PieceCheck::kUnknownYet);
  EXPECT_EQ(tree.AcceptPage(19, cut.hashes.pages[19]), PieceCheck::kGood);
  EXPECT_EQ(tree.AcceptPage(0, cut.hashes.pages[0]), PieceCheck::kGood);
  EXPECT_EQ(tree.CheckFragment(31, cut.fragments[31]), PieceCheck::kGood);
  EXPECT_EQ(tree.CheckFragment(32, cut.fragments[32]), PieceCheck::kUnknownYet);
}

TEST(HashTreeTest, EveryForgedPieceIsForgedAndSpoilsNothing) {
  SeededRandom random(kSeed);
  const Cut cut = MakeCut(random, 40000, 512, 7);
  HashTreeReceiver tree(cut.header);
  for (uint32_t page = 0; page < tree.pages(); ++page) {
    for (size_t byte = 0; byte < cut.hashes.pages[page].size(); ++byte) {
      Bytes forged = cut.hashes.pages[page];
      forged[byte] ^= 0x10;
      EXPECT_EQ(tree.AcceptPage(page, forged), PieceCheck::kForged);
    }
    EXPECT_EQ(tree.AcceptPage(page, cut.hashes.pages[page]), PieceCheck::kGood);
    EXPECT_EQ(tree.AcceptPage(page, cut.hashes.pages[page]), PieceCheck::kGood) << "repeated";
  }
  EXPECT_TRUE(tree.complete());
  for (uint32_t i = 0; i < tree.fragments(); ++i) {
    Bytes forged = cut.fragments[i];
    forged[random.Below(forged.size())] ^= 1;
    EXPECT_EQ(tree.CheckFragment(i, forged), PieceCheck::kForged);
    EXPECT_EQ(tree.CheckFragment(i, cut.fragments[i]), PieceCheck::kGood);
  }
  EXPECT_EQ(tree.CheckFragment(0, cut.fragments[1]), PieceCheck::kForged) << "out of its place";
}

TEST(HashTreeTest, OtherSizesAndNumbersAreForged) {
  SeededRandom random(kSeed);
  const Cut cut = MakeCut(random, 40000, 512, 7);
  HashTreeReceiver tree(cut.header);
  for (uint32_t page : {tree.pages(), tree.pages() + 1, 0xFFFFFFFFu}) {
    EXPECT_EQ(tree.PagePayloadBytes(page), 0u);
    EXPECT_EQ(tree.AcceptPage(page, cut.hashes.pages[0]), PieceCheck::kForged);
    EXPECT_EQ(tree.AcceptPage(page, {}), PieceCheck::kForged);
  }
  for (uint32_t index : {tree.fragments(), 0xFFFFFFFFu}) {
    EXPECT_EQ(tree.FragmentPayloadBytes(index), 0u);
    EXPECT_EQ(tree.CheckFragment(index, cut.fragments[0]), PieceCheck::kForged);
    EXPECT_EQ(tree.CheckFragment(index, {}), PieceCheck::kForged);
  }
  const Bytes& fragment = cut.fragments[0];
  EXPECT_EQ(tree.CheckFragment(0, ByteView(fragment).first(511)), PieceCheck::kForged);
  EXPECT_EQ(tree.CheckFragment(0, {}), PieceCheck::kForged);
  EXPECT_EQ(tree.AcceptPage(0, ByteView(cut.hashes.pages[0]).first(16)), PieceCheck::kForged);
}

TEST(HashTreeTest, AllHashesInTheHeaderNeedNoPage) {
  SeededRandom random(kSeed);
  const Cut cut = MakeCut(random, 5000, 1424, 0);
  EXPECT_TRUE(cut.hashes.pages.empty());
  const HashTreeReceiver tree(cut.header);
  EXPECT_TRUE(tree.complete());
  EXPECT_EQ(tree.pages(), 0u);
  EXPECT_EQ(tree.CheckFragment(3, cut.fragments[3]), PieceCheck::kGood);
}

}  // namespace
}  // namespace nark::wire
