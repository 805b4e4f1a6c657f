#include "sender/rtp.h"

#include <gtest/gtest.h>

namespace nark::sender {
namespace {

constexpr size_t kPacket = 188;

Bytes Packets(size_t count) {
  Bytes packets(count * kPacket, 0xff);
  for (size_t i = 0; i < count; ++i) packets[i * kPacket] = 0x47;
  return packets;
}

void Append(Bytes& to, const Bytes& more) { to.insert(to.end(), more.begin(), more.end()); }

// As ffmpeg -f rtp_mpegts sends: no contributing source, no extension, no padding.
Bytes Rtp(uint16_t sequence, size_t packets = 7) {
  Bytes datagram = {0x80,
                    33,
                    static_cast<uint8_t>(sequence >> 8),
                    static_cast<uint8_t>(sequence),
                    0,
                    1,
                    2,
                    3,
                    9,
                    8,
                    7,
                    6};
  Append(datagram, Packets(packets));
  return datagram;
}

TEST(RtpTest, ReadsSequenceSourceAndPayload) {
  Bytes datagram = Rtp(0x1234);
  std::optional<RtpPacket> packet = ParseRtp(datagram);
  ASSERT_TRUE(packet.has_value());
  EXPECT_EQ(packet->sequence, 0x1234);
  EXPECT_EQ(packet->source, 0x09080706u);
  EXPECT_EQ(packet->payload.data(), datagram.data() + 12);
  EXPECT_EQ(packet->payload.size(), 7 * kPacket);
}

TEST(RtpTest, PassesSourcesExtensionAndPadding) {
  Bytes datagram = Rtp(1, 0);
  datagram[0] = 0x80 | 0x20 | 0x10 | 2;
  Append(datagram, Bytes(8));            // two contributing sources
  Append(datagram, {0xbe, 0xde, 0, 3});  // three words of extension
  Append(datagram, Bytes(12));
  size_t begin = datagram.size();
  Append(datagram, Packets(2));
  Append(datagram, {0, 0, 3});
  std::optional<RtpPacket> packet = ParseRtp(datagram);
  ASSERT_TRUE(packet.has_value());
  EXPECT_EQ(packet->payload.data(), datagram.data() + begin);
  EXPECT_EQ(packet->payload.size(), 2 * kPacket);
}

TEST(RtpTest, ATransportStreamIsNoRtp) {
  EXPECT_FALSE(ParseRtp(Packets(7)).has_value());
  EXPECT_FALSE(ParseRtp({}).has_value());
}

TEST(RtpTest, EveryTruncationIsTakenAsItIs) {
  Bytes datagram = Rtp(1, 2);
  for (size_t size = 0; size < datagram.size(); ++size) {
    std::optional<RtpPacket> packet = ParseRtp(ByteView(datagram).first(size));
    EXPECT_EQ(packet.has_value(), size == 12 + kPacket) << size;
  }
}

TEST(RtpTest, EveryFlippedBitIsReadOrRefusedInBounds) {
  Bytes datagram = Rtp(1, 2);
  for (size_t bit = 0; bit < 8 * datagram.size(); ++bit) {
    datagram[bit / 8] ^= static_cast<uint8_t>(1 << bit % 8);
    std::optional<RtpPacket> packet = ParseRtp(datagram);
    size_t at = bit / 8;
    bool sync = at == 12 || at == 12 + kPacket;
    // The marker, sequence, time, source and what the packets carry are free.
    bool free = (at == 1 && bit % 8 == 7) || (at >= 2 && !sync);
    EXPECT_EQ(packet.has_value(), free) << "bit " << bit;
    datagram[bit / 8] ^= static_cast<uint8_t>(1 << bit % 8);
  }
}

uint64_t MissingAfter(const std::vector<uint16_t>& sequences) {
  RtpSequence sequence;
  for (uint16_t one : sequences) sequence.See({.sequence = one, .source = 1, .payload = {}});
  return sequence.missing();
}

TEST(RtpSequenceTest, CountsGaps) {
  EXPECT_EQ(MissingAfter({}), 0u);
  EXPECT_EQ(MissingAfter({5, 6, 7}), 0u);
  EXPECT_EQ(MissingAfter({5, 8, 9, 12}), 4u);
  EXPECT_EQ(MissingAfter({65534, 65535, 0, 1}), 0u);
  EXPECT_EQ(MissingAfter({65535, 1}), 1u);
}

TEST(RtpSequenceTest, WhatComesLateIsNotMissing) {
  EXPECT_EQ(MissingAfter({5, 7, 6, 8}), 0u);
  EXPECT_EQ(MissingAfter({5, 5, 5, 6}), 0u);
}

TEST(RtpSequenceTest, AnotherSourceBeginsAnew) {
  RtpSequence sequence;
  sequence.See({.sequence = 5, .source = 1, .payload = {}});
  sequence.See({.sequence = 5000, .source = 2, .payload = {}});
  sequence.See({.sequence = 5001, .source = 2, .payload = {}});
  EXPECT_EQ(sequence.missing(), 0u);
}

}  // namespace
}  // namespace nark::sender
