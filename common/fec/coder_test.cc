#include "common/fec/coder.h"

#include <gtest/gtest.h>
#include <isa-l/erasure_code.h>

#include <algorithm>
#include <numeric>
#include <utility>
#include <vector>

#include "common/crypto/random.h"

namespace nark::fec {
namespace {

// By the definition, one bit at a time.
uint8_t SlowByteProduct(uint8_t a, uint8_t b) {
  unsigned product = 0;
  for (int bit = 7; bit >= 0; --bit) {
    product <<= 1;
    if (product > 255) product ^= 0x11d;
    if ((b >> bit & 1) != 0) product ^= a;
  }
  return static_cast<uint8_t>(product);
}

TEST(FieldTest, BytesMultiplyAsThePolynomialSays) {
  for (unsigned a = 0; a < 256; ++a) {
    for (unsigned b = 0; b < 256; ++b) {
      ASSERT_EQ(Field::Get().ByteProduct(static_cast<uint8_t>(a), static_cast<uint8_t>(b)),
                SlowByteProduct(static_cast<uint8_t>(a), static_cast<uint8_t>(b)))
          << a << " " << b;
    }
  }
}

// It is a field only where no byte solves z^2 + z = 32, and then every element has an inverse.
TEST(FieldTest, EveryElementHasItsInverse) {
  const Field& field = Field::Get();
  for (unsigned z = 0; z < 256; ++z) {
    EXPECT_NE(field.ByteProduct(static_cast<uint8_t>(z), static_cast<uint8_t>(z)) ^ z,
              Field::kConstant);
  }
  for (unsigned element = 1; element < 65536; ++element) {
    const Element inverse = field.Inverse(static_cast<Element>(element));
    ASSERT_EQ(field.Product(static_cast<Element>(element), inverse), 1) << element;
  }
}

TEST(FieldTest, ProductsAreAssociativeAndDistribute) {
  const Field& field = Field::Get();
  SeededRandom random(3);
  const auto draw = [&] { return static_cast<Element>(random.Below(65536)); };
  for (int i = 0; i < 20'000; ++i) {
    const Element a = draw(), b = draw(), c = draw();
    ASSERT_EQ(field.Product(field.Product(a, b), c), field.Product(a, field.Product(b, c)));
    ASSERT_EQ(field.Product(a, b ^ c), field.Product(a, b) ^ field.Product(a, c));
    ASSERT_EQ(field.Product(a, b), field.Product(b, a));
  }
}

TEST(SpreadTest, EveryFragmentHasOnePlaceAndBlocksStayBounded) {
  for (const auto& [source, parity] : std::vector<std::pair<uint32_t, uint32_t>>{{1, 1},
                                                                                 {1, 0},
                                                                                 {213, 43},
                                                                                 {426, 86},
                                                                                 {427, 86},
                                                                                 {1000, 200},
                                                                                 {1023, 1},
                                                                                 {511, 513},
                                                                                 {11'783, 2357},
                                                                                 {32'768, 32'767},
                                                                                 {1, 65'534}}) {
    SCOPED_TRACE(testing::Message() << source << " and " << parity);
    const Spread spread(source, parity);
    EXPECT_EQ(spread.blocks(), (source + parity + 511) / 512);
    uint32_t sources = 0, parities = 0;
    for (uint32_t block = 0; block < spread.blocks(); ++block) {
      sources += spread.source_of(block);
      parities += spread.parity_of(block);
      EXPECT_LE(spread.source_of(block) + spread.parity_of(block), kMostInBlock);
    }
    EXPECT_EQ(sources, source);
    EXPECT_EQ(parities, parity);
    for (uint32_t index = 0; index < source; ++index) {
      const uint32_t block = spread.BlockOf(index), number = spread.NumberOf(index);
      ASSERT_LT(number, spread.source_of(block));
      ASSERT_EQ(spread.IndexOf(block, number), index);
    }
  }
}

class CoderTest : public testing::Test {
 protected:
  Bytes Random(size_t bytes) {
    Bytes made(bytes);
    EXPECT_TRUE(random_.Fill(made).ok());
    return made;
  }

  // `count` of the numbers below `limit`, in any order.
  std::vector<uint32_t> Draw(uint32_t limit, uint32_t count) {
    std::vector<uint32_t> all(limit);
    std::iota(all.begin(), all.end(), 0);
    for (uint32_t i = 0; i < count; ++i) std::swap(all[i], all[i + random_.Below(limit - i)]);
    all.resize(count);
    return all;
  }

  struct Coded {
    Spread spread;
    size_t fragment_bytes;
    Bytes source;
    Bytes parity;
  };
  Coded Encode(uint32_t source, uint32_t parity, size_t fragment_bytes) {
    Coded coded{Spread(source, parity), fragment_bytes, Random(source * fragment_bytes),
                Bytes(parity * fragment_bytes)};
    coder_.Encode(coded.spread, fragment_bytes, coded.source, coded.parity);
    return coded;
  }

  // Spoils the source fragments `missing` of a block and repairs it by the parity fragments
  // `by`; whether the source is whole again.
  bool Survives(const Coded& coded, uint32_t block, const std::vector<uint32_t>& missing,
                const std::vector<uint32_t>& by) {
    const size_t size = coded.fragment_bytes;
    Bytes source = coded.source;
    for (const uint32_t number : missing) {
      std::fill_n(source.begin() + coded.spread.IndexOf(block, number) * size, size, 0xee);
    }
    std::vector<ParityFragment> parity;
    for (const uint32_t number : by) {
      const auto from = coded.parity.begin() + coded.spread.IndexOf(block, number) * size;
      parity.push_back({number, Bytes(from, from + size)});
    }
    coder_.Repair(coded.spread, block, size, source, missing, parity);
    return source == coded.source;
  }

  SeededRandom random_{20};
  Coder coder_;
};

// Up to 256 fragments the code is the one that ISA-L's own Cauchy matrix gives.
TEST_F(CoderTest, ABlockOfBytesIsCodedAsByIsaL) {
  for (const auto& [k, p] : std::vector<std::pair<int, int>>{{1, 1}, {10, 2}, {213, 43}}) {
    const Coded coded = Encode(static_cast<uint32_t>(k), static_cast<uint32_t>(p), 1424);
    Bytes matrix(static_cast<size_t>((k + p) * k)), tables(static_cast<size_t>(32 * k * p));
    gf_gen_cauchy1_matrix(matrix.data(), k + p, k);
    ec_init_tables(k, p, &matrix[static_cast<size_t>(k * k)], tables.data());
    Bytes source = coded.source, expected(coded.parity.size());
    std::vector<uint8_t*> from, to;
    for (int i = 0; i < k; ++i) from.push_back(&source[static_cast<size_t>(i) * 1424]);
    for (int i = 0; i < p; ++i) to.push_back(&expected[static_cast<size_t>(i) * 1424]);
    ec_encode_data(1424, k, p, tables.data(), from.data(), to.data());
    EXPECT_EQ(coded.parity, expected) << k << " and " << p;
  }
}

// Beyond, the definition itself, an element at a time.
TEST_F(CoderTest, ALargerBlockIsCodedAsDefined) {
  const Field& field = Field::Get();
  const Coded coded = Encode(300, 60, 32);
  for (uint32_t row = 0; row < 60; ++row) {
    for (size_t at = 0; at < 16; ++at) {
      Element sum = 0;
      for (uint32_t i = 0; i < 300; ++i) {
        const uint8_t* fragment = &coded.source[i * 32];
        const auto element = static_cast<Element>(fragment[16 + at] << 8 | fragment[at]);
        sum ^= field.Product(field.Inverse(static_cast<Element>((300 + row) ^ i)), element);
      }
      ASSERT_EQ(coded.parity[row * 32 + at], Low(sum)) << row << " " << at;
      ASSERT_EQ(coded.parity[row * 32 + 16 + at], High(sum)) << row << " " << at;
    }
  }
}

TEST_F(CoderTest, AnyAsManyFragmentsAsTheSourceHasAreEnough) {
  // Every choice of a small block: missing, and which parity stands in.
  const Coded coded = Encode(5, 4, 64);
  for (unsigned lost = 1; lost < 32; ++lost) {
    for (unsigned used = 1; used < 16; ++used) {
      if (__builtin_popcount(lost) != __builtin_popcount(used)) continue;
      std::vector<uint32_t> missing, by;
      for (uint32_t i = 0; i < 5; ++i) {
        if ((lost >> i & 1) != 0) missing.push_back(i);
        if (i < 4 && (used >> i & 1) != 0) by.push_back(i);
      }
      EXPECT_TRUE(Survives(coded, 0, missing, by)) << lost << " " << used;
    }
  }
}

TEST_F(CoderTest, RepairsBlocksOfEverySize) {
  for (const auto& [source, parity] : std::vector<std::pair<uint32_t, uint32_t>>{{1, 1},
                                                                                 {1, 3},
                                                                                 {2, 1},
                                                                                 {100, 20},
                                                                                 {213, 43},
                                                                                 {214, 43},
                                                                                 {300, 60},
                                                                                 {426, 86},
                                                                                 {427, 86},
                                                                                 {1000, 200},
                                                                                 {255, 256},
                                                                                 {7, 700}}) {
    const Coded coded = Encode(source, parity, 512);
    for (uint32_t block = 0; block < coded.spread.blocks(); ++block) {
      const uint32_t sources = coded.spread.source_of(block);
      const uint32_t most = std::min(sources, coded.spread.parity_of(block));
      for (const uint32_t lost : {uint32_t{1}, (most + 1) / 2, most}) {
        if (lost > most) continue;
        EXPECT_TRUE(
            Survives(coded, block, Draw(sources, lost), Draw(coded.spread.parity_of(block), lost)))
            << source << " and " << parity << ", block " << block << ", lost " << lost;
      }
    }
  }
}

TEST_F(CoderTest, RepairsFragmentsOfEverySize) {
  for (const size_t size : {16, 512, 1008, 1424, 8912, 65'520}) {
    for (const uint32_t source : {20u, 260u}) {
      const Coded coded = Encode(source, 20, size);
      EXPECT_TRUE(Survives(coded, 0, Draw(source, 20), Draw(20, 20))) << size << " " << source;
    }
  }
}

TEST_F(CoderTest, WrongParityGivesWrongSource) {
  Coded coded = Encode(10, 2, 512);
  coded.parity[100] ^= 1;
  EXPECT_FALSE(Survives(coded, 0, {3}, {0}));
  EXPECT_TRUE(Survives(coded, 0, {3}, {1}));
}

}  // namespace
}  // namespace nark::fec
