#include "common/crypto/keystream.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <string>

#include "common/crypto/aead.h"
#include "common/crypto/random.h"

namespace nark {
namespace {

using absl::StatusCode;

SecretBytes KeyOf(std::string_view hex) { return SecretBytes::CopyOf(FromHex(hex)); }

TEST(KeystreamTest, BeginsWithTheBlockOfZerosEncrypted) {
  // A plaintext of zeros: NIST AESAVS, appendix C.1; the GCM specification, test case 1.
  struct Vector {
    const char* key;
    const char* block;
  };
  const Vector vectors[] = {
      {"10a58869d74be5a374cf867cfb473859", "6d251e6944b051e04eaa6fb4dbf78465"},
      {"caea65cdbb75e9169ecd22ebe6e54675", "6e29201190152df4ee058139def610bb"},
      {"00000000000000000000000000000000", "66e94bd4ef8a2c3b884cfa59ca342b2e"},
  };
  for (const Vector& vector : vectors) {
    const auto stream = KeystreamOf(KeyOf(vector.key), 16);
    ASSERT_TRUE(stream.ok()) << stream.status();
    EXPECT_EQ(ToHex(stream->Reveal()), vector.block);
  }
}

// AES-GCM encrypts by the same counter mode (NIST SP 800-38D, 6.5), from the block after
// nonce || 1 on: with a nonce of zeros, from the counter 2 on.
TEST(KeystreamTest, GoesOnLikeTheCounterModeOfGcm) {
  constexpr uint64_t kSeed = 38;
  SCOPED_TRACE(kSeed);
  SeededRandom random(kSeed);
  constexpr size_t kBytes = 10000, kSkipped = 32;
  for (int round = 0; round < 20; ++round) {
    SecretBytes key(kKeystreamKeyBytes);
    ASSERT_TRUE(random.Fill(key.RevealMutable()).ok());
    const auto aead = Aead::Create(AeadAlgorithm::kAes128Gcm);
    ASSERT_TRUE(aead.ok());
    const Bytes zeros(kBytes), nonce(kAeadNonceBytes);
    Bytes sealed(kBytes + kAeadTagBytes);
    ASSERT_TRUE((*aead)->Seal(key, nonce, {}, zeros, sealed).ok());
    const auto stream = KeystreamOf(key, kSkipped + kBytes);
    ASSERT_TRUE(stream.ok());
    EXPECT_TRUE(Equal(stream->Reveal().subspan(kSkipped), ByteView(sealed).first(kBytes)));
  }
}

TEST(KeystreamTest, IsTheSameInPiecesOfAnySize) {
  constexpr uint64_t kSeed = 7;
  SCOPED_TRACE(kSeed);
  SeededRandom random(kSeed);
  const SecretBytes key = KeyOf("10a58869d74be5a374cf867cfb473859");
  // More than one call of OpenSSL's takes.
  constexpr size_t kBytes = (1 << 20) + 12345;
  const auto whole = KeystreamOf(key, kBytes);
  ASSERT_TRUE(whole.ok());
  const auto stream = Keystream::Create();
  ASSERT_TRUE(stream.ok());
  for (int round = 0; round < 3; ++round) {
    ASSERT_TRUE((*stream)->Start(key).ok());
    Bytes pieces(kBytes, 0xEE);
    for (size_t at = 0; at < kBytes;) {
      const size_t size = std::min<size_t>(kBytes - at, random.Below(5000));
      ASSERT_TRUE((*stream)->Fill(MutableByteView(pieces).subspan(at, size)).ok());
      at += size;
    }
    EXPECT_TRUE(Equal(pieces, whole->Reveal()));
  }
}

TEST(KeystreamTest, WantsAKeyOfItsSizeFirst) {
  const auto stream = Keystream::Create();
  ASSERT_TRUE(stream.ok());
  Bytes out(16);
  EXPECT_EQ((*stream)->Fill(out).code(), StatusCode::kFailedPrecondition);
  for (const size_t size : {0, 15, 17, 32}) {
    EXPECT_EQ((*stream)->Start(SecretBytes(size)).code(), StatusCode::kInvalidArgument) << size;
  }
  EXPECT_EQ((*stream)->Fill(out).code(), StatusCode::kFailedPrecondition);
  EXPECT_TRUE((*stream)->Start(SecretBytes(16)).ok());
  EXPECT_TRUE((*stream)->Fill(out).ok());
}

}  // namespace
}  // namespace nark
