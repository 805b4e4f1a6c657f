#include <gtest/gtest.h>

#include <algorithm>
#include <bit>
#include <memory>
#include <string>
#include <utility>

#include "common/audit/family.h"
#include "common/audit/stream_keys.h"
#include "common/crypto/aead.h"
#include "common/crypto/random.h"
#include "common/wire/cipher.h"

namespace nark::wire {
namespace {

using absl::StatusCode;
using audit::Family;

constexpr uint64_t kSeed = 43;
constexpr uint32_t kWordsLog2 = 12;
constexpr size_t kGrowth = 40;

Bytes RandomBytes(SeededRandom& random, size_t size) {
  Bytes bytes(size);
  (void)random.Fill(bytes);
  return bytes;
}

SecretBytes RandomSecret(SeededRandom& random, size_t size) {
  return SecretBytes::CopyOf(RandomBytes(random, size));
}

std::shared_ptr<const ChameleonBlock> Shared(absl::StatusOr<ChameleonBlock> block) {
  return std::make_shared<const ChameleonBlock>(*std::move(block));
}

std::shared_ptr<const ChameleonBlock> BaseBlockOf(const Family& family) {
  return Shared(
      ChameleonBlock::Of(*audit::BaseBlockBytes(*family.BaseBlockKey(), family.words_log2())));
}

size_t BitsThatDiffer(ByteView a, ByteView b) {
  size_t bits = 0;
  for (size_t i = 0; i < a.size(); ++i) {
    bits += static_cast<size_t>(std::popcount(static_cast<uint8_t>(a[i] ^ b[i])));
  }
  return bits;
}

class ChameleonCipherTest : public testing::Test {
 protected:
  std::unique_ptr<AduCipher> With(std::shared_ptr<const ChameleonBlock> block) {
    return *suite_.Create(std::move(block));
  }

  AduMarks MarksOf(uint32_t offset, uint32_t bytes) const {
    return {{index_key_.Clone(), plane_key_.Clone()}, offset, bytes};
  }

  Bytes Sealed(const Bytes& plaintext, uint32_t offset, uint32_t bytes) {
    const auto cipher = With(base_);
    cipher->MarkNext(MarksOf(offset, bytes));
    Bytes sealed(suite_.CiphertextBytes(plaintext.size()));
    EXPECT_TRUE(cipher->Seal(key_, {}, plaintext, sealed).ok());
    return sealed;
  }

  Bytes Opened(const Bytes& sealed, std::shared_ptr<const ChameleonBlock> block) {
    Bytes opened(sealed.size() - kGrowth);
    EXPECT_TRUE(With(std::move(block))->Open(key_, {}, sealed, opened).ok());
    return opened;
  }

  // What a base block gives back: the plaintext with the plane of its samples set.
  Bytes AsSent(Bytes plaintext, uint32_t offset, uint32_t bytes) const {
    const MutableByteView samples = MutableByteView(plaintext).subspan(offset, bytes);
    EXPECT_TRUE(audit::LsbPlane::Create()->Set(plane_key_, samples).ok());
    return plaintext;
  }

  const CipherSuite& suite_ = **FindCipher("chameleon");
  SeededRandom random_{kSeed};
  const SecretBytes key_ = RandomSecret(random_, 16);
  const SecretBytes index_key_ = RandomSecret(random_, 16);
  const SecretBytes plane_key_ = RandomSecret(random_, 16);
  const Family family_ = *Family::Of(RandomSecret(random_, 32), kWordsLog2);
  const std::shared_ptr<const ChameleonBlock> base_ = BaseBlockOf(family_);
};

TEST_F(ChameleonCipherTest, OpensWhatWasSealedUpToTheLastBitsOfItsSamples) {
  for (int round = 0; round < 200; ++round) {
    SCOPED_TRACE("seed 43, round " + std::to_string(round));
    const Bytes plaintext = RandomBytes(random_, random_.Below(3000));
    const auto offset = static_cast<uint32_t>(random_.Below(plaintext.size() + 1));
    const auto bytes = static_cast<uint32_t>(random_.Below(plaintext.size() - offset + 1));
    const Bytes sealed = Sealed(plaintext, offset, bytes);
    EXPECT_EQ(sealed.size(), plaintext.size() + kGrowth);
    const Bytes opened = Opened(sealed, base_);
    ASSERT_EQ(opened, AsSent(plaintext, offset, bytes));
    const ByteView before = ByteView(plaintext).first(offset);
    const ByteView after = ByteView(plaintext).subspan(offset + bytes);
    EXPECT_TRUE(Equal(ByteView(opened).first(offset), before));
    EXPECT_TRUE(Equal(ByteView(opened).subspan(offset + bytes), after));
    for (size_t i = 0; i < bytes; ++i) {
      const uint8_t kept = i % 2 == 0 && i + 1 < bytes ? 0xfe : 0xff;
      ASSERT_EQ(opened[offset + i] & kept, plaintext[offset + i] & kept) << i;
    }
  }
}

TEST_F(ChameleonCipherTest, SealsInPlace) {
  const Bytes plaintext = RandomBytes(random_, 1000);
  const Bytes sealed = Sealed(plaintext, 44, 900);
  Bytes in_place = plaintext;
  in_place.resize(sealed.size());
  const auto cipher = With(base_);
  cipher->MarkNext(MarksOf(44, 900));
  ASSERT_TRUE(cipher->Seal(key_, {}, ByteView(in_place).first(plaintext.size()), in_place).ok());
  EXPECT_EQ(in_place, sealed);
}

TEST_F(ChameleonCipherTest, EveryFlippedBitIsRefusedAndWipesTheOutput) {
  const Bytes plaintext = RandomBytes(random_, 60);
  const Bytes sealed = Sealed(plaintext, 12, 40);
  const auto cipher = With(base_);
  for (size_t bit = 0; bit < 8 * sealed.size(); ++bit) {
    Bytes flipped = sealed;
    flipped[bit / 8] ^= static_cast<uint8_t>(1 << bit % 8);
    Bytes opened(plaintext.size(), 0xEE);
    EXPECT_EQ(cipher->Open(key_, {}, flipped, opened).code(), StatusCode::kInvalidArgument);
    EXPECT_EQ(opened, Bytes(plaintext.size())) << bit;
  }
}

TEST_F(ChameleonCipherTest, RefusesBuffersOfAnotherSize) {
  const Bytes sealed = Sealed(RandomBytes(random_, 60), 12, 40);
  const auto cipher = With(base_);
  Bytes opened(60);
  for (size_t size = 0; size < sealed.size(); ++size) {
    EXPECT_EQ(cipher->Open(key_, {}, ByteView(sealed).first(size), opened).code(),
              StatusCode::kInvalidArgument);
  }
  Bytes shorter(sealed.size() - 1);
  cipher->MarkNext(MarksOf(12, 40));
  EXPECT_EQ(cipher->Seal(key_, {}, opened, shorter).code(), StatusCode::kInvalidArgument);
}

TEST_F(ChameleonCipherTest, LeavesNoByteClear) {
  const Bytes plaintext = RandomBytes(random_, 376);
  const auto cipher = With(base_);
  for (const ClearMap& clear :
       {ClearMap(ClearRanges{{0, 5}}), ClearMap(PacketRule{0, {256}, 100})}) {
    Bytes sealed(suite_.CiphertextBytes(plaintext.size())), opened(plaintext.size(), 0xEE);
    cipher->MarkNext(MarksOf(0, 376));
    EXPECT_EQ(cipher->Seal(key_, clear, plaintext, sealed).code(), StatusCode::kInvalidArgument);
    EXPECT_EQ(cipher->Open(key_, clear, Sealed(plaintext, 0, 376), opened).code(),
              StatusCode::kInvalidArgument);
    EXPECT_EQ(opened, Bytes(plaintext.size()));
  }
}

TEST_F(ChameleonCipherTest, WantsMarksBeforeEachSeal) {
  const Bytes plaintext = RandomBytes(random_, 100);
  Bytes sealed(suite_.CiphertextBytes(plaintext.size()));
  const auto cipher = With(base_);
  const auto seal = [&] { return cipher->Seal(key_, {}, plaintext, sealed).code(); };
  EXPECT_EQ(seal(), StatusCode::kFailedPrecondition);
  cipher->MarkNext(MarksOf(0, 100));
  EXPECT_EQ(seal(), StatusCode::kOk);
  EXPECT_EQ(seal(), StatusCode::kFailedPrecondition);
}

TEST_F(ChameleonCipherTest, RefusesSamplesThatAreNotInTheAdu) {
  const Bytes plaintext = RandomBytes(random_, 100);
  Bytes sealed(suite_.CiphertextBytes(plaintext.size()));
  const auto cipher = With(base_);
  const std::pair<uint32_t, uint32_t> out_of_bounds[] = {{0, 101},
                                                         {101, 0},
                                                         {100, 1},
                                                         {60, 41},
                                                         {1, 0xFFFFFFFF},
                                                         {0xFFFFFFFF, 1},
                                                         {0xFFFFFFFF, 0xFFFFFFFF}};
  for (const auto& [offset, bytes] : out_of_bounds) {
    cipher->MarkNext(MarksOf(offset, bytes));
    EXPECT_EQ(cipher->Seal(key_, {}, plaintext, sealed).code(), StatusCode::kInvalidArgument)
        << offset << " and " << bytes;
  }
  cipher->MarkNext(MarksOf(100, 0));
  EXPECT_TRUE(cipher->Seal(key_, {}, plaintext, sealed).ok());
}

TEST_F(ChameleonCipherTest, RefusesASenderWhoNamesSamplesThatAreNotInTheAdu) {
  // As a sender may seal it that does not check: the tag is right.
  const auto aead = *Aead::Create(AeadAlgorithm::kAes128Gcm);
  const Bytes nonce(kAeadNonceBytes);
  constexpr size_t kBytes = 100;
  const std::pair<uint32_t, uint32_t> out_of_bounds[] = {
      {0, 101}, {101, 0}, {60, 41}, {0xFFFFFFFF, 2}, {2, 0xFFFFFFFF}};
  for (const auto& [offset, bytes] : out_of_bounds) {
    Bytes inner(24 + kBytes), sealed(inner.size() + kAeadTagBytes), opened(kBytes, 0xEE);
    StoreBig32(&inner[16], offset);
    StoreBig32(&inner[20], bytes);
    ASSERT_TRUE(aead->Seal(key_, nonce, {}, inner, sealed).ok());
    EXPECT_EQ(With(base_)->Open(key_, {}, sealed, opened).code(), StatusCode::kInvalidArgument)
        << offset << " and " << bytes;
    EXPECT_EQ(opened, Bytes(kBytes)) << "not wiped";
  }
}

TEST_F(ChameleonCipherTest, NeedsABlock) {
  EXPECT_EQ(suite_.Create().status().code(), StatusCode::kFailedPrecondition);
}

TEST_F(ChameleonCipherTest, AMarkedBlockChangesLastBitsOfSamplesAlone) {
  constexpr uint32_t kOffset = 44, kBytes = 60000;
  const Bytes plaintext = RandomBytes(random_, 61000);
  const Bytes sealed = Sealed(plaintext, kOffset, kBytes);
  Digest one{}, other{};
  one[0] = 1;
  other[0] = 2;
  const Bytes sent = Opened(sealed, base_);
  const Bytes marked = Opened(sealed, Shared(family_.MarkedBlockOf(one)));
  const Bytes marked_else = Opened(sealed, Shared(family_.MarkedBlockOf(other)));
  for (const Bytes& copy : {marked, marked_else}) {
    size_t changed = 0;
    for (size_t i = 0; i < sent.size(); ++i) {
      const uint8_t difference = sent[i] ^ copy[i];
      if (difference == 0) continue;
      ++changed;
      ASSERT_EQ(difference, 1) << i;
      ASSERT_TRUE(i >= kOffset && i < kOffset + kBytes && (i - kOffset) % 2 == 0) << i;
    }
    // Four words of about half of all, each in one of four lanes.
    EXPECT_GT(changed, kBytes / 2 / 8);
  }
  EXPECT_NE(marked, marked_else);
}

TEST_F(ChameleonCipherTest, AnotherFamilysBlockMakesNoiseOfTheSamplesAndNoError) {
  constexpr uint32_t kOffset = 44, kBytes = 40000;
  const Bytes plaintext = RandomBytes(random_, 41000);
  const Bytes sealed = Sealed(plaintext, kOffset, kBytes);
  const Family stranger = *Family::Of(RandomSecret(random_, 32), kWordsLog2);
  // Also of another size.
  const Family smaller = *Family::Of(RandomSecret(random_, 32), 10);
  const Family larger = *Family::Of(RandomSecret(random_, 32), 16);
  for (const Family* family : {&stranger, &smaller, &larger}) {
    const Bytes noise = Opened(sealed, Shared(family->MarkedBlockOf(Digest{})));
    const auto samples = [&](const Bytes& adu) { return ByteView(adu).subspan(kOffset, kBytes); };
    // Half of 320,000, and ten standard deviations.
    EXPECT_NEAR(static_cast<double>(BitsThatDiffer(samples(noise), samples(plaintext))),
                4.0 * kBytes, 2900);
    EXPECT_TRUE(Equal(ByteView(noise).first(kOffset), ByteView(plaintext).first(kOffset)));
    EXPECT_TRUE(Equal(ByteView(noise).subspan(kOffset + kBytes),
                      ByteView(plaintext).subspan(kOffset + kBytes)));
  }
}

}  // namespace
}  // namespace nark::wire
