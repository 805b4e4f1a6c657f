#include "sender/transport_stream.h"

#include <gtest/gtest.h>

#include "sender/stream_generator.h"

namespace nark::sender {
namespace {

using std::chrono::microseconds;
using std::chrono::milliseconds;
using Continuity = ProgrammeClock::Continuity;

constexpr uint64_t kModulus = StreamGenerator::kPcrModulus;
constexpr uint64_t kMillisecond = 27'000;

TEST(ProgrammeClockTest, BeginsAtZeroAndCountsOn) {
  ProgrammeClock clock;
  EXPECT_EQ(clock.Advance(5 * kMillisecond, Continuity::kContinuous), milliseconds(0));
  EXPECT_EQ(clock.Advance(45 * kMillisecond, Continuity::kContinuous), milliseconds(40));
  EXPECT_EQ(clock.Advance(45 * kMillisecond, Continuity::kContinuous), milliseconds(40));
}

TEST(ProgrammeClockTest, CountsOverTheWrap) {
  ProgrammeClock clock;
  clock.Advance(kModulus - 10 * kMillisecond, Continuity::kContinuous);
  EXPECT_EQ(clock.Advance(30 * kMillisecond, Continuity::kContinuous), milliseconds(40));
}

TEST(ProgrammeClockTest, RoundsOnceNotAtEveryStep) {
  ProgrammeClock clock;
  uint64_t pcr = 0;
  microseconds time(0);
  for (int i = 0; i <= 3000; ++i, pcr += 40 * kMillisecond + 1) {
    time = clock.Advance(pcr, Continuity::kContinuous);
  }
  EXPECT_EQ(time, milliseconds(40 * 3000) + microseconds(3000 / 27));
}

TEST(ProgrammeClockTest, StandsStillAtJumpsBackFarAheadAndAnnounced) {
  ProgrammeClock clock;
  clock.Advance(1000 * kMillisecond, Continuity::kContinuous);
  EXPECT_EQ(clock.Advance(900 * kMillisecond, Continuity::kContinuous), milliseconds(0));
  EXPECT_EQ(clock.Advance(940 * kMillisecond, Continuity::kContinuous), milliseconds(40));
  EXPECT_EQ(clock.Advance(5941 * kMillisecond, Continuity::kContinuous), milliseconds(40));
  EXPECT_EQ(clock.Advance(6000 * kMillisecond, Continuity::kAnnouncedSplice), milliseconds(40));
  EXPECT_EQ(clock.Advance(11000 * kMillisecond, Continuity::kContinuous), milliseconds(5040));
}

TEST(SectionCrcTest, MatchesTheCatalogue) {
  // CRC-32/MPEG-2 of "123456789", from the catalogue of parametrised CRCs.
  EXPECT_EQ(SectionCrc(AsBytes("123456789")), 0x0376e6e7u);
}

TransportStreamScanner Scanned(ByteView stream) {
  TransportStreamScanner scanner;
  for (size_t at = 0; at + kPacketBytes <= stream.size(); at += kPacketBytes) {
    scanner.Look(stream.subspan(at, kPacketBytes));
  }
  return scanner;
}

TEST(TransportStreamScannerTest, FindsTheFirstProgrammeThroughItsTables) {
  StreamGenerator stream;
  stream.Tables();
  EXPECT_TRUE(Scanned(stream.bytes()).programme_known());
}

TEST(TransportStreamScannerTest, EveryDamagedBitOfATableIsNoticed) {
  StreamGenerator stream;
  stream.Tables();
  // The PMT's second packet: bytes of its section end with the CRC.
  size_t end = stream.size();
  while (stream.bytes()[end - 1] == 0xff) --end;
  for (size_t at = stream.size() - 184; at < end; ++at) {
    for (int bit = 0; bit < 8; ++bit) {
      Bytes damaged = stream.bytes();
      damaged[at] ^= static_cast<uint8_t>(1 << bit);
      EXPECT_FALSE(Scanned(damaged).programme_known()) << at << "." << bit;
    }
  }
}

TEST(TransportStreamScannerTest, AudioIndicatorsAreNotVideos) {
  using G = StreamGenerator;
  G stream;
  stream.Tables();
  TransportStreamScanner scanner = Scanned(stream.bytes());
  G audio;
  audio.Packet(G::kAudioPid, G::RandomAccess::kYes, 27'000);
  TransportStreamScanner::Packet looked = scanner.Look(audio.bytes());
  EXPECT_FALSE(looked.video_random_access);
  EXPECT_FALSE(looked.time.has_value());  // nor its PCR the programme's
  G video;
  video.Packet(G::kVideoPid, G::RandomAccess::kYes, 27'000);
  looked = scanner.Look(video.bytes());
  EXPECT_TRUE(looked.video_random_access);
  EXPECT_EQ(looked.time, milliseconds(0));
}

TEST(TransportStreamScannerTest, TheVideosPcrsServeWhereTheTableNamesNoPid) {
  using G = StreamGenerator;
  for (uint16_t named : {uint16_t{0x1fff}, G::kAudioPid}) {
    G stream;
    stream.Tables(named);
    TransportStreamScanner scanner = Scanned(stream.bytes());
    G video;
    video.Packet(G::kVideoPid, G::RandomAccess::kNo, 27'000);
    EXPECT_EQ(scanner.Look(video.bytes()).time.has_value(), named == 0x1fff);
  }
}

TEST(TransportStreamScannerTest, AdaptationFieldsThatLieAreIgnored) {
  using G = StreamGenerator;
  G stream;
  stream.Tables();
  TransportStreamScanner scanner = Scanned(stream.bytes());
  G video;
  video.Packet(G::kVideoPid, G::RandomAccess::kYes, 27'000);
  for (int length : {0, 184, 255}) {
    Bytes packet = video.bytes();
    packet[4] = static_cast<uint8_t>(length);
    TransportStreamScanner::Packet looked = scanner.Look(packet);
    EXPECT_FALSE(looked.video_random_access) << length;
    EXPECT_FALSE(looked.time.has_value()) << length;
  }
  Bytes too_short_for_pcr = video.bytes();
  too_short_for_pcr[4] = 6;
  EXPECT_FALSE(scanner.Look(too_short_for_pcr).time.has_value());
  Bytes damaged = video.bytes();
  damaged[1] |= 0x80;
  EXPECT_FALSE(scanner.Look(damaged).video_random_access);
}

}  // namespace
}  // namespace nark::sender
