#include "common/audit/family.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <numbers>
#include <set>
#include <string>

#include "common/audit/stream_keys.h"
#include "common/crypto/hash.h"

namespace nark::audit {
namespace {

using absl::StatusCode;

SecretBytes SecretOf(uint8_t first) {
  SecretBytes secret(kAuditSecretBytes);
  secret.RevealMutable()[0] = first;
  return secret;
}

Digest Space(uint32_t number) {
  uint8_t bytes[4];
  StoreBig32(bytes, number);
  return Sha256(bytes);
}

TEST(FamilyTest, RefusesSecretsAndBlocksOfOtherSizes) {
  for (const size_t size : {0, 16, 31, 33, 64}) {
    EXPECT_EQ(Family::Of(SecretBytes(size), 12).status().code(), StatusCode::kInvalidArgument);
  }
  for (const uint32_t words_log2 : {0u, 9u, 17u, 0xFFFFFFFFu}) {
    EXPECT_EQ(Family::Of(SecretOf(1), words_log2).status().code(), StatusCode::kInvalidArgument);
  }
  for (uint32_t words_log2 = 10; words_log2 <= 16; ++words_log2) {
    const auto family = Family::Of(SecretOf(1), words_log2);
    ASSERT_TRUE(family.ok()) << family.status();
    EXPECT_EQ(family->words_log2(), words_log2);
    EXPECT_EQ(family->symbols().size(), size_t{1} << words_log2);
  }
}

TEST(FamilyTest, BiasesAreThoseOf64LevelsOfTheArcsineLaw) {
  const Family family = *Family::Of(SecretOf(1), 16);
  std::set<uint32_t> expected;
  for (int level = 0; level < 64; ++level) {
    const double sine = std::sin(std::numbers::pi / 2 * (level + 0.5) / 64);
    expected.insert(static_cast<uint32_t>(std::lround(65536 * sine * sine)));
  }
  ASSERT_EQ(expected.size(), 64u);
  std::map<uint32_t, size_t> found;
  std::map<uint8_t, size_t> lanes;
  for (const Symbol& symbol : family.symbols()) {
    ++found[symbol.ones];
    ++lanes[symbol.lane];
    EXPECT_EQ(symbol.bias(), symbol.ones / 65536.0);
  }
  ASSERT_EQ(found.size(), 64u);
  for (const auto& [ones, times] : found) {
    EXPECT_TRUE(expected.contains(ones)) << ones;
    // 1,024 expected, and six standard deviations.
    EXPECT_NEAR(static_cast<double>(times), 1024, 193) << ones;
  }
  ASSERT_EQ(lanes.size(), kLanes);
  for (const auto& [lane, times] : lanes) {
    EXPECT_NEAR(static_cast<double>(times), 16384, 666) << int{lane};
  }
}

TEST(FamilyTest, CodewordsHaveOnesAsOftenAsTheBiasesSay) {
  constexpr uint32_t kSpaces = 2000;
  const Family family = *Family::Of(SecretOf(2), 10);
  std::vector<uint32_t> ones(family.symbols().size());
  for (uint32_t i = 0; i < kSpaces; ++i) {
    const SecretBytes codeword = *family.CodewordOf(Space(i));
    ASSERT_EQ(codeword.size(), ones.size());
    for (size_t k = 0; k < ones.size(); ++k) {
      ASSERT_LE(codeword.Reveal()[k], 1);
      ones[k] += codeword.Reveal()[k];
    }
  }
  double chi_square = 0;
  for (size_t k = 0; k < ones.size(); ++k) {
    const double bias = family.symbols()[k].bias();
    const double variance = kSpaces * bias * (1 - bias);
    const double away = ones[k] - kSpaces * bias;
    // Rare ones are Poisson's: 8 standard deviations and as many more.
    EXPECT_LE(std::abs(away), 8 + 8 * std::sqrt(variance)) << "symbol " << k;
    chi_square += away * away / variance;
  }
  // 1,024 degrees of freedom, and six standard deviations.
  EXPECT_NEAR(chi_square, 1024, 272);
}

TEST(FamilyTest, BlocksDifferExactlyWhereCodewordsDifferAtTheMarksBit) {
  const Family family = *Family::Of(SecretOf(3), 16);
  const Digest one = Space(1), other = Space(2);
  const SecretBytes word_one = *family.CodewordOf(one), word_other = *family.CodewordOf(other);
  const ChameleonBlock block_one = *family.MarkedBlockOf(one);
  const ChameleonBlock block_other = *family.MarkedBlockOf(other);
  size_t differing = 0;
  for (size_t word = 0; word < family.symbols().size(); ++word) {
    const bool differs = word_one.Reveal()[word] != word_other.Reveal()[word];
    differing += differs ? 1 : 0;
    for (size_t byte = 0; byte < 8; ++byte) {
      const bool mark = differs && byte == 2 * size_t{family.symbols()[word].lane};
      ASSERT_EQ(block_one.bytes().Reveal()[8 * word + byte] ^
                    block_other.bytes().Reveal()[8 * word + byte],
                mark ? 1 : 0)
          << "word " << word << ", byte " << byte;
    }
  }
  // 2 p (1 - p) of the arcsine law: a quarter, and six standard deviations.
  EXPECT_NEAR(static_cast<double>(differing), 16384, 666);
}

TEST(FamilyTest, ACodewordOfZerosWouldLeaveTheBaseBlock) {
  const Family family = *Family::Of(SecretOf(4), 10);
  const SecretBytes base = *BaseBlockBytes(*family.BaseBlockKey(), 10);
  const SecretBytes codeword = *family.CodewordOf(Space(5));
  const ChameleonBlock marked = *family.MarkedBlockOf(Space(5));
  for (size_t word = 0; word < codeword.size(); ++word) {
    for (size_t byte = 0; byte < 8; ++byte) {
      const bool mark = byte == 2 * size_t{family.symbols()[word].lane};
      ASSERT_EQ(marked.bytes().Reveal()[8 * word + byte] ^ base.Reveal()[8 * word + byte],
                mark ? codeword.Reveal()[word] : 0);
    }
  }
}

TEST(FamilyTest, IsAFunctionOfItsSecretAndShape) {
  const Family family = *Family::Of(SecretOf(5), 12), again = *Family::Of(SecretOf(5), 12);
  const Family other = *Family::Of(SecretOf(6), 12), larger = *Family::Of(SecretOf(5), 13);
  EXPECT_EQ(family.id(), again.id());
  EXPECT_TRUE(family.MarkedBlockOf(Space(1))->bytes() == again.MarkedBlockOf(Space(1))->bytes());
  for (const Family* stranger : {&other, &larger}) {
    EXPECT_NE(family.id(), stranger->id());
    EXPECT_FALSE(*family.BaseBlockKey() == *stranger->BaseBlockKey());
    EXPECT_FALSE(*family.BlockKey(Space(1)) == *stranger->BlockKey(Space(1)));
  }
  EXPECT_FALSE(*family.BlockKey(Space(1)) == *family.BlockKey(Space(2)));
}

TEST(FamilyTest, EveryStreamHasAKeyOfItsOwn) {
  const Family family = *Family::Of(SecretOf(7), 12);
  SessionName session, other_provider, other_session;
  other_provider.provider[31] = 1;
  other_session.session_id[0] = 1;
  std::set<std::string> keys;
  for (const SessionName& name : {session, other_provider, other_session}) {
    for (const uint32_t sub_session : {0u, 1u}) {
      for (const uint32_t sender : {1u, 256u}) {
        keys.insert(ToHex(family.StreamKey(name, sub_session, sender)->Reveal()));
      }
    }
  }
  EXPECT_EQ(keys.size(), 12u);
  // Blocks of another size are another family's, but their streams' keys the same.
  const Family larger = *Family::Of(SecretOf(7), 13);
  EXPECT_TRUE(*larger.StreamKey(session, 0, 1) == *family.StreamKey(session, 0, 1));
}

}  // namespace
}  // namespace nark::audit
