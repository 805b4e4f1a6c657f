#include "common/crypto/signature.h"

#include <gtest/gtest.h>

#include <type_traits>

#include "common/crypto/hash.h"
#include "common/crypto/random.h"

namespace nark {
namespace {

constexpr auto kInvalid = absl::StatusCode::kInvalidArgument;
constexpr auto kUnauthenticated = absl::StatusCode::kUnauthenticated;

// RFC 6979, appendix A.2.5: the key, and the signature of "sample" with SHA-256.
constexpr char kRfcSpki[] =
    "3059301306072a8648ce3d020106082a8648ce3d03010703420004"
    "60fed4ba255a9d31c961eb74c6356d68c049b8923b61fa6ce669622e60f29fb6"
    "7903fe1008b8bc99a41ae9e95628bc64f2f1b20c2d7e9f5177a3c294d4462299";
constexpr char kRfcSignature[] =
    "efd48b2aacb6a8fd1140dd9cd45e81d69d2c877b56aaf991c34d0ea84eaf3716"
    "f7cb1c942d657c41d436c7a1b6e29f65f3e900dbb9aff4064dc4ab2f843acda8";
// The order of the group (SEC 2, section 2.4.2).
constexpr char kOrder[] = "ffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551";

Bytes Flipped(ByteView bytes, size_t bit) {
  Bytes copy = ToBytes(bytes);
  copy[bit / 8] ^= static_cast<uint8_t>(1 << (bit % 8));
  return copy;
}

class SignatureTest : public testing::Test {
 protected:
  PrivateKey key_ = PrivateKey::Generate().value();
  Bytes message_ = ToBytes(AsBytes("a delivery note"));
};

TEST(PublicKeyTest, VerifiesTheSignatureOfRfc6979) {
  PublicKey key = PublicKey::FromSpki(FromHex(kRfcSpki)).value();
  EXPECT_TRUE(key.Verify({AsBytes("sample")}, FromHex(kRfcSignature)).ok());
  EXPECT_TRUE(key.Verify({AsBytes("sam"), {}, AsBytes("ple")}, FromHex(kRfcSignature)).ok());
  EXPECT_EQ(key.Verify({AsBytes("Sample")}, FromHex(kRfcSignature)).code(), kUnauthenticated);
  EXPECT_EQ(ToHex(key.spki()), kRfcSpki);
  EXPECT_EQ(key.id(), Sha256(FromHex(kRfcSpki)));
}

TEST(PublicKeyTest, RefusesEveryFlippedBit) {
  Bytes spki = FromHex(kRfcSpki);
  for (size_t bit = 0; bit < 8 * spki.size(); ++bit) {
    // A random x or y lies on no point of the curve, or a different one: flipping one
    // coordinate alone leaves the curve.
    EXPECT_EQ(PublicKey::FromSpki(Flipped(spki, bit)).status().code(), kInvalid) << bit;
  }
}

TEST(PublicKeyTest, RefusesEveryOtherLength) {
  Bytes spki = FromHex(kRfcSpki);
  for (size_t size = 0; size < spki.size(); ++size) {
    EXPECT_EQ(PublicKey::FromSpki(ByteView(spki).first(size)).status().code(), kInvalid) << size;
  }
  spki.push_back(0);
  EXPECT_EQ(PublicKey::FromSpki(spki).status().code(), kInvalid);
}

TEST(PublicKeyTest, RefusesOtherFormsOfAPoint) {
  Bytes spki = FromHex(kRfcSpki);
  // Compressed: 02 or 03 and x, in a SubjectPublicKeyInfo of 59 bytes.
  Bytes compressed = FromHex(
      "3039301306072a8648ce3d020106082a8648ce3d030107032200"
      "0360fed4ba255a9d31c961eb74c6356d68c049b8923b61fa6ce669622e60f29fb6");
  EXPECT_EQ(PublicKey::FromSpki(compressed).status().code(), kInvalid);
  Bytes hybrid = spki;
  hybrid[26] = 0x07;
  EXPECT_EQ(PublicKey::FromSpki(hybrid).status().code(), kInvalid);
  // x + p would be the same point, were it reduced.
  Bytes zero = spki;
  std::fill(zero.begin() + 27, zero.end(), 0);
  EXPECT_EQ(PublicKey::FromSpki(zero).status().code(), kInvalid) << "the point 0, 0";
  std::fill(zero.begin() + 27, zero.end(), 0xff);
  EXPECT_EQ(PublicKey::FromSpki(zero).status().code(), kInvalid) << "beyond the prime";
}

TEST_F(SignatureTest, VerifiesWhatItSigned) {
  for (int i = 0; i < 300; ++i) {  // some have an r or s with leading zeros
    Signature signature = key_.Sign({message_}).value();
    ASSERT_TRUE(key_.public_key().Verify({message_}, signature).ok()) << ToHex(signature);
  }
  Signature empty = key_.Sign({}).value();
  EXPECT_TRUE(key_.public_key().Verify({ByteView()}, empty).ok());
}

TEST_F(SignatureTest, SignsTheConcatenationOfParts) {
  ByteView message(message_);
  Signature signature = key_.Sign({message.first(4), message.subspan(4)}).value();
  EXPECT_TRUE(key_.public_key().Verify({message}, signature).ok());
}

TEST_F(SignatureTest, RefusesEveryFlippedBit) {
  Signature signature = key_.Sign({message_}).value();
  for (size_t bit = 0; bit < 8 * signature.size(); ++bit) {
    EXPECT_EQ(key_.public_key().Verify({message_}, Flipped(signature, bit)).code(),
              kUnauthenticated)
        << bit;
  }
  for (size_t bit = 0; bit < 8 * message_.size(); ++bit) {
    EXPECT_EQ(key_.public_key().Verify({Flipped(message_, bit)}, signature).code(),
              kUnauthenticated)
        << bit;
  }
}

TEST_F(SignatureTest, RefusesOtherLengths) {
  Signature signature = key_.Sign({message_}).value();
  for (size_t size = 0; size < signature.size(); ++size) {
    EXPECT_EQ(key_.public_key().Verify({message_}, ByteView(signature).first(size)).code(),
              kUnauthenticated)
        << size;
  }
  Bytes longer = ToBytes(signature);
  longer.push_back(0);
  EXPECT_EQ(key_.public_key().Verify({message_}, longer).code(), kUnauthenticated);
}

TEST_F(SignatureTest, RefusesIntegersOutOfRange) {
  Bytes order = FromHex(kOrder);
  Signature good = key_.Sign({message_}).value();
  for (size_t half : {0, 32}) {
    for (const Bytes& value : {Bytes(32, 0), order, Bytes(32, 0xff)}) {
      Signature bad = good;
      std::copy(value.begin(), value.end(), bad.begin() + static_cast<ptrdiff_t>(half));
      EXPECT_EQ(key_.public_key().Verify({message_}, bad).code(), kUnauthenticated);
    }
  }
  EXPECT_EQ(key_.public_key().Verify({message_}, Signature{}).code(), kUnauthenticated);
}

TEST_F(SignatureTest, RefusesTheSignatureOfAnotherKey) {
  Signature signature = PrivateKey::Generate().value().Sign({message_}).value();
  EXPECT_EQ(key_.public_key().Verify({message_}, signature).code(), kUnauthenticated);
}

static_assert(!std::is_copy_constructible_v<PrivateKey>);

TEST_F(SignatureTest, AKeySurvivesItsEncodings) {
  SecretBytes pem = key_.ToPem().value();
  EXPECT_EQ(AsText(pem.Reveal()).substr(0, 28), "-----BEGIN PRIVATE KEY-----\n");
  PrivateKey from_pem = PrivateKey::FromPem(pem).value();
  PrivateKey from_der = PrivateKey::FromPkcs8(key_.ToPkcs8().value()).value();
  for (const PrivateKey* key : {&from_pem, &from_der}) {
    EXPECT_EQ(key->public_key().id(), key_.public_key().id());
    Signature signature = key->Sign({message_}).value();
    EXPECT_TRUE(key_.public_key().Verify({message_}, signature).ok());
  }
}

// Made by `openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256`.
constexpr char kForeignKey[] =
    "-----BEGIN PRIVATE KEY-----\n"
    "MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgCd6LeMJM7WyPVAQy\n"
    "8D7QvJEAG5ua03o59ZlXBHMBHpChRANCAARBM3QM2Jsz9b6OHxuN0rB/k0+dI924\n"
    "nbag1C92sfiKaiWEzfKHyI8u1EW66xJb9CILZ4IUXCXaNgBYJpgA9rZ1\n"
    "-----END PRIVATE KEY-----\n";

TEST_F(SignatureTest, ReadsAKeyThatOpenSslMade) {
  PrivateKey key = PrivateKey::FromPem(SecretBytes::CopyOf(AsBytes(kForeignKey))).value();
  EXPECT_EQ(AsText(key.ToPem().value().Reveal()), kForeignKey);
}

TEST_F(SignatureTest, RefusesEveryFlippedBitOfAKeyFile) {
  SecretBytes pem = key_.ToPem().value();
  SecretBytes der = key_.ToPkcs8().value();
  for (size_t bit = 0; bit < 8 * pem.size(); ++bit) {
    SecretBytes broken = SecretBytes::CopyOf(Flipped(pem.Reveal(), bit));
    EXPECT_EQ(PrivateKey::FromPem(broken).status().code(), kInvalid) << "PEM, bit " << bit;
  }
  for (size_t bit = 0; bit < 8 * der.size(); ++bit) {
    SecretBytes broken = SecretBytes::CopyOf(Flipped(der.Reveal(), bit));
    EXPECT_EQ(PrivateKey::FromPkcs8(broken).status().code(), kInvalid) << "DER, bit " << bit;
  }
}

TEST_F(SignatureTest, RefusesEveryTruncationOfAKeyFile) {
  SecretBytes pem = key_.ToPem().value();
  SecretBytes der = key_.ToPkcs8().value();
  for (size_t size = 0; size < pem.size(); ++size) {
    EXPECT_EQ(PrivateKey::FromPem(SecretBytes::CopyOf(pem.Reveal().first(size))).status().code(),
              kInvalid);
  }
  for (size_t size = 0; size < der.size(); ++size) {
    EXPECT_EQ(PrivateKey::FromPkcs8(SecretBytes::CopyOf(der.Reveal().first(size))).status().code(),
              kInvalid);
  }
}

// `openssl genpkey` for P-384 and X25519: well-formed, but not what is asked for.
TEST_F(SignatureTest, RefusesKeysOfOtherKinds) {
  for (const char* hex :
       {"3081a40201010430da2f05f52ea52dfa3734abbc7087a574d05cd3ad7962d3dfdbaf0ba925f06309"
        "e7a3c2c3145240d00a835dde40fa16a4a00706052b81040022a1640362000488316661d477b0f930"
        "be9112ff717b0a10b08fe9a67d07cc46ebd6a8855b450e21949fa6d5d3abb77e81165c5c2ba3f217"
        "964bf2903eb7a629e11ff7fcd4e3b07e76e626a8cf2b264e1dba2596b1056600b8570f0cdc73c43a"
        "c14b7f4bbdc95f",
        "302e020100300506032b656e04220420380f1fe3a62cbdae548eecd89e2510cb3e37b7b6187f0282"
        "0065749085f3e253"}) {
    EXPECT_EQ(PrivateKey::FromPkcs8(SecretBytes::CopyOf(FromHex(hex))).status().code(), kInvalid);
  }
}

}  // namespace
}  // namespace nark
