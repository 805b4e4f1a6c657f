#include "common/wire/header.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <functional>
#include <string>
#include <utility>

#include "common/base/status.h"
#include "common/wire/testing.h"

namespace nark::wire {
namespace {

using absl::StatusCode;

ClearRanges& RangesOf(Header& header) { return std::get<ClearRanges>(header.clear_map); }

Header HeaderWithRule() {
  Header header = SmallHeader(9);
  header.clear_map = PacketRule{187, {0x10, 0x100, 0x1ffe}, 100};
  return header;
}

// With an authentication field of the right shape and no meaning.
Bytes Framed(ByteView header) {
  Bytes bytes(2 + header.size() + 1 + 64);
  StoreBig16(bytes.data(), static_cast<uint16_t>(header.size()));
  std::copy(header.begin(), header.end(), bytes.begin() + 2);
  bytes[2 + header.size()] = 1;
  return bytes;
}

absl::StatusOr<Header> Parse(const Header& header) {
  const Bytes framed = Framed(SerialiseHeader(header));
  auto parsed = ParseSignedHeader(framed);
  if (!parsed.ok()) return parsed.status();
  return parsed->header;
}

void ExpectEqual(const Header& a, const Header& b) {
  EXPECT_EQ(a.random_access, b.random_access);
  EXPECT_EQ(a.cipher, b.cipher);
  EXPECT_EQ(a.session_tag, b.session_tag);
  EXPECT_EQ(a.sender_id, b.sender_id);
  EXPECT_EQ(a.adu_id, b.adu_id);
  EXPECT_EQ(a.signed_time_us, b.signed_time_us);
  EXPECT_EQ(a.deadline_us, b.deadline_us);
  EXPECT_EQ(a.plaintext_bytes, b.plaintext_bytes);
  EXPECT_EQ(a.ciphertext_bytes, b.ciphertext_bytes);
  EXPECT_EQ(a.fragment_bytes, b.fragment_bytes);
  EXPECT_EQ(a.source_fragments, b.source_fragments);
  EXPECT_EQ(a.parity_fragments, b.parity_fragments);
  EXPECT_EQ(a.fresh, b.fresh);
  EXPECT_EQ(a.clear_map, b.clear_map);
  EXPECT_EQ(a.control_block, b.control_block);
  EXPECT_EQ(a.hashes, b.hashes);
}

TEST(HeaderTest, ParsesWhatItSerialised) {
  constexpr uint64_t kSeed = 3;
  SeededRandom random(kSeed);
  for (int i = 0; i < 2000; ++i) {
    SCOPED_TRACE("seed " + std::to_string(kSeed) + ", round " + std::to_string(i));
    const Header header = RandomHeader(random);
    const Bytes framed = Framed(SerialiseHeader(header));
    const auto parsed = ParseSignedHeader(framed);
    ASSERT_TRUE(parsed.ok()) << parsed.status();
    ExpectEqual(parsed->header, header);
    EXPECT_EQ(ToBytes(parsed->bytes), SerialiseHeader(header));
    EXPECT_EQ(ToBytes(parsed->core),
              SerialiseCore(header, static_cast<uint16_t>(header.control_block.size())));
    EXPECT_EQ(parsed->authentication.size(), 65u);
    EXPECT_EQ(SerialiseHeader(parsed->header), ToBytes(parsed->bytes));
  }
}

TEST(HeaderTest, RefusesEveryTruncationAndExtension) {
  for (const Header& header : {SmallHeader(9), HeaderWithRule()}) {
    const Bytes bytes = SerialiseHeader(header);
    const Bytes framed = Framed(bytes);
    ASSERT_TRUE(ParseSignedHeader(framed).ok());
    for (size_t size = 0; size < framed.size(); ++size) {
      EXPECT_EQ(ParseSignedHeader(ByteView(framed).first(size)).status().code(),
                StatusCode::kInvalidArgument)
          << size;
    }
    for (size_t size = 0; size < bytes.size(); ++size) {
      EXPECT_EQ(ParseSignedHeader(Framed(ByteView(bytes).first(size))).status().code(),
                StatusCode::kInvalidArgument)
          << size;
    }
    Bytes longer = framed;
    longer.push_back(0);
    EXPECT_EQ(ParseSignedHeader(longer).status().code(), StatusCode::kInvalidArgument);
  }
  EXPECT_EQ(ParseSignedHeader(Bytes(kMaxSignedHeaderBytes + 1)).status().code(),
            StatusCode::kInvalidArgument);
}

TEST(HeaderTest, RefusesBytesBehindItsHashes) {
  Bytes header = SerialiseHeader(SmallHeader(9));
  header.push_back(0);
  EXPECT_EQ(ParseSignedHeader(Framed(header)).status().code(), StatusCode::kInvalidArgument);
}

// A parse that accepts changed bytes gives a header that serialises to just them:
// no bit is without meaning.
TEST(HeaderTest, NoFlippedBitIsIgnored) {
  for (const Header& header : {SmallHeader(9), HeaderWithRule()}) {
    const Bytes bytes = SerialiseHeader(header);
    for (size_t bit = 0; bit < 8 * bytes.size(); ++bit) {
      Bytes flipped = bytes;
      flipped[bit / 8] ^= static_cast<uint8_t>(1 << bit % 8);
      const Bytes framed = Framed(flipped);
      const auto parsed = ParseSignedHeader(framed);
      if (!parsed.ok()) continue;
      EXPECT_EQ(SerialiseHeader(parsed->header), flipped) << bit;
    }
  }
}

// Every other value where the number of clear ranges stands.
TEST(HeaderTest, TakesNoNumberOfClearRangesBetweenRangesAndRule) {
  Header header = SmallHeader(9);
  header.clear_map = ClearRanges();
  Bytes bytes = SerialiseHeader(header);
  for (int entries = kMaxClearRanges + 1; entries < 256; ++entries) {
    bytes[72] = static_cast<uint8_t>(entries);
    EXPECT_EQ(ParseSignedHeader(Framed(bytes)).status().code(), StatusCode::kInvalidArgument)
        << entries;
  }
}

struct Defect {
  const char* name;
  std::function<void(Header&)> make;
};

class HeaderDefectTest : public testing::TestWithParam<Defect> {};

TEST_P(HeaderDefectTest, IsRefused) {
  Header header = SmallHeader(9);
  ASSERT_TRUE(CheckHeader(header).ok());
  ASSERT_TRUE(Parse(header).ok());
  GetParam().make(header);
  EXPECT_EQ(CheckHeader(header).code(), StatusCode::kInvalidArgument);
  EXPECT_EQ(Parse(header).status().code(), StatusCode::kInvalidArgument);
}

INSTANTIATE_TEST_SUITE_P(
    Fields, HeaderDefectTest,
    testing::Values(
        Defect{"EmptyPlaintext",
               [](Header& h) {
                 h.plaintext_bytes = 0;
                 h.clear_map = ClearRanges();
               }},
        Defect{"HugePlaintext",
               [](Header& h) {
                 h.plaintext_bytes = (16 << 20) + 1;
                 h.ciphertext_bytes = h.plaintext_bytes + 16;
                 h.fragment_bytes = 65520;
                 h.source_fragments = 257;
                 h.hashes.resize(LevelSizes(257, 65520).back());
               }},
        Defect{"CiphertextBelowPlaintext", [](Header& h) { h.ciphertext_bytes = 99; }},
        Defect{"CiphertextFarAbovePlaintext",
               [](Header& h) { h.ciphertext_bytes = 100 + kMaxCipherGrowth + 1; }},
        Defect{"DeadlineBeforeSignedTime", [](Header& h) { h.deadline_us = h.signed_time_us - 1; }},
        Defect{"FragmentsTooSmall", [](Header& h) { h.fragment_bytes = 496; }},
        Defect{"FragmentsOfNoBytes", [](Header& h) { h.fragment_bytes = 0; }},
        Defect{"FragmentsNoMultipleOf16", [](Header& h) { h.fragment_bytes = 1425; }},
        Defect{"NoSourceFragment", [](Header& h) { h.source_fragments = 0; }},
        Defect{"TooManySourceFragments", [](Header& h) { h.source_fragments = 2; }},
        Defect{"UnhashedParity", [](Header& h) { h.parity_fragments = 1; }},
        Defect{"TooManyFragments",
               [](Header& h) {
                 h.parity_fragments = 65535;
                 h.hashes.resize(LevelSizes(65536, h.fragment_bytes).back());
               }},
        Defect{"NoHash", [](Header& h) { h.hashes.clear(); }},
        Defect{"AHashTooMany", [](Header& h) { h.hashes.resize(2); }},
        Defect{"MoreHashesThanAllowed", [](Header& h) { h.hashes.resize(49); }},
        Defect{"SmallControlBlock", [](Header& h) { h.control_block.resize(95); }},
        Defect{"LargeControlBlock", [](Header& h) { h.control_block.resize(273); }},
        Defect{"NoControlBlock", [](Header& h) { h.control_block.clear(); }},
        Defect{"EmptyClearRange", [](Header& h) { RangesOf(h)[0].length = 0; }},
        Defect{"OverlappingClearRanges", [](Header& h) { RangesOf(h)[0].length = 51; }},
        Defect{"ClearRangesOutOfOrder",
               [](Header& h) { std::swap(RangesOf(h)[0], RangesOf(h)[1]); }},
        Defect{"ClearRangeBeyondThePlaintext", [](Header& h) { RangesOf(h)[1].length = 51; }},
        Defect{"ClearRangeThatWrapsAround", [](Header& h) { RangesOf(h)[1].length = 0xFFFFFFFF; }},
        Defect{"TooManyClearRanges",
               [](Header& h) {
                 RangesOf(h).clear();
                 for (uint32_t i = 0; i <= kMaxClearRanges; ++i) RangesOf(h).push_back({2 * i, 1});
               }},
        Defect{"NothingEncrypted",
               [](Header& h) {
                 h.clear_map = ClearRanges{{0, 40}, {40, 60}};
               }},
        Defect{"RuleOfNoPid",
               [](Header& h) {
                 h.clear_map = PacketRule{0, {}, 10};
               }},
        Defect{"RuleOfTooManyPids",
               [](Header& h) {
                 h.clear_map = PacketRule{0, {16, 17, 18, 19, 20, 21, 22, 23, 24}, 10};
               }},
        Defect{"RuleWithPidsOutOfOrder",
               [](Header& h) {
                 h.clear_map = PacketRule{0, {257, 256}, 10};
               }},
        Defect{"RuleWithAPidTwice",
               [](Header& h) {
                 h.clear_map = PacketRule{0, {256, 256}, 10};
               }},
        Defect{"RuleForTables",
               [](Header& h) {
                 h.clear_map = PacketRule{0, {15}, 10};
               }},
        Defect{"RuleForPacketsOfNothing",
               [](Header& h) {
                 h.clear_map = PacketRule{0, {0x1fff}, 10};
               }},
        Defect{"RuleWithAPidOf14Bits",
               [](Header& h) {
                 h.clear_map = PacketRule{0, {0x2100}, 10};
               }},
        Defect{"RuleBeginsBehindAPacket",
               [](Header& h) {
                 h.clear_map = PacketRule{188, {256}, 10};
               }},
        Defect{"RuleThatEncryptsNothing",
               [](Header& h) {
                 h.clear_map = PacketRule{0, {256}, 0};
               }},
        Defect{"RuleThatEncryptsMoreThanThereIs",
               [](Header& h) {
                 h.clear_map = PacketRule{0, {256}, 101};
               }}),
    [](const auto& test) { return std::string(test.param.name); });

TEST(HeaderTest, RefusesOtherVersionsFlagsAndHashes) {
  const Bytes bytes = SerialiseHeader(SmallHeader(9));
  const auto code_with = [&bytes](size_t at, uint8_t value) {
    Bytes changed = bytes;
    changed[at] = value;
    return ParseSignedHeader(Framed(changed)).status().code();
  };
  EXPECT_EQ(code_with(0, 1), StatusCode::kOk);
  EXPECT_EQ(code_with(0, 2), StatusCode::kInvalidArgument);
  EXPECT_EQ(code_with(1, 1), StatusCode::kOk);
  for (int flags = 2; flags < 256; flags += 2) {
    EXPECT_EQ(code_with(1, static_cast<uint8_t>(flags)), StatusCode::kInvalidArgument);
  }
  EXPECT_EQ(code_with(3, 0), StatusCode::kInvalidArgument);
  EXPECT_EQ(code_with(3, 2), StatusCode::kInvalidArgument);
}

TEST(HeaderTest, AMaximalHeaderIsNoLongerThanPromised) {
  Header header = SmallHeader(9);
  header.fragment_bytes = 1536;  // the first size that gives kMaxRootHashes
  header.plaintext_bytes = 48 * 1536 - 16;
  header.ciphertext_bytes = 48 * 1536;
  header.source_fragments = 48;
  header.hashes.resize(48);
  RangesOf(header).clear();
  for (uint32_t i = 0; i < kMaxClearRanges; ++i) RangesOf(header).push_back({2 * i, 1});
  header.control_block.resize(kMaxControlBlockBytes + 16);
  ASSERT_TRUE(Parse(header).ok());
  EXPECT_EQ(2 + SerialiseHeader(header).size() + kMaxAuthenticationBytes, kMaxSignedHeaderBytes);
}

// What the smallest fragments are for: without clear map, the smallest control
// block and one signature, a header fits a datagram of its own ADU.
TEST(HeaderTest, FitsADatagramOfItsOwnAdu) {
  for (uint32_t size = kMinFragmentBytes; size <= 65520; size += 16) {
    const size_t header = 2 + kCoreBytes + kMinControlBlockBytes + 16 + 2 +
                          kFragmentHashBytes * MaxRootHashes(static_cast<uint16_t>(size)) + 65;
    ASSERT_LE(header, size);
  }
}

TEST(LevelSizesTest, PagesShrinkUntilTheHeaderHoldsThem) {
  const auto sizes = [](uint32_t fragments, uint16_t bytes) {
    return LevelSizes(fragments, bytes);
  };
  using Sizes = std::vector<uint32_t>;
  // 1424 bytes: pages of 89 hashes, 44 in the header.
  EXPECT_EQ(sizes(1, 1424), (Sizes{1}));
  EXPECT_EQ(sizes(44, 1424), (Sizes{44}));
  EXPECT_EQ(sizes(45, 1424), (Sizes{45, 1}));
  EXPECT_EQ(sizes(89 * 44, 1424), (Sizes{89 * 44, 44}));
  EXPECT_EQ(sizes(89 * 44 + 1, 1424), (Sizes{89 * 44 + 1, 45, 1}));
  // 512 bytes: pages of 32 hashes, 16 in the header.
  EXPECT_EQ(sizes(16, 512), (Sizes{16}));
  EXPECT_EQ(sizes(513, 512), (Sizes{513, 17, 1}));
  EXPECT_EQ(sizes(65535, 512), (Sizes{65535, 2048, 64, 2}));
  EXPECT_EQ(sizes(65535, 65520), (Sizes{65535, 17}));
}

TEST(WholeTest, ParsesWhatItSerialised) {
  const Bytes header = Framed(SerialiseHeader(SmallHeader(9)));
  const Bytes ciphertext(116, 0xAB);
  const Bytes payload = SerialiseWhole(header, ciphertext);
  const auto parsed = ParseWhole(payload);
  ASSERT_TRUE(parsed.ok());
  EXPECT_TRUE(Equal(parsed->signed_header, header));
  EXPECT_TRUE(Equal(parsed->ciphertext, ciphertext));
  for (size_t size = 0; size < 2 + header.size(); ++size) {
    EXPECT_EQ(ParseWhole(ByteView(payload).first(size)).status().code(),
              StatusCode::kInvalidArgument);
  }
}

TEST(HeaderTest, MatchesOnlyItsOwnAdusPrefix) {
  const Header header = SmallHeader(9);
  Prefix prefix;
  prefix.session_tag = 9;
  prefix.sender_id = 1;
  prefix.adu_id = 5;
  EXPECT_TRUE(MatchesPrefix(header, prefix));
  Prefix other = prefix;
  other.session_tag = 8;
  EXPECT_FALSE(MatchesPrefix(header, other));
  other = prefix;
  other.sender_id = 2;
  EXPECT_FALSE(MatchesPrefix(header, other));
  other = prefix;
  other.adu_id = 6;
  EXPECT_FALSE(MatchesPrefix(header, other));
}

}  // namespace
}  // namespace nark::wire
