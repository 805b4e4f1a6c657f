#include "common/base/bytes.h"

#include <gtest/gtest.h>

namespace nark {
namespace {

TEST(BytesTest, HexIsLowerCaseAndReadsBack) {
  EXPECT_EQ(ToHex(Bytes{0x00, 0x1f, 0xab, 0xff}), "001fabff");
  EXPECT_EQ(FromHex("001fABff"), (Bytes{0x00, 0x1f, 0xab, 0xff}));
  Bytes all(256);
  for (size_t i = 0; i < all.size(); ++i) all[i] = static_cast<uint8_t>(i);
  EXPECT_EQ(FromHex(ToHex(all)), all);
}

TEST(BytesTest, HexOfNothingIsNothing) {
  EXPECT_EQ(ToHex({}), "");
  EXPECT_TRUE(FromHex("").empty());
}

TEST(BytesTest, WhatIsNotHexYieldsNothing) {
  EXPECT_TRUE(FromHex("abc").empty());
  for (int c = 0; c < 256; ++c) {
    std::string text = {'0', static_cast<char>(c)};
    bool digit = std::isxdigit(c) != 0;
    EXPECT_EQ(FromHex(text).size(), digit ? 1u : 0u) << "character " << c;
  }
}

TEST(BytesTest, IntegersAreBigEndian) {
  std::array<uint8_t, 8> bytes{};
  StoreBig64(bytes.data(), 0x0102030405060708);
  EXPECT_EQ(ToHex(bytes), "0102030405060708");
  EXPECT_EQ(LoadBig64(bytes.data()), 0x0102030405060708u);
  EXPECT_EQ(LoadBig32(bytes.data()), 0x01020304u);
  EXPECT_EQ(LoadBig16(bytes.data() + 6), 0x0708u);
}

TEST(BytesTest, TheLargestIntegersSurvive) {
  std::array<uint8_t, 8> bytes{};
  StoreBig64(bytes.data(), UINT64_MAX);
  EXPECT_EQ(LoadBig64(bytes.data()), UINT64_MAX);
  StoreBig64(bytes.data(), 0x8000000080008080);
  EXPECT_EQ(LoadBig64(bytes.data()), 0x8000000080008080u);
  EXPECT_EQ(LoadBig32(bytes.data()), 0x80000000u);
  EXPECT_EQ(LoadBig16(bytes.data() + 6), 0x8080u);
}

TEST(BytesTest, EqualComparesSizeAndContent) {
  EXPECT_TRUE(Equal({}, {}));
  EXPECT_TRUE(Equal(AsBytes("ab"), AsBytes("ab")));
  EXPECT_FALSE(Equal(AsBytes("ab"), AsBytes("abc")));
  EXPECT_FALSE(Equal(AsBytes("ab"), AsBytes("aB")));
}

TEST(BytesTest, ViewsAndCopiesHoldTheSameBytes) {
  std::string text("a\0\xff", 3);
  EXPECT_EQ(AsText(AsBytes(text)), text);
  EXPECT_EQ(ToText(ToBytes(AsBytes(text))), text);
}

}  // namespace
}  // namespace nark
