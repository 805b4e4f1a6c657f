#include "common/crypto/hpke.h"

#include <gtest/gtest.h>

#include <map>
#include <string>
#include <vector>

#include "common/crypto/hpke_context.h"
#include "common/crypto/vectors.h"

namespace nark {
namespace {

using Fields = std::map<std::string, std::string>;

Bytes Hex(const Fields& fields, const std::string& name) { return FromHex(fields.at(name)); }
std::string Hex(const SecretBytes& secret) { return ToHex(secret.Reveal()); }

// One setup and its encryptions, in the names of RFC 9180, appendix A.
struct HpkeVector {
  Fields setup;
  std::vector<Fields> encryptions;
};

// RFC 9180, appendix A.1.1: the setup and the first encryption.
HpkeVector Rfc9180A11() {
  return {{{"info", "4f6465206f6e2061204772656369616e2055726e"},
           {"ikmE", "7268600d403fce431561aef583ee1613527cff655c1343f29812e66706df3234"},
           {"pkEm", "37fda3567bdbd628e88668c3c8d7e97d1d1253b6d4ea6d44c150f741f1bf4431"},
           {"skEm", "52c4a758a802cd8b936eceea314432798d5baf2d7e9235dc084ab1b9cfa2f736"},
           {"ikmR", "6db9df30aa07dd42ee5e8181afdb977e538f5e1fec8a06223f33f7013e525037"},
           {"pkRm", "3948cfe0ad1ddb695d780e59077195da6c56506b027329794ab02bca80815c4d"},
           {"skRm", "4612c550263fc8ad58375df3f557aac531d26850903e55a9f23f21d8534e8ac8"},
           {"enc", "37fda3567bdbd628e88668c3c8d7e97d1d1253b6d4ea6d44c150f741f1bf4431"},
           {"shared_secret", "fe0e18c9f024ce43799ae393c7e8fe8fce9d218875e8227b0187c04e7d2ea1fc"},
           {"key", "4531685d41d65f03dc48f6b8302c05b0"},
           {"base_nonce", "56d890e5accaaf011cff4b7d"}},
          {{{"sequence number", "0"},
            {"pt", "4265617574792069732074727574682c20747275746820626561757479"},
            {"aad", "436f756e742d30"},
            {"nonce", "56d890e5accaaf011cff4b7d"},
            {"ct",
             "f938558b5d72f1a23810b4be2ab4f84331acc02fc97babc53a52ae8218a355a9"
             "6d8770ac83d07bea87e13c512a"}}}};
}

// The text of the RFC: "name: value" lines, values continued on lines without one.
HpkeVector ParseRfcText(const std::string& text) {
  HpkeVector vector;
  Fields* section = &vector.setup;
  std::string name;
  size_t at = 0;
  while (at < text.size()) {
    size_t end = std::min(text.find('\n', at), text.size());
    std::string line = text.substr(at, end - at);
    at = end + 1;
    size_t colon = line.find(':');
    if (line.empty() || line[0] == '#' || line[0] == '~') {
      name.clear();
    } else if (colon == std::string::npos) {
      if (!name.empty()) (*section)[name] += line;
    } else {
      name = line.substr(0, colon);
      if (name == "sequence number") section = &vector.encryptions.emplace_back();
      size_t value = line.find_first_not_of(' ', colon + 1);
      (*section)[name] = value == std::string::npos ? "" : line.substr(value);
    }
  }
  return vector;
}

void CheckSetup(const HpkeVector& vector) {
  HpkePrivateKey ephemeral = HpkePrivateKey::Derive(Hex(vector.setup, "ikmE")).value();
  HpkePrivateKey recipient = HpkePrivateKey::Derive(Hex(vector.setup, "ikmR")).value();
  EXPECT_EQ(Hex(ephemeral.raw()), vector.setup.at("skEm"));
  EXPECT_EQ(ToHex(ephemeral.public_key()), vector.setup.at("pkEm"));
  EXPECT_EQ(Hex(recipient.raw()), vector.setup.at("skRm"));
  EXPECT_EQ(ToHex(recipient.public_key()), vector.setup.at("pkRm"));
  Bytes enc = Hex(vector.setup, "enc");
  EXPECT_TRUE(Equal(enc, ephemeral.public_key()));
  EXPECT_EQ(Hex(HpkeEncap(ephemeral, recipient.public_key()).value()),
            vector.setup.at("shared_secret"));
  EXPECT_EQ(Hex(HpkeDecap(recipient, enc).value()), vector.setup.at("shared_secret"));
}

// Both contexts, message after message; those that the vector does not state are
// sealed and opened all the same, to move the sequence.
void CheckEncryptions(const HpkeVector& vector) {
  SecretBytes shared = SecretBytes::CopyOf(Hex(vector.setup, "shared_secret"));
  HpkeContext sender = HpkeContext::Create(shared, Hex(vector.setup, "info")).value();
  HpkeContext recipient = HpkeContext::Create(shared, Hex(vector.setup, "info")).value();
  EXPECT_EQ(Hex(sender.key()), vector.setup.at("key"));
  EXPECT_EQ(Hex(sender.base_nonce()), vector.setup.at("base_nonce"));
  uint64_t sequence = 0;
  for (const Fields& expected : vector.encryptions) {
    uint64_t number = std::stoull(expected.at("sequence number"));
    for (; sequence < number; ++sequence) {
      ASSERT_TRUE(recipient.Open({}, sender.Seal({}, {}).value()).ok());
    }
    Bytes associated_data = Hex(expected, "aad");
    Bytes ciphertext = sender.Seal(associated_data, Hex(expected, "pt")).value();
    EXPECT_EQ(ToHex(ciphertext), expected.at("ct")) << "sequence number " << number;
    EXPECT_EQ(Hex(recipient.Open(associated_data, ciphertext).value()), expected.at("pt"));
    ++sequence;
  }
}

TEST(HpkeVectorTest, MatchesTheFirstOfRfc9180) {
  CheckSetup(Rfc9180A11());
  CheckEncryptions(Rfc9180A11());
}

TEST(HpkeVectorTest, MatchesAllOfRfc9180A11) {
  std::string text;
  NARK_READ_VECTORS_OR_SKIP(text, "hpke/x25519-sha256-aes128gcm-base.txt");
  HpkeVector vector = ParseRfcText(text);
  ASSERT_EQ(vector.encryptions.size(), 6u);
  EXPECT_EQ(vector.encryptions.back().at("sequence number"), "256");
  CheckSetup(vector);
  CheckEncryptions(vector);
}

// RFC 7748, section 5.2: the two vectors, and the iterated one.
TEST(X25519Test, MatchesRfc7748) {
  const char* const kVectors[][3] = {
      {"a546e36bf0527c9d3b16154b82465edd62144c0ac1fc5a18506a2244ba449ac4",
       "e6db6867583030db3594c1a424b15f7c726624ec26b3353b10a903a6d0ab1c4c",
       "c3da55379de9c6908e94ea4df28d084f32eccf03491c71f754b4075577a28552"},
      {"4b66e9d4d1b4673c5ad22691957d6af5c11b6421e0ea01d42ca4169e7918ba0d",
       "e5210f12786811d3f4b7959d0538ae2c31dbe7106fc03c3efc4cd549c715a493",
       "95cbde9476e8907d7aade45cb4b873f88b595a68799fa152e6f8f7647aac7957"},
  };
  for (const auto& [private_key, public_key, shared] : kVectors) {
    SecretBytes key = SecretBytes::CopyOf(FromHex(private_key));
    EXPECT_EQ(Hex(X25519(key, FromHex(public_key)).value()), shared);
  }
}

TEST(X25519Test, MatchesTheIterationOfRfc7748) {
  SecretBytes k(32);
  k.RevealMutable()[0] = 9;
  Bytes u = ToBytes(k.Reveal());
  for (int i = 1; i <= 1000; ++i) {
    SecretBytes next = X25519(k, u).value();
    u = ToBytes(k.Reveal());
    k = std::move(next);
    if (i == 1) {
      EXPECT_EQ(Hex(k), "422c8e7a6227d7bca1350b3e2bb7279f7897b87bb6854b783c60e80311ae3079");
    }
  }
  EXPECT_EQ(Hex(k), "684cf59ba83309552800ef566f2f4d3c1c3887c49360e3875f2eb94d99532c51");
}

TEST(X25519Test, RefusesPointsOfSmallOrder) {
  SecretBytes key = SecretBytes::CopyOf(Bytes(32, 0x55));
  Bytes one(32, 0);
  one[0] = 1;
  EXPECT_EQ(X25519(key, Bytes(32, 0)).status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(X25519(key, one).status().code(), absl::StatusCode::kInvalidArgument);
}

TEST(X25519Test, RefusesKeysOfOtherSizes) {
  SecretBytes key(32);
  EXPECT_EQ(X25519(key, Bytes(31, 9)).status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(X25519(key, Bytes(33, 9)).status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(X25519(SecretBytes(31), Bytes(32, 9)).status().code(),
            absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(HpkePrivateKey::FromRaw(SecretBytes(33)).status().code(),
            absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(HpkePrivateKey::Derive(Bytes(31)).status().code(), absl::StatusCode::kInvalidArgument);
}

class HpkeTest : public testing::Test {
 protected:
  absl::StatusOr<SecretBytes> Open(const HpkeSealed& sealed) {
    return HpkeOpen(recipient_, sealed.enc, info_, associated_data_, sealed.ciphertext);
  }
  HpkeSealed Seal() {
    return HpkeSeal(recipient_.public_key(), info_, associated_data_, plaintext_, random_).value();
  }
  void ExpectRefused(const absl::StatusOr<SecretBytes>& opened) {
    EXPECT_EQ(opened.status().code(), absl::StatusCode::kInvalidArgument);
    EXPECT_EQ(opened.status().message(), "HPKE: does not open");
  }

  SeededRandom random_{11};
  HpkePrivateKey recipient_ = HpkePrivateKey::Generate(random_).value();
  Bytes info_ = ToBytes(AsBytes("transcript"));
  Bytes associated_data_ = ToBytes(AsBytes("aad"));
  Bytes plaintext_ = ToBytes(AsBytes("seed and policy"));
};

TEST_F(HpkeTest, OpensWhatWasSealed) {
  EXPECT_EQ(ToBytes(Open(Seal()).value().Reveal()), plaintext_);
  plaintext_.clear();
  EXPECT_EQ(Open(Seal()).value().size(), 0u);
  plaintext_.assign(100'000, 7);
  EXPECT_EQ(ToBytes(Open(Seal()).value().Reveal()), plaintext_);
}

TEST_F(HpkeTest, EverySealingIsFresh) {
  HpkeSealed first = Seal();
  HpkeSealed second = Seal();
  EXPECT_NE(first.enc, second.enc);
  EXPECT_NE(first.ciphertext, second.ciphertext);
}

TEST_F(HpkeTest, RefusesEveryFlippedBit) {
  const HpkeSealed sealed = Seal();
  for (size_t bit = 0; bit < 8 * sealed.ciphertext.size(); ++bit) {
    HpkeSealed broken = sealed;
    broken.ciphertext[bit / 8] ^= static_cast<uint8_t>(1 << (bit % 8));
    ExpectRefused(Open(broken));
  }
  // The highest bit of `enc` as well, although X25519 ignores it: `enc` is part of
  // the context that the shared secret is derived with.
  for (size_t bit = 0; bit < 8 * sealed.enc.size(); ++bit) {
    HpkeSealed broken = sealed;
    broken.enc[bit / 8] ^= static_cast<uint8_t>(1 << (bit % 8));
    ExpectRefused(Open(broken));
  }
}

TEST_F(HpkeTest, RefusesEveryTruncation) {
  const HpkeSealed sealed = Seal();
  for (size_t size = 0; size < sealed.ciphertext.size(); ++size) {
    ByteView part = ByteView(sealed.ciphertext).first(size);
    ExpectRefused(HpkeOpen(recipient_, sealed.enc, info_, associated_data_, part));
  }
  for (size_t size = 0; size < sealed.enc.size(); ++size) {
    ByteView part = ByteView(sealed.enc).first(size);
    ExpectRefused(HpkeOpen(recipient_, part, info_, associated_data_, sealed.ciphertext));
  }
}

TEST_F(HpkeTest, RefusesAnotherContextAndAnotherRecipient) {
  const HpkeSealed sealed = Seal();
  Bytes other = ToBytes(AsBytes("other"));
  ExpectRefused(HpkeOpen(recipient_, sealed.enc, other, associated_data_, sealed.ciphertext));
  ExpectRefused(HpkeOpen(recipient_, sealed.enc, info_, other, sealed.ciphertext));
  HpkePrivateKey stranger = HpkePrivateKey::Generate(random_).value();
  ExpectRefused(HpkeOpen(stranger, sealed.enc, info_, associated_data_, sealed.ciphertext));
}

TEST_F(HpkeTest, RefusesAnEncOfSmallOrder) {
  HpkeSealed sealed = Seal();
  sealed.enc.fill(0);
  ExpectRefused(Open(sealed));
}

TEST_F(HpkeTest, ARawKeyOpensWhatItsOriginCould) {
  HpkePrivateKey again = HpkePrivateKey::FromRaw(recipient_.raw().Clone()).value();
  EXPECT_EQ(again.public_key(), recipient_.public_key());
  const HpkeSealed sealed = Seal();
  EXPECT_TRUE(HpkeOpen(again, sealed.enc, info_, associated_data_, sealed.ciphertext).ok());
}

TEST_F(HpkeTest, AMessageThatDoesNotOpenLeavesTheSequence) {
  SecretBytes shared = SecretBytes::CopyOf(Bytes(32, 3));
  HpkeContext sender = HpkeContext::Create(shared, info_).value();
  HpkeContext recipient = HpkeContext::Create(shared, info_).value();
  Bytes first = sender.Seal({}, plaintext_).value();
  Bytes second = sender.Seal({}, plaintext_).value();
  EXPECT_NE(first, second);
  EXPECT_FALSE(recipient.Open({}, second).ok());
  EXPECT_FALSE(recipient.Open({}, Bytes(3)).ok());
  EXPECT_TRUE(recipient.Open({}, first).ok());
  EXPECT_FALSE(recipient.Open({}, first).ok()) << "replayed";
  EXPECT_TRUE(recipient.Open({}, second).ok());
}

class BrokenRandom final : public Random {
 public:
  absl::Status Fill(MutableByteView) override { return absl::UnavailableError("no entropy"); }
};

TEST_F(HpkeTest, WithoutRandomnessNothingIsSealed) {
  BrokenRandom broken;
  EXPECT_EQ(HpkePrivateKey::Generate(broken).status().code(), absl::StatusCode::kUnavailable);
  EXPECT_EQ(HpkeSeal(recipient_.public_key(), info_, {}, plaintext_, broken).status().code(),
            absl::StatusCode::kUnavailable);
}

}  // namespace
}  // namespace nark
