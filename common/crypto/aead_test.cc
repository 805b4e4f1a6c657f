#include "common/crypto/aead.h"

#include <gtest/gtest.h>

#include "common/crypto/random.h"

namespace nark {
namespace {

struct Vector {
  const char* source;
  AeadAlgorithm algorithm;
  std::string key, nonce, associated_data, plaintext, sealed;
};
const Vector kVectors[] = {
    {"McGrew and Viega, \"The Galois/Counter Mode of Operation (GCM)\" (NIST), test case 1",
     AeadAlgorithm::kAes128Gcm, "00000000000000000000000000000000", "000000000000000000000000", "",
     "", "58e2fccefa7e3061367f1d57a4e7455a"},
    {"test case 2", AeadAlgorithm::kAes128Gcm, "00000000000000000000000000000000",
     "000000000000000000000000", "", "00000000000000000000000000000000",
     "0388dace60b6a392f328c2b971b2fe78ab6e47d42cec13bdf53a67b21257bddf"},
    {"test case 4", AeadAlgorithm::kAes128Gcm, "feffe9928665731c6d6a8f9467308308",
     "cafebabefacedbaddecaf888", "feedfacedeadbeeffeedfacedeadbeefabaddad2",
     "d9313225f88406e5a55909c5aff5269a86a7a9531534f7da2e4c303d8a318a721c3c0c95956809532fcf0e2449"
     "a6b525b16aedf5aa0de657ba637b39",
     "42831ec2217774244b7221b784d0d49ce3aa212f2c02a4e035c17e2329aca12e21d514b25466931c7d8f6a5aac"
     "84aa051ba30b396a0aac973d58e0915bc94fbc3221a5db94fae95ae7121a47"},
    {"test case 16", AeadAlgorithm::kAes256Gcm,
     "feffe9928665731c6d6a8f9467308308feffe9928665731c6d6a8f9467308308", "cafebabefacedbaddecaf888",
     "feedfacedeadbeeffeedfacedeadbeefabaddad2",
     "d9313225f88406e5a55909c5aff5269a86a7a9531534f7da2e4c303d8a318a721c3c0c95956809532fcf0e2449"
     "a6b525b16aedf5aa0de657ba637b39",
     "522dc1f099567d07f47f37a32a84427d643a8cdcbfe5c0c97598a2bd2555d1aa8cb08e48590dbb3da7b08b1056"
     "828838c5f61e6393ba7a0abcc9f66276fc6ece0f4e1768cddf8853bb2d551b"},
    {"RFC 8439, section 2.8.2", AeadAlgorithm::kChaCha20Poly1305,
     "808182838485868788898a8b8c8d8e8f909192939495969798999a9b9c9d9e9f", "070000004041424344454647",
     "50515253c0c1c2c3c4c5c6c7",
     "4c616469657320616e642047656e746c656d656e206f662074686520636c617373206f66202739393a20496620"
     "4920636f756c64206f6666657220796f75206f6e6c79206f6e652074697020666f722074686520667574757265"
     "2c2073756e73637265656e20776f756c642062652069742e",
     "d31a8d34648e60db7b86afbc53ef7ec2a4aded51296e08fea9e2b5a736ee62d63dbea45e8ca9671282fafb69da"
     "92728b1a71de0a9e060b2905d6a5b67ecd3b3692ddbd7f2d778b8c9803aee328091b58fab324e4fad675945585"
     "808b4831d7bc3ff4def08e4b7a9de576d26586cec64b61161ae10b594f09e26a7e902ecbd0600691"},
};

class AeadTest : public testing::TestWithParam<AeadAlgorithm> {
 protected:
  void SetUp() override {
    aead_ = Aead::Create(GetParam()).value();
    key_ = SecretBytes(AeadKeyBytes(GetParam()));
    ASSERT_TRUE(random_.Fill(key_.RevealMutable()).ok());
    ASSERT_TRUE(random_.Fill(nonce_).ok());
  }
  Bytes Seal(ByteView associated_data, ByteView plaintext) {
    Bytes sealed(plaintext.size() + kAeadTagBytes);
    EXPECT_TRUE(aead_->Seal(key_, nonce_, associated_data, plaintext, sealed).ok());
    return sealed;
  }
  absl::StatusOr<Bytes> Open(ByteView associated_data, ByteView sealed) {
    Bytes plaintext(sealed.size() - kAeadTagBytes, 0xee);
    absl::Status status = aead_->Open(key_, nonce_, associated_data, sealed, plaintext);
    if (!status.ok()) {
      EXPECT_EQ(plaintext, Bytes(plaintext.size(), 0)) << "not wiped";
      return status;
    }
    return plaintext;
  }

  SeededRandom random_{7};
  std::unique_ptr<Aead> aead_;
  SecretBytes key_;
  std::array<uint8_t, kAeadNonceBytes> nonce_{};
  const Bytes plaintext_ = ToBytes(AsBytes("forty bytes of what only members may see"));
  const Bytes associated_data_ = ToBytes(AsBytes("header"));
};
INSTANTIATE_TEST_SUITE_P(Algorithms, AeadTest,
                         testing::Values(AeadAlgorithm::kAes128Gcm, AeadAlgorithm::kAes256Gcm,
                                         AeadAlgorithm::kChaCha20Poly1305));

TEST(AeadVectorTest, MatchesThePublishedVectors) {
  for (const Vector& vector : kVectors) {
    SCOPED_TRACE(vector.source);
    auto aead = Aead::Create(vector.algorithm).value();
    SecretBytes key = SecretBytes::CopyOf(FromHex(vector.key));
    Bytes nonce = FromHex(vector.nonce);
    Bytes associated_data = FromHex(vector.associated_data);
    Bytes plaintext = FromHex(vector.plaintext);
    Bytes sealed(plaintext.size() + kAeadTagBytes);
    ASSERT_TRUE(aead->Seal(key, nonce, associated_data, plaintext, sealed).ok());
    EXPECT_EQ(ToHex(sealed), vector.sealed);
    Bytes opened(plaintext.size());
    ASSERT_TRUE(aead->Open(key, nonce, associated_data, sealed, opened).ok());
    EXPECT_EQ(opened, plaintext);
  }
}

TEST_P(AeadTest, OpensWhatItSealedAtEverySize) {
  for (size_t size : {0, 1, 15, 16, 17, 64, 1316, 65536, 1'000'003}) {
    Bytes plaintext(size);
    ASSERT_TRUE(random_.Fill(plaintext).ok());
    ASSERT_TRUE(random_.Fill(nonce_).ok());
    EXPECT_EQ(Open(associated_data_, Seal(associated_data_, plaintext)).value(), plaintext);
  }
}

TEST_P(AeadTest, RefusesEveryFlippedBitOfTheCiphertext) {
  Bytes sealed = Seal(associated_data_, plaintext_);
  for (size_t bit = 0; bit < 8 * sealed.size(); ++bit) {
    Bytes broken = sealed;
    broken[bit / 8] ^= static_cast<uint8_t>(1 << (bit % 8));
    EXPECT_EQ(Open(associated_data_, broken).status().code(), absl::StatusCode::kInvalidArgument)
        << bit;
  }
  EXPECT_EQ(Open(associated_data_, sealed).value(), plaintext_) << "after refusals";
}

TEST_P(AeadTest, RefusesEveryFlippedBitOfTheRest) {
  Bytes sealed = Seal(associated_data_, plaintext_);
  for (size_t bit = 0; bit < 8 * associated_data_.size(); ++bit) {
    Bytes broken = associated_data_;
    broken[bit / 8] ^= static_cast<uint8_t>(1 << (bit % 8));
    EXPECT_FALSE(Open(broken, sealed).ok()) << bit;
  }
  for (size_t bit = 0; bit < 8 * nonce_.size(); ++bit) {
    auto flip = static_cast<uint8_t>(1 << (bit % 8));
    nonce_[bit / 8] ^= flip;
    EXPECT_FALSE(Open(associated_data_, sealed).ok()) << bit;
    nonce_[bit / 8] ^= flip;
  }
  for (size_t bit = 0; bit < 8 * key_.size(); ++bit) {
    auto flip = static_cast<uint8_t>(1 << (bit % 8));
    key_.RevealMutable()[bit / 8] ^= flip;
    EXPECT_FALSE(Open(associated_data_, sealed).ok()) << bit;
    key_.RevealMutable()[bit / 8] ^= flip;
  }
}

TEST_P(AeadTest, RefusesEveryTruncation) {
  Bytes sealed = Seal(associated_data_, plaintext_);
  for (size_t size = kAeadTagBytes; size < sealed.size(); ++size) {
    EXPECT_FALSE(Open(associated_data_, ByteView(sealed).first(size)).ok()) << size;
  }
}

TEST_P(AeadTest, WorksInPlace) {
  Bytes buffer = plaintext_;
  buffer.resize(plaintext_.size() + kAeadTagBytes);
  MutableByteView text = MutableByteView(buffer).first(plaintext_.size());
  ASSERT_TRUE(aead_->Seal(key_, nonce_, associated_data_, text, buffer).ok());
  EXPECT_EQ(buffer, Seal(associated_data_, plaintext_));
  ASSERT_TRUE(aead_->Open(key_, nonce_, associated_data_, buffer, text).ok());
  EXPECT_TRUE(Equal(text, plaintext_));
}

TEST_P(AeadTest, PiecesGiveWhatTheWholeGives) {
  Bytes sealed = Seal(associated_data_, plaintext_);
  for (size_t cut = 0; cut <= plaintext_.size(); ++cut) {
    ByteView plaintext(plaintext_);
    Bytes pieces(sealed.size());
    MutableByteView out(pieces);
    ASSERT_TRUE(aead_->StartSeal(key_, nonce_).ok());
    ASSERT_TRUE(aead_->AddAssociatedData(ByteView(associated_data_).first(2)).ok());
    ASSERT_TRUE(aead_->AddAssociatedData(ByteView(associated_data_).subspan(2)).ok());
    ASSERT_TRUE(aead_->Update(plaintext.first(cut), out.first(cut)).ok());
    size_t rest = plaintext.size() - cut;
    ASSERT_TRUE(aead_->Update(plaintext.subspan(cut), out.subspan(cut, rest)).ok());
    ASSERT_TRUE(aead_->FinishSeal(out.last(kAeadTagBytes)).ok());
    EXPECT_EQ(pieces, sealed) << cut;

    Bytes opened(plaintext.size());
    MutableByteView to(opened);
    ASSERT_TRUE(aead_->StartOpen(key_, nonce_).ok());
    ASSERT_TRUE(aead_->AddAssociatedData(associated_data_).ok());
    ASSERT_TRUE(aead_->Update(ByteView(sealed).first(cut), to.first(cut)).ok());
    ASSERT_TRUE(aead_->Update(ByteView(sealed).subspan(cut, rest), to.subspan(cut)).ok());
    EXPECT_TRUE(aead_->FinishOpen(ByteView(sealed).last(kAeadTagBytes)).ok());
    EXPECT_EQ(opened, plaintext_) << cut;
  }
}

TEST_P(AeadTest, PiecesWithAWrongTagAreRefused) {
  Bytes sealed = Seal(associated_data_, plaintext_);
  Bytes opened(plaintext_.size());
  ASSERT_TRUE(aead_->StartOpen(key_, nonce_).ok());
  ASSERT_TRUE(aead_->AddAssociatedData(associated_data_).ok());
  ASSERT_TRUE(aead_->Update(ByteView(sealed).first(opened.size()), opened).ok());
  Bytes tag(kAeadTagBytes, 0);
  EXPECT_EQ(aead_->FinishOpen(tag).code(), absl::StatusCode::kInvalidArgument);
}

TEST_P(AeadTest, AnotherOrderIsRefused) {
  constexpr auto kMisuse = absl::StatusCode::kFailedPrecondition;
  Bytes in(4), out(4), tag(kAeadTagBytes);
  EXPECT_EQ(aead_->Update(in, out).code(), kMisuse) << "before Start";
  EXPECT_EQ(aead_->FinishSeal(tag).code(), kMisuse) << "before Start";
  ASSERT_TRUE(aead_->StartSeal(key_, nonce_).ok());
  EXPECT_EQ(aead_->FinishOpen(tag).code(), kMisuse) << "sealing, not opening";
  ASSERT_TRUE(aead_->Update(in, out).ok());
  EXPECT_EQ(aead_->AddAssociatedData(in).code(), kMisuse) << "after Update";
  ASSERT_TRUE(aead_->FinishSeal(tag).ok());
  EXPECT_EQ(aead_->Update(in, out).code(), kMisuse) << "after Finish: the nonce is spent";
  EXPECT_EQ(aead_->FinishSeal(tag).code(), kMisuse) << "after Finish";
}

TEST_P(AeadTest, WrongSizesAreRefused) {
  constexpr auto kWrong = absl::StatusCode::kInvalidArgument;
  Bytes in(4), out(4 + kAeadTagBytes), three(3), four(4), five(5), fifteen(15);
  SecretBytes short_key(key_.size() - 1);
  EXPECT_EQ(aead_->Seal(short_key, nonce_, {}, in, out).code(), kWrong);
  EXPECT_EQ(aead_->Seal(key_, ByteView(nonce_).first(11), {}, in, out).code(), kWrong);
  EXPECT_EQ(aead_->Seal(key_, Bytes(13), {}, in, out).code(), kWrong);
  EXPECT_EQ(aead_->Seal(key_, nonce_, {}, in, four).code(), kWrong);
  for (size_t size = 0; size < kAeadTagBytes; ++size) {
    EXPECT_EQ(aead_->Open(key_, nonce_, {}, Bytes(size), {}).code(), kWrong) << size;
  }
  EXPECT_EQ(aead_->Open(key_, nonce_, {}, out, five).code(), kWrong);
  ASSERT_TRUE(aead_->StartSeal(key_, nonce_).ok());
  EXPECT_EQ(aead_->Update(in, three).code(), kWrong);
  EXPECT_EQ(aead_->FinishSeal(fifteen).code(), kWrong);
}

TEST_P(AeadTest, TwoContextsAndManyKeysAgree) {
  auto other = Aead::Create(GetParam()).value();
  for (int i = 0; i < 100; ++i) {
    ASSERT_TRUE(random_.Fill(key_.RevealMutable()).ok());
    ASSERT_TRUE(random_.Fill(nonce_).ok());
    Bytes sealed = Seal(associated_data_, plaintext_);
    Bytes opened(plaintext_.size());
    ASSERT_TRUE(other->Open(key_, nonce_, associated_data_, sealed, opened).ok());
    EXPECT_EQ(opened, plaintext_);
  }
}

TEST(AeadCreateTest, AnUnknownAlgorithmIsRefused) {
  EXPECT_EQ(Aead::Create(static_cast<AeadAlgorithm>(0)).status().code(),
            absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(AeadKeyBytes(static_cast<AeadAlgorithm>(9)), 0u);
}

}  // namespace
}  // namespace nark
