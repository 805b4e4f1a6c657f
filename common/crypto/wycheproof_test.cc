// Every case of Project Wycheproof's files (C2SP/wycheproof, testvectors_v1) for the
// primitives of this folder.

#include <gtest/gtest.h>

#include <map>
#include <nlohmann/json.hpp>
#include <string>

#include "common/crypto/aead.h"
#include "common/crypto/hash.h"
#include "common/crypto/hpke.h"
#include "common/crypto/signature.h"
#include "common/crypto/vectors.h"

namespace nark {
namespace {

using Json = nlohmann::json;

// How many cases ended in which way: a file that lost its cases must not pass.
using Counts = std::map<std::string, int>;

Bytes Hex(const Json& test, const char* name) {
  return FromHex(test.at(name).get_ref<const std::string&>());
}
SecretBytes Secret(const Json& test, const char* name) {
  return SecretBytes::CopyOf(Hex(test, name));
}
bool IsValid(const Json& test) { return test.at("result") == "valid"; }
bool HasFlag(const Json& test, const std::string& flag) {
  for (const Json& has : test.at("flags")) {
    if (has == flag) return true;
  }
  return false;
}
std::string NameOf(const Json& test) {
  return "tcId " + std::to_string(test.at("tcId").get<int>()) + ": " +
         test.at("comment").get<std::string>();
}

// Calls `check(group, test)` for each case of the file, of which there must be as
// many as the file says.
template <typename Check>
void ForEachCase(const std::string& text, const Check& check) {
  Json file = Json::parse(text);
  int cases = 0;
  for (const Json& group : file.at("testGroups")) {
    for (const Json& test : group.at("tests")) {
      SCOPED_TRACE(NameOf(test));
      check(group, test);
      ++cases;
    }
  }
  EXPECT_EQ(cases, file.at("numberOfTests").get<int>());
}

std::string CheckAead(const Json& group, const Json& test) {
  int key_bits = group.at("keySize").get<int>();
  auto aead =
      Aead::Create(key_bits == 128 ? AeadAlgorithm::kAes128Gcm : AeadAlgorithm::kAes256Gcm).value();
  SecretBytes key = Secret(test, "key");
  Bytes nonce = Hex(test, "iv");
  Bytes associated_data = Hex(test, "aad");
  Bytes plaintext = Hex(test, "msg");
  Bytes expected = Hex(test, "ct");
  Bytes tag = Hex(test, "tag");
  expected.insert(expected.end(), tag.begin(), tag.end());
  Bytes sealed(plaintext.size() + kAeadTagBytes);
  Bytes opened(plaintext.size());
  absl::Status seal = aead->Seal(key, nonce, associated_data, plaintext, sealed);
  absl::Status open = aead->Open(key, nonce, associated_data, expected, opened);
  if (key_bits == 192 || group.at("ivSize").get<int>() != 96) {
    // AES-192, and nonces that GCM would have to hash first: not offered.
    EXPECT_EQ(seal.code(), absl::StatusCode::kInvalidArgument);
    EXPECT_EQ(open.code(), absl::StatusCode::kInvalidArgument);
    return "not offered";
  }
  EXPECT_TRUE(seal.ok());
  EXPECT_EQ(sealed == expected, IsValid(test));
  EXPECT_EQ(open.ok(), IsValid(test));
  if (open.ok()) {
    EXPECT_EQ(opened, plaintext);
  }
  return IsValid(test) ? "valid" : "invalid";
}

TEST(WycheproofTest, AesGcm) {
  std::string text;
  NARK_READ_VECTORS_OR_SKIP(text, "wycheproof/aes_gcm_test.json");
  Counts counts;
  ForEachCase(text, [&](const Json& group, const Json& test) { ++counts[CheckAead(group, test)]; });
  EXPECT_EQ(counts, (Counts{{"valid", 79}, {"invalid", 54}, {"not offered", 183}}));
}

// r || s of a signature in DER; nullopt where it is not DER or an integer is negative
// or longer than 32 bytes, and so has no such form.
std::optional<Signature> RawOf(ByteView der) {
  if (der.size() < 2 || der[0] != 0x30 || der[1] >= 0x80 || der[1] != der.size() - 2) {
    return std::nullopt;
  }
  der = der.subspan(2);
  Signature raw{};
  for (uint8_t* to : {raw.data(), raw.data() + 32}) {
    if (der.size() < 3 || der[0] != 0x02 || der[1] == 0 || der[1] > der.size() - 2) {
      return std::nullopt;
    }
    ByteView integer = der.subspan(2, der[1]);
    der = der.subspan(2 + integer.size());
    if (integer[0] >= 0x80) return std::nullopt;
    if (integer.size() > 1 && integer[0] == 0 && integer[1] < 0x80) return std::nullopt;
    if (integer[0] == 0) integer = integer.subspan(1);
    if (integer.size() > 32) return std::nullopt;
    std::copy(integer.begin(), integer.end(), to + 32 - integer.size());
  }
  return der.empty() ? std::optional(raw) : std::nullopt;
}

TEST(WycheproofTest, EcdsaP256Sha256) {
  std::string text;
  NARK_READ_VECTORS_OR_SKIP(text, "wycheproof/ecdsa_secp256r1_sha256_test.json");
  Counts counts;
  ForEachCase(text, [&](const Json& group, const Json& test) {
    PublicKey key = PublicKey::FromSpki(Hex(group, "publicKeyDer")).value();
    Bytes message = Hex(test, "msg");
    Bytes signature = Hex(test, "sig");
    absl::Status status = key.VerifyDer(message, signature);
    EXPECT_EQ(status.ok(), IsValid(test)) << status;
    if (!IsValid(test)) {
      EXPECT_EQ(status.code(), absl::StatusCode::kUnauthenticated);
    }
    ++counts[IsValid(test) ? "valid" : "invalid"];
    if (std::optional<Signature> raw = RawOf(signature); raw.has_value()) {
      EXPECT_EQ(key.Verify({message}, *raw).ok(), IsValid(test)) << "as r || s";
      ++counts[IsValid(test) ? "valid as r || s" : "invalid as r || s"];
    }
  });
  EXPECT_EQ(counts.at("valid"), 174);
  EXPECT_EQ(counts.at("invalid"), 310);
  EXPECT_EQ(counts.at("valid as r || s"), 174);
  EXPECT_GT(counts.at("invalid as r || s"), 50);
}

// "Acceptable" are inputs on which RFC 7748 leaves a choice. Here: a shared secret of
// zeros is refused, as RFC 9180 section 7.1.4 demands; points on the twist and
// coordinates that are not reduced are computed with, as RFC 7748 section 5 says.
TEST(WycheproofTest, X25519) {
  std::string text;
  NARK_READ_VECTORS_OR_SKIP(text, "wycheproof/x25519_test.json");
  Counts counts;
  ForEachCase(text, [&](const Json&, const Json& test) {
    absl::StatusOr<SecretBytes> shared = X25519(Secret(test, "private"), Hex(test, "public"));
    if (HasFlag(test, "ZeroSharedSecret")) {
      EXPECT_EQ(test.at("result"), "acceptable");
      EXPECT_EQ(shared.status().code(), absl::StatusCode::kInvalidArgument);
      ++counts["zero, refused"];
      return;
    }
    ASSERT_TRUE(shared.ok());
    EXPECT_EQ(ToBytes(shared->Reveal()), Hex(test, "shared"));
    ++counts[test.at("result").get<std::string>()];
  });
  EXPECT_EQ(counts, (Counts{{"valid", 264}, {"acceptable", 223}, {"zero, refused", 31}}));
}

TEST(WycheproofTest, HkdfSha256) {
  std::string text;
  NARK_READ_VECTORS_OR_SKIP(text, "wycheproof/hkdf_sha256_test.json");
  Counts counts;
  ForEachCase(text, [&](const Json&, const Json& test) {
    absl::StatusOr<SecretBytes> output = Hkdf(Hex(test, "salt"), Secret(test, "ikm"),
                                              Hex(test, "info"), test.at("size").get<size_t>());
    ++counts[IsValid(test) ? "valid" : "invalid"];
    ASSERT_EQ(output.ok(), IsValid(test));
    if (output.ok()) {
      EXPECT_EQ(ToBytes(output->Reveal()), Hex(test, "okm"));
    } else {
      EXPECT_TRUE(HasFlag(test, "SizeTooLarge"));
      EXPECT_EQ(output.status().code(), absl::StatusCode::kInvalidArgument);
    }
  });
  EXPECT_EQ(counts, (Counts{{"valid", 83}, {"invalid", 3}}));
}

TEST(WycheproofTest, HmacSha256) {
  std::string text;
  NARK_READ_VECTORS_OR_SKIP(text, "wycheproof/hmac_sha256_test.json");
  Counts counts;
  ForEachCase(text, [&](const Json& group, const Json& test) {
    Digest mac = HmacSha256(Secret(test, "key"), {Hex(test, "msg")});
    ByteView truncated = ByteView(mac).first(group.at("tagSize").get<size_t>() / 8);
    EXPECT_EQ(ConstantTimeEqual(truncated, Hex(test, "tag")), IsValid(test));
    ++counts[IsValid(test) ? "valid" : "invalid"];
  });
  EXPECT_EQ(counts, (Counts{{"valid", 66}, {"invalid", 108}}));
}

}  // namespace
}  // namespace nark
