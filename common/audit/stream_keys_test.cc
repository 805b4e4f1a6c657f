#include "common/audit/stream_keys.h"

#include <gtest/gtest.h>

#include <set>
#include <string>

#include "common/crypto/random.h"

namespace nark::audit {
namespace {

using absl::StatusCode;

constexpr uint64_t kSeed = 15;

Bytes RandomBytes(SeededRandom& random, size_t size) {
  Bytes bytes(size);
  (void)random.Fill(bytes);
  return bytes;
}

TEST(MarkKeysTest, EveryAduHasAnIndexKeyAndAPlaneKeyOfItsOwn) {
  const SecretBytes stream_key(kStreamKeyBytes);
  std::set<std::string> keys;
  const uint64_t ids[] = {0, 1, 255, 256, uint64_t{1} << 32, ~uint64_t{0}};
  for (const uint64_t id : ids) {
    const AduMarkKeys adu = *MarkKeysOf(stream_key, id);
    EXPECT_EQ(adu.index.size(), kKeystreamKeyBytes);
    EXPECT_EQ(adu.plane.size(), kKeystreamKeyBytes);
    keys.insert(ToHex(adu.index.Reveal()));
    keys.insert(ToHex(adu.plane.Reveal()));
  }
  EXPECT_EQ(keys.size(), 2 * std::size(ids));
}

TEST(MarkKeysTest, WantsAKeyOf32Bytes) {
  for (const size_t size : {0, 16, 31, 33}) {
    EXPECT_EQ(MarkKeysOf(SecretBytes(size), 1).status().code(), StatusCode::kInvalidArgument);
  }
}

TEST(BaseBlockTest, IsTheKeysKeyStream) {
  SecretBytes key(kKeystreamKeyBytes);
  key.RevealMutable()[3] = 9;
  for (const uint32_t words_log2 : {10u, 16u}) {
    const auto block = BaseBlockBytes(key, words_log2);
    ASSERT_TRUE(block.ok());
    EXPECT_TRUE(*block == *KeystreamOf(key, size_t{8} << words_log2));
  }
  EXPECT_EQ(BaseBlockBytes(SecretBytes(15), 10).status().code(), StatusCode::kInvalidArgument);
}

TEST(LsbPlaneTest, SetsBitTOfAKeyStreamIntoSampleTAndNothingElse) {
  SeededRandom random(kSeed);
  LsbPlane plane = *LsbPlane::Create();
  // Around whole tiles of 4,096 samples too.
  for (const size_t size : {0,  1,  2,  3,   7,   8,   9,    14,   15,   16,   17,   18,   31,
                            32, 33, 64, 255, 512, 999, 8190, 8191, 8192, 8193, 8194, 8210, 30001}) {
    SCOPED_TRACE("seed 15, " + std::to_string(size) + " bytes");
    const SecretBytes key = SecretBytes::CopyOf(RandomBytes(random, kKeystreamKeyBytes));
    const SecretBytes bits = *KeystreamOf(key, size / 16 + 1);
    // At an odd address too.
    for (const size_t offset : {0, 1}) {
      Bytes samples = RandomBytes(random, size + 4);
      Bytes expected = samples;
      for (size_t t = 0; t < size / 2; ++t) {
        uint8_t& low = expected[offset + 2 * t];
        low = static_cast<uint8_t>((low & 0xfe) | (bits.Reveal()[t / 8] >> (t % 8) & 1));
      }
      ASSERT_TRUE(plane.Set(key, MutableByteView(samples).subspan(offset, size)).ok());
      EXPECT_TRUE(samples == expected);
    }
  }
}

TEST(LsbPlaneTest, WantsAKeyOf16Bytes) {
  LsbPlane plane = *LsbPlane::Create();
  Bytes samples(8, 0xEE);
  EXPECT_EQ(plane.Set(SecretBytes(17), samples).code(), StatusCode::kInvalidArgument);
  EXPECT_EQ(samples, Bytes(8, 0xEE));
}

}  // namespace
}  // namespace nark::audit
