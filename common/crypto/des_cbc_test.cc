#include "common/crypto/des_cbc.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <string>

#include "common/crypto/random.h"

namespace nark {
namespace {

constexpr auto kWrong = absl::StatusCode::kInvalidArgument;

// Of whole blocks: what stands before the block of padding.
struct Vector {
  const char* source;
  std::string key, iv, plaintext, ciphertext;
};
const Vector kVectors[] = {
    {"FIPS 81, table C1: \"Now is the time for all \"", "0123456789abcdef", "1234567890abcdef",
     "4e6f77206973207468652074696d6520666f7220616c6c20",
     "e5c7cdde872bf27c43e934008c389c0f683788499a7c05f6"},
    {"NBS SP 500-20 (SP 800-17, table A.1), variable plaintext, 1", "0101010101010101",
     "0000000000000000", "8000000000000000", "95f8a5e5dd31d900"},
    {"the same, 64", "0101010101010101", "0000000000000000", "0000000000000001",
     "166b40b44aba4bd6"},
    {"SP 800-17, table A.2, variable key, 1", "8001010101010101", "0000000000000000",
     "0000000000000000", "95a8d72813daa94d"},
    {"SP 800-17, table A.4, substitution table, 1", "7ca110454a1a6e57", "0000000000000000",
     "01a1d6d039776742", "690f5b0d9a26939b"},
};

TEST(DesCbcTest, MatchesThePublishedVectors) {
  auto des = DesCbc::Create().value();
  for (const Vector& vector : kVectors) {
    SCOPED_TRACE(vector.source);
    const SecretBytes key = SecretBytes::CopyOf(FromHex(vector.key));
    const Bytes iv = FromHex(vector.iv), plaintext = FromHex(vector.plaintext);
    Bytes sealed(DesCbc::PaddedBytes(plaintext.size()));
    ASSERT_EQ(sealed.size(), plaintext.size() + 8);
    ASSERT_TRUE(des->Encrypt(key, iv, plaintext, sealed).ok());
    EXPECT_EQ(ToHex(ByteView(sealed).first(plaintext.size())), vector.ciphertext);
    Bytes opened(sealed.size());
    ASSERT_TRUE(des->Decrypt(key, iv, sealed, plaintext.size(), opened).ok());
    opened.resize(plaintext.size());
    EXPECT_EQ(opened, plaintext);
  }
}

class DesCbcRoundTest : public testing::Test {
 protected:
  void SetUp() override { ASSERT_TRUE(random_.Fill(key_.RevealMutable()).ok()); }
  Bytes Text(size_t size) {
    Bytes bytes(size);
    EXPECT_TRUE(random_.Fill(bytes).ok());
    return bytes;
  }

  SeededRandom random_{23};
  SecretBytes key_{8};
  const Bytes iv_ = Bytes(8);
  std::unique_ptr<DesCbc> des_ = DesCbc::Create().value();
};

TEST_F(DesCbcRoundTest, DecryptsWhatItEncryptedAtEverySizeAlsoInPlace) {
  for (size_t size = 0; size < 70; ++size) {
    SCOPED_TRACE("seed 23, size " + std::to_string(size));
    const Bytes plaintext = Text(size);
    Bytes sealed(DesCbc::PaddedBytes(size));
    ASSERT_TRUE(des_->Encrypt(key_, iv_, plaintext, sealed).ok());
    Bytes in_place = plaintext;
    in_place.resize(sealed.size());
    ASSERT_TRUE(des_->Encrypt(key_, iv_, ByteView(in_place).first(size), in_place).ok());
    EXPECT_EQ(in_place, sealed);
    ASSERT_TRUE(des_->Decrypt(key_, iv_, in_place, size, in_place).ok());
    in_place.resize(size);
    EXPECT_EQ(in_place, plaintext);
  }
}

TEST_F(DesCbcRoundTest, AnotherLengthOrPaddingIsRefusedAndWiped) {
  const Bytes plaintext = Text(20);
  Bytes sealed(24);
  ASSERT_TRUE(des_->Encrypt(key_, iv_, plaintext, sealed).ok());
  for (size_t length : {16, 17, 18, 19, 21, 22, 23, 24}) {
    Bytes opened(24, 0xee);
    EXPECT_EQ(des_->Decrypt(key_, iv_, sealed, length, opened).code(), kWrong) << length;
    EXPECT_EQ(opened, Bytes(24)) << length;
  }
  // A bit of the block before flips the same bit of the padding.
  for (size_t bit = 8 * 12; bit < 8 * 16; ++bit) {
    Bytes flipped = sealed, opened(24, 0xee);
    flipped[bit / 8] ^= static_cast<uint8_t>(1 << bit % 8);
    EXPECT_EQ(des_->Decrypt(key_, iv_, flipped, 20, opened).code(), kWrong) << bit;
    EXPECT_EQ(opened, Bytes(24));
  }
}

TEST_F(DesCbcRoundTest, WrongSizesAreRefused) {
  Bytes in(10), out(16), ten(10);
  EXPECT_EQ(des_->Encrypt(SecretBytes(7), iv_, in, out).code(), kWrong);
  EXPECT_EQ(des_->Encrypt(SecretBytes(24), iv_, in, out).code(), kWrong);
  EXPECT_EQ(des_->Encrypt(key_, Bytes(7), in, out).code(), kWrong);
  EXPECT_EQ(des_->Encrypt(key_, iv_, in, ten).code(), kWrong);
  EXPECT_EQ(des_->Decrypt(key_, iv_, Bytes(15), 10, out).code(), kWrong);
  EXPECT_EQ(des_->Decrypt(key_, iv_, Bytes(), 0, {}).code(), kWrong);
}

}  // namespace
}  // namespace nark
