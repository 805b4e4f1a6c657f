#include "common/crypto/pem.h"

#include <gtest/gtest.h>

namespace nark {
namespace {

constexpr char kLabel[] = "NARK TEST";
constexpr auto kInvalid = absl::StatusCode::kInvalidArgument;

Bytes Pattern(size_t size) {
  Bytes bytes(size);
  for (size_t i = 0; i < size; ++i) bytes[i] = static_cast<uint8_t>(i * 37 + 5);
  return bytes;
}

TEST(PemTest, HasTheFormOfRfc7468) {
  EXPECT_EQ(EncodePem(kLabel, AsBytes("foobar")),
            "-----BEGIN NARK TEST-----\nZm9vYmFy\n-----END NARK TEST-----\n");
  EXPECT_EQ(EncodePem(kLabel, Bytes(49, 0)), "-----BEGIN NARK TEST-----\n" + std::string(64, 'A') +
                                                 "\nAA==\n-----END NARK TEST-----\n");
}

TEST(PemTest, ReadsBackEverySize) {
  for (size_t size = 1; size < 300; ++size) {
    Bytes der = Pattern(size);
    std::string pem = EncodePem(kLabel, der);
    EXPECT_EQ(DecodeOnePem(kLabel, AsBytes(pem)).value(), der) << size;
    SecretBytes secret_pem = EncodeSecretPem(kLabel, der);
    EXPECT_EQ(AsText(secret_pem.Reveal()), pem);
    EXPECT_EQ(ToBytes(DecodeSecretPem(kLabel, secret_pem.Reveal()).value().Reveal()), der);
  }
}

TEST(PemTest, ReadsSeveralBlocksInOrder) {
  std::string pem = EncodePem(kLabel, Pattern(10)) + EncodePem(kLabel, Pattern(48)) +
                    EncodePem(kLabel, Pattern(3));
  std::vector<Bytes> blocks = DecodePem(kLabel, AsBytes(pem)).value();
  EXPECT_EQ(blocks, (std::vector<Bytes>{Pattern(10), Pattern(48), Pattern(3)}));
  EXPECT_EQ(DecodeOnePem(kLabel, AsBytes(pem)).status().code(), kInvalid);
  EXPECT_EQ(DecodeSecretPem(kLabel, AsBytes(pem)).status().code(), kInvalid);
}

TEST(PemTest, RefusesEveryFlippedBit) {
  for (size_t size : {47, 48, 49, 50, 96}) {
    const std::string pem = EncodePem(kLabel, Pattern(size));
    for (size_t bit = 0; bit < 8 * pem.size(); ++bit) {
      std::string broken = pem;
      broken[bit / 8] = static_cast<char>(broken[bit / 8] ^ (1 << (bit % 8)));
      absl::StatusOr<Bytes> der = DecodeOnePem(kLabel, AsBytes(broken));
      // A flip may turn one base64 character into another: then it decodes, to
      // something else, which is for the reader of the content to refuse.
      if (der.ok()) {
        EXPECT_NE(*der, Pattern(size)) << bit;
      } else {
        EXPECT_EQ(der.status().code(), kInvalid);
      }
    }
  }
}

TEST(PemTest, RefusesEveryTruncationAndAddition) {
  const std::string pem = EncodePem(kLabel, Pattern(100));
  for (size_t size = 0; size < pem.size(); ++size) {
    EXPECT_EQ(DecodePem(kLabel, AsBytes(pem.substr(0, size))).status().code(), kInvalid) << size;
    EXPECT_EQ(DecodeSecretPem(kLabel, AsBytes(pem.substr(0, size))).status().code(), kInvalid);
  }
  for (const std::string& text :
       {pem + "\n", "\n" + pem, "text\n" + pem, pem + " ", pem + pem.substr(1)}) {
    EXPECT_EQ(DecodePem(kLabel, AsBytes(text)).status().code(), kInvalid) << text;
  }
}

TEST(PemTest, RefusesWhatOnlyLooksTheSame) {
  std::string begin = "-----BEGIN NARK TEST-----\n";
  std::string end = "-----END NARK TEST-----\n";
  for (const std::string& body :
       {std::string("Zm9v\nYmFy\n"), std::string("Zm9vYmFy\r\n"), std::string(" Zm9vYmFy\n"),
        std::string("Zm9vYmFy \n"), std::string("Zm9vYmF\n"), std::string("Zm9vYmFy"),
        std::string("Zm9vYh==\n"), std::string("Zm9v=mFy\n"), std::string("====\n"),
        std::string("    \n"), std::string("\n"), std::string("Zm9vYmFy\n\n"),
        std::string("Proc-Type: 4,ENCRYPTED\n\nZm9vYmFy\n")}) {
    EXPECT_EQ(DecodePem(kLabel, AsBytes(begin + body + end)).status().code(), kInvalid) << body;
  }
  EXPECT_EQ(DecodePem("OTHER", AsBytes(EncodePem(kLabel, Pattern(9)))).status().code(), kInvalid);
}

}  // namespace
}  // namespace nark
