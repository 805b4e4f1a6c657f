#include "common/wire/cipher.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <string>
#include <utility>

#include "common/base/status.h"
#include "common/crypto/random.h"

namespace nark::wire {
namespace {

using absl::StatusCode;

Bytes RandomBytes(SeededRandom& random, size_t size) {
  Bytes bytes(size);
  (void)random.Fill(bytes);
  return bytes;
}

SecretBytes RandomKey(SeededRandom& random, const CipherSuite& suite) {
  SecretBytes key(suite.key_bytes());
  (void)random.Fill(key.RevealMutable());
  return key;
}

std::vector<ClearRange> RandomClearMap(SeededRandom& random, size_t plaintext_bytes) {
  std::vector<ClearRange> clear;
  size_t end = 0;
  for (uint64_t n = random.Below(6); n > 0; --n) {
    const size_t offset = end + random.Below(3) * random.Below(50);
    const size_t length = 1 + random.Below(80);
    if (offset + length > plaintext_bytes) break;
    clear.push_back({static_cast<uint32_t>(offset), static_cast<uint32_t>(length)});
    end = offset + length;
  }
  return clear;
}

class CipherTest : public testing::TestWithParam<std::string> {
 protected:
  const CipherSuite& suite_ = **FindCipher(GetParam());
  std::unique_ptr<AduCipher> cipher_ = *suite_.Create();
  SeededRandom random_{19};
};

TEST_P(CipherTest, OpensWhatItSealedAndLeavesClearBytesInPlace) {
  for (int round = 0; round < 300; ++round) {
    SCOPED_TRACE("seed 19, round " + std::to_string(round));
    const Bytes plaintext = RandomBytes(random_, 1 + random_.Below(2000));
    const std::vector<ClearRange> clear = RandomClearMap(random_, plaintext.size());
    const SecretBytes key = RandomKey(random_, suite_);
    Bytes sealed(suite_.CiphertextBytes(plaintext.size()));
    ASSERT_TRUE(cipher_->Seal(key, clear, plaintext, sealed).ok());
    for (const ClearRange& range : clear) {
      EXPECT_TRUE(Equal(ByteView(sealed).subspan(range.offset, range.length),
                        ByteView(plaintext).subspan(range.offset, range.length)));
    }
    Bytes opened(plaintext.size());
    ASSERT_TRUE(cipher_->Open(key, clear, sealed, opened).ok());
    EXPECT_EQ(opened, plaintext);
  }
}

TEST_P(CipherTest, SealsInPlaceToTheSameBytes) {
  for (const std::vector<ClearRange>& clear :
       {std::vector<ClearRange>{}, std::vector<ClearRange>{{3, 40}, {100, 1}}}) {
    const Bytes plaintext = RandomBytes(random_, 500);
    const SecretBytes key = RandomKey(random_, suite_);
    Bytes apart(516), in_place = plaintext;
    in_place.resize(516);
    ASSERT_TRUE(cipher_->Seal(key, clear, plaintext, apart).ok());
    ASSERT_TRUE(cipher_->Seal(key, clear, ByteView(in_place).first(500), in_place).ok());
    EXPECT_EQ(in_place, apart);
  }
}

TEST_P(CipherTest, EveryFlippedBitIsRefusedAndWipesTheOutput) {
  const std::vector<ClearRange> clear = {{0, 5}, {20, 3}};
  const Bytes plaintext = RandomBytes(random_, 40);
  const SecretBytes key = RandomKey(random_, suite_);
  Bytes sealed(56);
  ASSERT_TRUE(cipher_->Seal(key, clear, plaintext, sealed).ok());
  for (size_t bit = 0; bit < 8 * sealed.size(); ++bit) {
    Bytes flipped = sealed;
    flipped[bit / 8] ^= static_cast<uint8_t>(1 << bit % 8);
    Bytes opened(40, 0xEE);
    EXPECT_EQ(cipher_->Open(key, clear, flipped, opened).code(), StatusCode::kInvalidArgument);
    EXPECT_EQ(opened, Bytes(40)) << bit;
  }
}

TEST_P(CipherTest, RefusesAnotherKeyAndAnotherClearMap) {
  const Bytes plaintext = RandomBytes(random_, 40);
  const SecretBytes key = RandomKey(random_, suite_);
  Bytes sealed(56), opened(40);
  ASSERT_TRUE(cipher_->Seal(key, {{0, 5}}, plaintext, sealed).ok());
  EXPECT_EQ(cipher_->Open(RandomKey(random_, suite_), {{0, 5}}, sealed, opened).code(),
            StatusCode::kInvalidArgument);
  EXPECT_EQ(cipher_->Open(key, {{0, 6}}, sealed, opened).code(), StatusCode::kInvalidArgument);
  EXPECT_EQ(cipher_->Open(key, {}, sealed, opened).code(), StatusCode::kInvalidArgument);
  EXPECT_TRUE(cipher_->Open(key, {{0, 5}}, sealed, opened).ok());
}

TEST_P(CipherTest, RefusesMapsBuffersAndKeysThatDoNotFit) {
  const Bytes plaintext(40);
  const SecretBytes key(suite_.key_bytes());
  Bytes sealed(56), opened(40), wrong(55);
  const auto seal = [&](const std::vector<ClearRange>& clear, MutableByteView out) {
    return cipher_->Seal(key, clear, plaintext, out).code();
  };
  EXPECT_EQ(seal({}, sealed), StatusCode::kOk);
  EXPECT_EQ(seal({}, wrong), StatusCode::kInvalidArgument);
  EXPECT_EQ(seal({{30, 11}}, sealed), StatusCode::kInvalidArgument);
  EXPECT_EQ(seal({{10, 2}, {11, 2}}, sealed), StatusCode::kInvalidArgument);
  EXPECT_EQ(cipher_->Open(key, {{30, 11}}, sealed, opened).code(), StatusCode::kInvalidArgument);
  EXPECT_EQ(cipher_->Open(key, {}, wrong, opened).code(), StatusCode::kInvalidArgument);
  EXPECT_EQ(cipher_->Open(key, {}, ByteView(sealed).first(15), opened).code(),
            StatusCode::kInvalidArgument);
  EXPECT_FALSE(cipher_->Seal(SecretBytes(suite_.key_bytes() - 1), {}, plaintext, sealed).ok());
}

TEST_P(CipherTest, ChecksHeadersAgainstItself) {
  Header header;
  header.cipher = suite_.wire_number();
  header.plaintext_bytes = 100;
  header.ciphertext_bytes = 116;
  EXPECT_TRUE(CheckAgainstCipher(header, suite_).ok());
  header.ciphertext_bytes = 117;
  EXPECT_EQ(CheckAgainstCipher(header, suite_).code(), StatusCode::kInvalidArgument);
  header.ciphertext_bytes = 116;
  ++header.cipher;
  EXPECT_EQ(CheckAgainstCipher(header, suite_).code(), StatusCode::kInvalidArgument);
}

INSTANTIATE_TEST_SUITE_P(Suites, CipherTest,
                         testing::Values("aes-128-gcm", "aes-256-gcm", "chacha20-poly1305"),
                         [](const auto& test) {
                           std::string name = test.param;
                           std::replace(name.begin(), name.end(), '-', '_');
                           return name;
                         });

TEST(CipherRegistryTest, NumbersAndNamesAreFixed) {
  EXPECT_EQ(CipherIds(),
            (std::vector<std::string_view>{"aes-128-gcm", "aes-256-gcm", "chacha20-poly1305"}));
  const std::pair<const char*, size_t> expected[] = {
      {"aes-128-gcm", 16}, {"aes-256-gcm", 32}, {"chacha20-poly1305", 32}};
  for (uint8_t number = 1; number <= 3; ++number) {
    const CipherSuite* suite = *FindCipher(number);
    EXPECT_EQ(suite->id(), expected[number - 1].first);
    EXPECT_EQ(suite->key_bytes(), expected[number - 1].second);
    EXPECT_EQ(*FindCipher(suite->id()), suite);
    EXPECT_EQ(suite->wire_number(), number);
  }
}

TEST(CipherRegistryTest, NamesTheKnownOnesWhereItHasNone) {
  const auto by_id = FindCipher("des-cbc");
  EXPECT_EQ(by_id.status().code(), StatusCode::kInvalidArgument);
  EXPECT_EQ(Std(by_id.status().message()),
            "no cipher \"des-cbc\"; known: aes-128-gcm aes-256-gcm chacha20-poly1305");
  EXPECT_EQ(FindCipher(uint8_t{0}).status().code(), StatusCode::kInvalidArgument);
  EXPECT_EQ(FindCipher(uint8_t{4}).status().code(), StatusCode::kInvalidArgument);
}

}  // namespace
}  // namespace nark::wire
