#include "common/crypto/chameleon.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <string>
#include <utility>

#include "common/crypto/random.h"

namespace nark {
namespace {

using absl::StatusCode;

constexpr uint64_t kSeed = 1997;

SecretBytes RandomSecret(SeededRandom& random, size_t size) {
  SecretBytes secret(size);
  (void)random.Fill(secret.RevealMutable());
  return secret;
}

Bytes RandomBytes(SeededRandom& random, size_t size) {
  Bytes bytes(size);
  (void)random.Fill(bytes);
  return bytes;
}

std::shared_ptr<const ChameleonBlock> RandomBlock(SeededRandom& random, uint32_t words_log2) {
  return std::make_shared<const ChameleonBlock>(
      *ChameleonBlock::Of(RandomSecret(random, size_t{8} << words_log2)));
}

// The cipher by its definition, a byte at a time.
Bytes Defined(const ChameleonBlock& block, const SecretBytes& key, ByteView in) {
  const SecretBytes stream = *KeystreamOf(key, (in.size() + 7) / 8 * 8);
  Bytes out = ToBytes(in);
  for (size_t i = 0; i < out.size(); ++i) {
    for (size_t k = 0; k < kChameleonWords; ++k) {
      const uint8_t* lane = &stream.Reveal()[i / 8 * 8 + 2 * k];
      const size_t word = (lane[0] | size_t{lane[1]} << 8) % block.words();
      out[i] ^= block.bytes().Reveal()[8 * word + i % 8];
    }
  }
  return out;
}

class ChameleonLoopTest : public testing::TestWithParam<ChameleonLoop> {
 protected:
  void SetUp() override {
    const auto loops = ChameleonLoops();
    if (std::find(loops.begin(), loops.end(), GetParam()) == loops.end()) {
      GTEST_SKIP() << "NO such processor: the loop " << NameOf(GetParam()) << " was not tried";
    }
  }

  std::unique_ptr<Chameleon> Cipher(std::shared_ptr<const ChameleonBlock> block) {
    return *Chameleon::Create(std::move(block), GetParam());
  }

  SeededRandom random_{kSeed};
};

TEST_P(ChameleonLoopTest, IsTheDefinitionForBlocksOfEverySize) {
  for (uint32_t words_log2 = ChameleonBlock::kMinWordsLog2;
       words_log2 <= ChameleonBlock::kMaxWordsLog2; ++words_log2) {
    SCOPED_TRACE("seed 1997, words_log2 " + std::to_string(words_log2));
    const auto block = RandomBlock(random_, words_log2);
    const auto cipher = Cipher(block);
    for (int round = 0; round < 20; ++round) {
      const SecretBytes key = RandomSecret(random_, 16);
      const Bytes in = RandomBytes(random_, random_.Below(5001));
      Bytes out(in.size());
      ASSERT_TRUE(cipher->Apply(key, in, out).ok());
      ASSERT_TRUE(out == Defined(*block, key, in)) << in.size() << " bytes";
    }
  }
}

TEST_P(ChameleonLoopTest, IsTheDefinitionForEverySizeInPlaceAndAtEveryAlignment) {
  const auto block = RandomBlock(random_, 12);
  const auto cipher = Cipher(block);
  const SecretBytes key = RandomSecret(random_, 16);
  constexpr size_t kMost = 600, kMargin = 80;
  for (size_t size = 0; size <= kMost; ++size) {
    const Bytes in = RandomBytes(random_, size);
    const Bytes expected = Defined(*block, key, in);
    const size_t from = random_.Below(kMargin), to = random_.Below(kMargin);
    Bytes source(size + 2 * kMargin, 0xAA), target(size + 2 * kMargin, 0xEE);
    std::copy(in.begin(), in.end(), &source[from]);
    ASSERT_TRUE(cipher
                    ->Apply(key, ByteView(source).subspan(from, size),
                            MutableByteView(target).subspan(to, size))
                    .ok());
    Bytes untouched(size + 2 * kMargin, 0xEE);
    std::copy(expected.begin(), expected.end(), &untouched[to]);
    ASSERT_TRUE(target == untouched) << size << " bytes to offset " << to;
    const MutableByteView in_place = MutableByteView(source).subspan(from, size);
    ASSERT_TRUE(cipher->Apply(key, in_place, in_place).ok());
    ASSERT_TRUE(Equal(in_place, expected)) << size << " bytes at offset " << from;
  }
}

TEST_P(ChameleonLoopTest, GoesOnOverManyTilesAndUndoesItself) {
  const auto block = RandomBlock(random_, 16);
  const auto cipher = Cipher(block);
  const SecretBytes key = RandomSecret(random_, 16);
  const Bytes in = RandomBytes(random_, 300001);
  Bytes out(in.size());
  ASSERT_TRUE(cipher->Apply(key, in, out).ok());
  EXPECT_TRUE(out == Defined(*block, key, in));
  ASSERT_TRUE(cipher->Apply(key, out, out).ok());
  EXPECT_TRUE(out == in);
}

TEST_P(ChameleonLoopTest, RefusesSizesThatDoNotFit) {
  const auto cipher = Cipher(RandomBlock(random_, 10));
  const Bytes in(40);
  Bytes out(40, 0xEE), shorter(39), longer(41);
  const SecretBytes key(16);
  EXPECT_EQ(cipher->Apply(key, in, shorter).code(), StatusCode::kInvalidArgument);
  EXPECT_EQ(cipher->Apply(key, in, longer).code(), StatusCode::kInvalidArgument);
  for (const size_t size : {0, 15, 17, 32}) {
    EXPECT_EQ(cipher->Apply(SecretBytes(size), in, out).code(), StatusCode::kInvalidArgument);
  }
  EXPECT_EQ(out, Bytes(40, 0xEE));
}

std::string NameOfCase(const testing::TestParamInfo<ChameleonLoop>& test) {
  return std::string(NameOf(test.param));
}

INSTANTIATE_TEST_SUITE_P(Loops, ChameleonLoopTest,
                         testing::Values(ChameleonLoop::kPortable, ChameleonLoop::kAvx2,
                                         ChameleonLoop::kAvx512),
                         NameOfCase);

TEST(ChameleonTest, TakesTheWidestLoopAndRefusesOneThatTheProcessorLacks) {
  SeededRandom random(kSeed);
  const auto block = RandomBlock(random, 10);
  EXPECT_TRUE(Chameleon::Create(block).ok());
  const auto loops = ChameleonLoops();
  ASSERT_FALSE(loops.empty());
  EXPECT_EQ(loops.front(), ChameleonLoop::kPortable);
  for (const ChameleonLoop loop :
       {ChameleonLoop::kPortable, ChameleonLoop::kAvx2, ChameleonLoop::kAvx512}) {
    const bool can = std::find(loops.begin(), loops.end(), loop) != loops.end();
    EXPECT_EQ(Chameleon::Create(block, loop).status().code(),
              can ? StatusCode::kOk : StatusCode::kUnimplemented)
        << NameOf(loop);
  }
}

TEST(ChameleonTest, ABitOfTheBlockIsABitOfEachWordThatChoosesItsWordOddly) {
  SeededRandom random(kSeed);
  SecretBytes bytes = RandomSecret(random, size_t{8} << 10);
  constexpr size_t kWord = 77, kBit = 16;
  SecretBytes flipped = bytes.Clone();
  flipped.RevealMutable()[8 * kWord + kBit / 8] ^= 1 << kBit % 8;
  const auto one =
      *Chameleon::Create(std::make_shared<ChameleonBlock>(*ChameleonBlock::Of(std::move(bytes))));
  const auto other =
      *Chameleon::Create(std::make_shared<ChameleonBlock>(*ChameleonBlock::Of(std::move(flipped))));
  const SecretBytes key = RandomSecret(random, 16);
  constexpr size_t kWords = 20000;
  const Bytes in(8 * kWords);
  Bytes out_one(in.size()), out_other(in.size());
  ASSERT_TRUE(one->Apply(key, in, out_one).ok() && other->Apply(key, in, out_other).ok());
  const SecretBytes stream = *KeystreamOf(key, in.size());
  size_t differing = 0;
  for (size_t j = 0; j < kWords; ++j) {
    size_t chosen = 0;
    for (size_t k = 0; k < kChameleonWords; ++k) {
      const uint8_t* lane = &stream.Reveal()[8 * j + 2 * k];
      chosen += (lane[0] | size_t{lane[1]} << 8) % 1024 == kWord ? 1 : 0;
    }
    Bytes expected(8);
    if (chosen % 2 == 1) expected[kBit / 8] = 1 << kBit % 8;
    for (size_t i = 0; i < 8; ++i) {
      ASSERT_EQ(out_one[8 * j + i] ^ out_other[8 * j + i], expected[i]) << "word " << j;
    }
    differing += chosen % 2;
  }
  EXPECT_GT(differing, 0u);
}

TEST(ChameleonBlockTest, HasAPowerOfTwoOfWordsWithinItsBounds) {
  for (const size_t size :
       {0, 1, 8, 4096, 8191, 8193, 8200, 12288, 524280, 524296, 1 << 20, 3 << 18}) {
    EXPECT_EQ(ChameleonBlock::Of(SecretBytes(size)).status().code(), StatusCode::kInvalidArgument)
        << size;
  }
  for (uint32_t log2 = 10; log2 <= 16; ++log2) {
    const auto block = ChameleonBlock::Of(SecretBytes(size_t{8} << log2));
    ASSERT_TRUE(block.ok()) << block.status();
    EXPECT_EQ(block->words_log2(), log2);
    EXPECT_EQ(block->words(), size_t{1} << log2);
  }
}

}  // namespace
}  // namespace nark
