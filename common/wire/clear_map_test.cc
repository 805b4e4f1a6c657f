#include "common/wire/clear_map.h"

#include <gtest/gtest.h>

#include <string>

#include "common/base/status.h"
#include "common/crypto/random.h"

namespace nark::wire {
namespace {

using absl::StatusCode;

constexpr uint16_t kVideo = 0x101, kAudio = 0x102;

// A packet whose bytes behind the header are all `fill`.
Bytes Packet(uint16_t pid, uint8_t flags, uint8_t fill) {
  Bytes packet(kTransportPacketBytes, fill);
  packet[0] = 0x47;
  StoreBig16(&packet[1], pid);
  packet[3] = flags;
  return packet;
}

Bytes Join(std::initializer_list<Bytes> parts) {
  Bytes all;
  for (const Bytes& part : parts) all.insert(all.end(), part.begin(), part.end());
  return all;
}

ClearRanges ClearOf(const Bytes& body, uint8_t phase = 0) {
  return ClearBytesOfPackets(phase, {kVideo}, body);
}

TEST(ClearBytesOfPacketsTest, PayloadsOfTheNamedPidsAreEncryptedAndNothingElse) {
  const Bytes body = Join({Packet(kAudio, 0x10, 1), Packet(kVideo, 0x10, 2), Packet(0, 0x10, 3)});
  EXPECT_EQ(ClearOf(body), (ClearRanges{{0, 192}, {376, 188}}));
}

TEST(ClearBytesOfPacketsTest, FlagsBesideThePidDoNotMatter) {
  for (uint16_t more : {0x8000, 0x4000, 0x2000, 0xe000}) {
    EXPECT_EQ(ClearOf(Packet(kVideo | more, 0x1f, 2)), (ClearRanges{{0, 4}}));
  }
}

TEST(ClearBytesOfPacketsTest, AdaptationFieldsStayClear) {
  Bytes packet = Packet(kVideo, 0x30, 9);
  for (int length = 0; length <= 255; ++length) {
    packet[4] = static_cast<uint8_t>(length);
    const auto end = static_cast<uint32_t>(length <= 183 ? 5 + length : 5);
    EXPECT_EQ(ClearOf(packet), (ClearRanges{{0, end}})) << length;
  }
  packet[3] = 0x20;
  packet[4] = 183;
  EXPECT_EQ(ClearOf(packet), (ClearRanges{{0, 188}})) << "no payload";
}

TEST(ClearBytesOfPacketsTest, BytesOfNoWholePacketAreEncrypted) {
  const Bytes packets = Join({Packet(kAudio, 0x10, 1), Packet(kAudio, 0x10, 1)});
  for (size_t before : {0, 1, 100, 187}) {
    for (size_t cut : {0, 1, 187}) {
      const Bytes body = Join({Bytes(before, 0x47), Bytes(packets.begin(), packets.end() - cut)});
      const uint32_t length = cut == 0 ? 376 : 188;
      EXPECT_EQ(ClearOf(body, static_cast<uint8_t>(before)),
                (ClearRanges{{static_cast<uint32_t>(before), length}}));
    }
  }
  EXPECT_TRUE(ClearOf(Bytes(187, 0x47)).empty());
  EXPECT_TRUE(ClearOf(Bytes(100, 0x47), 150).empty());
  EXPECT_TRUE(ClearOf({}).empty());
}

TEST(ClearBytesOfPacketsTest, PacketsWithoutTheirSyncByteAreEncrypted) {
  Bytes lost = Packet(kAudio, 0x10, 0x47);
  lost[0] = 0x46;
  const Bytes body = Join({Packet(kAudio, 0x10, 1), lost, Packet(kAudio, 0x10, 1)});
  EXPECT_EQ(ClearOf(body), (ClearRanges{{0, 188}, {376, 188}}));
}

TEST(ResolveClearMapTest, GivesTheRangesOfARuleThatCountsRightly) {
  const Bytes body = Join({Packet(kAudio, 0x10, 1), Packet(kVideo, 0x10, 2)});
  for (uint32_t encrypted = 1; encrypted <= body.size(); ++encrypted) {
    const auto ranges = ResolveClearMap(PacketRule{0, {kVideo}, encrypted}, body);
    ASSERT_EQ(ranges.ok(), encrypted == 184) << encrypted;
    if (ranges.ok()) {
      EXPECT_EQ(*ranges, (ClearRanges{{0, 192}}));
    }
  }
}

TEST(ResolveClearMapTest, RefusesRangesThatAreNone) {
  const Bytes body(100);
  const auto code = [&](const ClearMap& map) { return ResolveClearMap(map, body).status().code(); };
  EXPECT_EQ(code({}), StatusCode::kOk);
  EXPECT_EQ(code(ClearRanges{{0, 50}, {50, 49}}), StatusCode::kOk);
  EXPECT_EQ(code(ClearRanges{{0, 50}, {50, 50}}), StatusCode::kInvalidArgument)
      << "nothing encrypted";
  EXPECT_EQ(code(ClearRanges{{0, 101}}), StatusCode::kInvalidArgument);
  EXPECT_EQ(code(PacketRule{0, {kVideo}, 101}), StatusCode::kInvalidArgument);
}

TEST(MaskEncryptedTest, LeavesWhatIsClearAndZeroesTheRest) {
  Bytes body(10, 7);
  ASSERT_TRUE(MaskEncrypted(ClearRanges{{2, 3}}, body).ok());
  EXPECT_EQ(body, (Bytes{0, 0, 7, 7, 7, 0, 0, 0, 0, 0}));
  ASSERT_TRUE(MaskEncrypted({}, body).ok());
  EXPECT_EQ(body, Bytes(10));
}

TEST(MaskEncryptedTest, MarksPacketsThatLostTheirPayloadAsScrambled) {
  Bytes full = Packet(kVideo, 0x20, 5);
  full[4] = 183;
  const Bytes body = Join({Packet(kAudio, 0x11, 1), Packet(kVideo, 0xd2, 2), full});
  Bytes masked = body;
  ASSERT_TRUE(MaskEncrypted(PacketRule{0, {kVideo}, 184}, masked).ok());
  Bytes expected = body;
  expected[188 + 3] = 0x92;
  std::fill_n(expected.begin() + 192, 184, uint8_t{0});
  EXPECT_EQ(masked, expected);
}

// Whatever the bytes: both sides see the same map, before and behind encryption.
TEST(MaskEncryptedTest, KeepsTheMapOfWhatItMasks) {
  constexpr uint64_t kSeed = 5;
  SeededRandom random(kSeed);
  for (int round = 0; round < 2000; ++round) {
    SCOPED_TRACE("seed " + std::to_string(kSeed) + ", round " + std::to_string(round));
    Bytes body(1 + random.Below(1500));
    ASSERT_TRUE(random.Fill(body).ok());
    PacketRule rule{static_cast<uint8_t>(random.Below(188)), {kVideo, kAudio}, 0};
    for (size_t at = rule.phase; at + 188 <= body.size(); at += 188) {
      if (random.Below(8) != 0) body[at] = 0x47;
      StoreBig16(&body[at + 1], static_cast<uint16_t>(kVideo + random.Below(3)));
    }
    const ClearRanges clear = ClearBytesOfPackets(rule.phase, rule.pids, body);
    rule.encrypted_bytes = static_cast<uint32_t>(body.size() - TotalBytes(clear));
    if (rule.encrypted_bytes == 0) continue;
    EXPECT_EQ(*ResolveClearMap(rule, body), clear);
    ASSERT_TRUE(MaskEncrypted(rule, body).ok());
    EXPECT_EQ(*ResolveClearMap(rule, body), clear);
  }
}

}  // namespace
}  // namespace nark::wire
