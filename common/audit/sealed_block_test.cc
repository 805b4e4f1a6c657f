#include "common/audit/sealed_block.h"

#include <gtest/gtest.h>

#include <string>

#include "common/audit/family.h"
#include "common/crypto/random.h"

namespace nark::audit {
namespace {

using absl::StatusCode;

constexpr uint64_t kSeed = 11;

class SealedBlockTest : public testing::Test {
 protected:
  Digest RandomDigest() {
    Digest digest;
    (void)random_.Fill(digest);
    return digest;
  }

  SecretBytes RandomKey() { return SecretBytes::CopyOf(RandomDigest()); }

  StatusCode Opening(ByteView sealed) const {
    return OpenBlock(key_, family_.id(), space_, sealed).status().code();
  }

  SeededRandom random_{kSeed};
  const Family family_ = *Family::Of(RandomKey(), 10);
  const Digest space_ = RandomDigest();
  const SecretBytes key_ = *family_.BlockKey(space_);
  const ChameleonBlock block_ = *family_.MarkedBlockOf(space_);
  const Bytes sealed_ = *SealBlock(key_, family_.id(), space_, block_);
};

TEST_F(SealedBlockTest, OpensToTheBlockThatWasSealed) {
  const auto opened = OpenBlock(key_, family_.id(), space_, sealed_);
  ASSERT_TRUE(opened.ok()) << opened.status();
  EXPECT_TRUE(opened->bytes() == block_.bytes());
  EXPECT_EQ(opened->words_log2(), 10u);
}

TEST_F(SealedBlockTest, IsTheSameBytesWhoeverMakesIt) {
  EXPECT_EQ(*SealBlock(key_, family_.id(), space_, *family_.MarkedBlockOf(space_)), sealed_);
}

TEST_F(SealedBlockTest, HasTheSizeThatItsShapeSays) {
  EXPECT_EQ(sealed_.size(), SealedBlockBytes(10));
  for (uint32_t words_log2 = 10; words_log2 <= 16; ++words_log2) {
    const ChameleonBlock block = *ChameleonBlock::Of(SecretBytes(size_t{8} << words_log2));
    EXPECT_EQ(SealBlock(key_, family_.id(), space_, block)->size(), SealedBlockBytes(words_log2));
  }
}

TEST_F(SealedBlockTest, RefusesFlippedBits) {
  // Each of the first and last bytes, where a head or a tag would be, and some between.
  for (size_t bit = 0; bit < 8 * sealed_.size();
       bit += bit < 256 || bit + 256 >= 8 * sealed_.size() ? 1 : 1 + random_.Below(64)) {
    Bytes flipped = sealed_;
    flipped[bit / 8] ^= static_cast<uint8_t>(1 << bit % 8);
    ASSERT_EQ(Opening(flipped), StatusCode::kInvalidArgument) << "seed 11, bit " << bit;
  }
}

TEST_F(SealedBlockTest, RefusesTruncationsAndMore) {
  for (size_t size = 0; size < sealed_.size(); size += size < 64 ? 1 : 1 + random_.Below(64)) {
    ASSERT_EQ(Opening(ByteView(sealed_).first(size)), StatusCode::kInvalidArgument) << size;
  }
  ASSERT_EQ(Opening(ByteView(sealed_).first(sealed_.size() - 1)), StatusCode::kInvalidArgument);
  Bytes longer = sealed_;
  longer.push_back(0);
  EXPECT_EQ(Opening(longer), StatusCode::kInvalidArgument);
}

TEST_F(SealedBlockTest, RefusesAnotherFamilysAnotherSecureSpacesAndAnotherKey) {
  const auto code = [&](const SecretBytes& key, const Digest& id, const Digest& space) {
    return OpenBlock(key, id, space, sealed_).status().code();
  };
  EXPECT_EQ(code(key_, family_.id(), space_), StatusCode::kOk);
  EXPECT_EQ(code(key_, RandomDigest(), space_), StatusCode::kInvalidArgument);
  EXPECT_EQ(code(key_, family_.id(), RandomDigest()), StatusCode::kInvalidArgument);
  EXPECT_EQ(code(RandomKey(), family_.id(), space_), StatusCode::kInvalidArgument);
  EXPECT_EQ(code(SecretBytes(16), family_.id(), space_), StatusCode::kInvalidArgument);
}

}  // namespace
}  // namespace nark::audit
