#include "common/wire/datagram.h"

#include <gtest/gtest.h>

#include "common/crypto/random.h"

namespace nark::wire {
namespace {

constexpr uint64_t kSeed = 1;

Prefix RandomPrefix(SeededRandom& random) {
  Prefix prefix;
  prefix.kind = static_cast<DatagramKind>(1 + random.Below(5));
  prefix.session_tag = random.Below(~uint64_t{0});
  prefix.sender_id = static_cast<uint32_t>(random.Below(uint64_t{1} << 32));
  prefix.adu_id = random.Below(~uint64_t{0});
  const bool numbered = prefix.kind != DatagramKind::kHeader && prefix.kind != DatagramKind::kWhole;
  if (numbered) prefix.index = static_cast<uint32_t>(random.Below(uint64_t{1} << 32));
  return prefix;
}

TEST(DatagramTest, ParsesWhatItWrote) {
  SeededRandom random(kSeed);
  for (int i = 0; i < 1000; ++i) {
    const Prefix prefix = RandomPrefix(random);
    Bytes datagram(kPrefixBytes + random.Below(100));
    WritePrefix(prefix, datagram.data());
    const ParsedDatagram parsed = ParseDatagram(datagram);
    ASSERT_EQ(parsed.drop, Drop::kNone) << "seed " << kSeed << ", round " << i;
    EXPECT_EQ(parsed.prefix.kind, prefix.kind);
    EXPECT_EQ(parsed.prefix.session_tag, prefix.session_tag);
    EXPECT_EQ(parsed.prefix.sender_id, prefix.sender_id);
    EXPECT_EQ(parsed.prefix.adu_id, prefix.adu_id);
    EXPECT_EQ(parsed.prefix.index, prefix.index);
    EXPECT_EQ(parsed.payload.data(), datagram.data() + kPrefixBytes);
    EXPECT_EQ(parsed.payload.size(), datagram.size() - kPrefixBytes);
  }
}

TEST(DatagramTest, LaysThePrefixOutAsDocumented) {
  uint8_t bytes[kPrefixBytes];
  WritePrefix(
      {DatagramKind::kSource, 0x0102030405060708, 0x090A0B0C, 0x0D0E0F1011121314, 0x15161718},
      bytes);
  EXPECT_EQ(ToHex(bytes), "4e4b01020102030405060708090a0b0c0d0e0f101112131415161718");
}

TEST(DatagramTest, DropsEachDefectUnderItsName) {
  Bytes datagram(kPrefixBytes);
  WritePrefix({}, datagram.data());
  EXPECT_EQ(ParseDatagram(datagram).drop, Drop::kNone);
  for (size_t size = 0; size < kPrefixBytes; ++size) {
    EXPECT_EQ(ParseDatagram(ByteView(datagram).first(size)).drop, Drop::kShort) << size;
  }
  const auto drop_with = [&datagram](size_t at, uint8_t value) {
    Bytes changed = datagram;
    changed[at] = value;
    return ParseDatagram(changed).drop;
  };
  EXPECT_EQ(drop_with(0, 'n'), Drop::kMagic);
  EXPECT_EQ(drop_with(1, 0), Drop::kMagic);
  for (int version = 0; version < 256; ++version) {
    EXPECT_EQ(drop_with(2, static_cast<uint8_t>(version)),
              version == 1 ? Drop::kNone : Drop::kVersion);
  }
  for (int kind = 0; kind < 256; ++kind) {
    EXPECT_EQ(drop_with(3, static_cast<uint8_t>(kind)),
              kind >= 1 && kind <= 5 ? Drop::kNone : Drop::kKind);
  }
  EXPECT_EQ(drop_with(27, 1), Drop::kKind) << "a header has no index";
}

TEST(DatagramTest, NamesEveryDrop) {
  EXPECT_EQ(DropName(Drop::kShort), "short");
  EXPECT_EQ(DropName(Drop::kMagic), "magic");
  EXPECT_EQ(DropName(Drop::kVersion), "version");
  EXPECT_EQ(DropName(Drop::kKind), "kind");
  EXPECT_EQ(DropName(Drop::kSession), "session");
}

// FIPS 180-4's example "abc", truncated.
TEST(DatagramTest, HashesFragmentsWithTruncatedSha256) {
  EXPECT_EQ(ToHex(HashFragment(AsBytes("abc"))), "ba7816bf8f01cfea414140de5dae2223");
}

}  // namespace
}  // namespace nark::wire
