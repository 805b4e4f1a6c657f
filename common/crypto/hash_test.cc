#include "common/crypto/hash.h"

#include <gtest/gtest.h>

#include <string>

namespace nark {
namespace {

SecretBytes SecretFromHex(std::string_view hex) { return SecretBytes::CopyOf(FromHex(hex)); }

// FIPS 180-4 examples (NIST "Cryptographic Standards and Guidelines: Example Values").
TEST(Sha256Test, MatchesFips180) {
  EXPECT_EQ(ToHex(Sha256(AsBytes("abc"))),
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  EXPECT_EQ(ToHex(Sha256(ByteView())),
            "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
  EXPECT_EQ(ToHex(Sha256(AsBytes("abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq"))),
            "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1");
  EXPECT_EQ(ToHex(Sha256(Bytes(1'000'000, 'a'))),
            "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
}

TEST(Sha256Test, PiecesHashLikeTheWhole) {
  Bytes whole(300);
  for (size_t i = 0; i < whole.size(); ++i) whole[i] = static_cast<uint8_t>(i);
  Digest expected = Sha256(whole);
  for (size_t cut = 0; cut <= whole.size(); ++cut) {
    ByteView view(whole);
    EXPECT_EQ(Sha256({view.first(cut), view.subspan(cut)}), expected) << cut;
    Sha256Stream stream;
    stream.Update(view.first(cut));
    Sha256Stream copy = stream;
    stream.Update(view.subspan(cut));
    EXPECT_EQ(stream.Finish(), expected) << cut;
    EXPECT_EQ(copy.Finish(), Sha256(view.first(cut))) << cut;
  }
}

// Where the faster way ends and the general one begins, too.
TEST(Sha256Test, FinishingWithPartsIsUpdatingWithThem) {
  Bytes whole(500);
  for (size_t i = 0; i < whole.size(); ++i) whole[i] = static_cast<uint8_t>(7 * i);
  ByteView view(whole);
  for (size_t before : {0, 1, 20, 55, 63, 64, 65, 100, 128}) {
    for (size_t end = before; end <= whole.size(); ++end) {
      const size_t cut = before + (end - before) / 3;
      Sha256Stream general, short_one;
      general.Update(view.first(end));
      short_one.Update(view.first(before));
      Digest digest;
      short_one.FinishWith({view.subspan(before, cut - before), {}, view.subspan(cut, end - cut)},
                           digest);
      EXPECT_EQ(digest, general.Finish()) << before << " " << end;
    }
  }
}

TEST(HmacTest, IsTwoHashesAtEveryLength) {
  const Bytes key(32, 0x5a), data(500, 3);
  const HmacSha256Key hmac(key);
  for (size_t size = 0; size <= data.size(); ++size) {
    Sha256Stream inner, outer;
    for (size_t i = 0; i < 64; ++i) {
      const uint8_t byte = i < key.size() ? key[i] : 0;
      inner.Update(Bytes(1, byte ^ 0x36));
      outer.Update(Bytes(1, byte ^ 0x5c));
    }
    inner.Update(ByteView(data).first(size));
    outer.Update(inner.Finish());
    EXPECT_EQ(hmac.Mac({ByteView(data).first(size)}), outer.Finish()) << size;
  }
}

// RFC 4231, sections 4.2 to 4.8 (4.6 is truncated to 128 bits).
struct HmacVector {
  std::string key, data, mac;
};
const HmacVector kRfc4231[] = {
    {"0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b", "4869205468657265",
     "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7"},
    {"4a656665", "7768617420646f2079612077616e7420666f72206e6f7468696e673f",
     "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"},
    {"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
     "dddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddd"
     "dddddddddddd",
     "773ea91e36800e46854db8ebd09181a72959098b3ef8c122d9635514ced565fe"},
    {"0102030405060708090a0b0c0d0e0f10111213141516171819",
     "cdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcd"
     "cdcdcdcdcdcd",
     "82558a389a443c0ea4cc819899f2083a85f0faa3e578f8077a2e3ff46729665b"},
    {"0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c", "546573742057697468205472756e636174696f6e",
     "a3b6167473100ee06e0c796c2955552b"},
    {std::string(262, 'a'),
     "54657374205573696e67204c6172676572205468616e20426c6f636b2d53697a65204b6579202d2048617368"
     "204b6579204669727374",
     "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54"},
    {std::string(262, 'a'),
     "5468697320697320612074657374207573696e672061206c6172676572207468616e20626c6f636b2d73697a"
     "65206b657920616e642061206c6172676572207468616e20626c6f636b2d73697a6520646174612e20546865"
     "206b6579206e6565647320746f20626520686173686564206265666f7265206265696e672075736564206279"
     "2074686520484d414320616c676f726974686d2e",
     "9b09ffa71b942fcb27635fbcd5b0e944bfdc63644f0713938a7f51535c3a35e2"},
};

TEST(HmacSha256Test, MatchesRfc4231) {
  for (const HmacVector& vector : kRfc4231) {
    Bytes data = FromHex(vector.data);
    Digest mac = HmacSha256(SecretFromHex(vector.key), {data});
    EXPECT_EQ(ToHex(mac).substr(0, vector.mac.size()), vector.mac);
    HmacSha256Key key(FromHex(vector.key));
    ByteView view(data);
    EXPECT_EQ(key.Mac({view.first(3), view.subspan(3)}), mac) << "first use";
    EXPECT_EQ(key.Mac({view}), mac) << "second use";
  }
}

struct HkdfVector {
  std::string input_key, salt, info, pseudorandom_key, output;
};
// RFC 5869, appendices A.1 to A.3.
const HkdfVector kRfc5869[] = {
    {"0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b", "000102030405060708090a0b0c",
     "f0f1f2f3f4f5f6f7f8f9", "077709362c2e32df0ddc3f0dc47bba6390b6c73bb50f9c3122ec844ad7c2b3e5",
     "3cb25f25faacd57a90434f64d0362f2a2d2d0a90cf1a5a4c5db02d56ecc4c5bf34007208d5b887185865"},
    {"000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f"
     "202122232425262728292a2b2c2d2e2f303132333435363738393a3b3c3d3e3f"
     "404142434445464748494a4b4c4d4e4f",
     "606162636465666768696a6b6c6d6e6f707172737475767778797a7b7c7d7e7f"
     "808182838485868788898a8b8c8d8e8f909192939495969798999a9b9c9d9e9f"
     "a0a1a2a3a4a5a6a7a8a9aaabacadaeaf",
     "b0b1b2b3b4b5b6b7b8b9babbbcbdbebfc0c1c2c3c4c5c6c7c8c9cacbcccdcecf"
     "d0d1d2d3d4d5d6d7d8d9dadbdcdddedfe0e1e2e3e4e5e6e7e8e9eaebecedeeef"
     "f0f1f2f3f4f5f6f7f8f9fafbfcfdfeff",
     "06a6b88c5853361a06104c9ceb35b45cef760014904671014a193f40c15fc244",
     "b11e398dc80327a1c8e7f78c596a49344f012eda2d4efad8a050cc4c19afa97c"
     "59045a99cac7827271cb41c65e590e09da3275600c2f09b8367793a9aca3db71"
     "cc30c58179ec3e87c14c01d5c1f3434f1d87"},
    {"0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b", "", "",
     "19ef24a32c717b167f33a91d6f648bdf96596776afdb6377ac434c1c293ccb04",
     "8da4e775a563c18f715f802a063c5a31b8a11f5c5ee1879ec3454e5f3c738d2d9d201395faa4b61a96c8"},
};

TEST(HkdfTest, MatchesRfc5869) {
  for (const HkdfVector& vector : kRfc5869) {
    Bytes salt = FromHex(vector.salt);
    Bytes info = FromHex(vector.info);
    Bytes input_key = FromHex(vector.input_key);
    SecretBytes pseudorandom_key = HkdfExtract(salt, input_key);
    EXPECT_EQ(ToHex(pseudorandom_key.Reveal()), vector.pseudorandom_key);
    size_t length = vector.output.size() / 2;
    EXPECT_EQ(ToHex(HkdfExpand(pseudorandom_key, info, length).value().Reveal()), vector.output);
    EXPECT_EQ(ToHex(Hkdf(salt, SecretBytes::CopyOf(input_key), info, length).value().Reveal()),
              vector.output);
    ByteView parts(input_key);
    EXPECT_TRUE(HkdfExtract(salt, {parts.first(5), parts.subspan(5)}) == pseudorandom_key);
  }
}

TEST(HkdfTest, RefusesMoreThan255Blocks) {
  SecretBytes key(32);
  EXPECT_EQ(HkdfExpand(key, {}, 0).value().size(), 0u);
  EXPECT_EQ(HkdfExpand(key, {}, 255 * 32).value().size(), 8160u);
  EXPECT_EQ(HkdfExpand(key, {}, 255 * 32 + 1).status().code(), absl::StatusCode::kInvalidArgument);
}

TEST(LabelledEncodingTest, HasTheDocumentedLayout) {
  EXPECT_EQ(ToHex(LabelledEncoding("ab", {AsBytes("x"), ByteView(), AsBytes("yz")})),
            "0002"
            "6162"
            "00000001"
            "78"
            "00000000"
            "00000002"
            "797a");
  EXPECT_EQ(ToHex(LabelledEncoding("", {})), "0000");
}

TEST(LabelledEncodingTest, BordersBetweenPartsCount) {
  Digest one = LabelledHash("l", {AsBytes("ab"), AsBytes("c")});
  EXPECT_NE(one, LabelledHash("l", {AsBytes("a"), AsBytes("bc")}));
  EXPECT_NE(one, LabelledHash("l", {AsBytes("abc")}));
  EXPECT_NE(one, LabelledHash("la", {AsBytes("b"), AsBytes("c")}));
  EXPECT_EQ(one, Sha256(LabelledEncoding("l", {AsBytes("ab"), AsBytes("c")})));
}

TEST(ConstantTimeEqualTest, ComparesSizeAndEveryBit) {
  Bytes a(40, 0x5a);
  EXPECT_TRUE(ConstantTimeEqual({}, {}));
  EXPECT_TRUE(ConstantTimeEqual(a, Bytes(40, 0x5a)));
  EXPECT_FALSE(ConstantTimeEqual(a, Bytes(41, 0x5a)));
  EXPECT_FALSE(ConstantTimeEqual(a, {}));
  for (size_t bit = 0; bit < 8 * a.size(); ++bit) {
    Bytes b = a;
    b[bit / 8] ^= static_cast<uint8_t>(1 << (bit % 8));
    EXPECT_FALSE(ConstantTimeEqual(a, b)) << bit;
  }
}

}  // namespace
}  // namespace nark
