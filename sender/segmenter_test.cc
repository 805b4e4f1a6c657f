#include "sender/segmenter.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <random>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/base/status.h"
#include "common/base/storage.h"
#include "sender/stream_generator.h"

namespace nark::sender {
namespace {

using std::chrono::microseconds;
using std::chrono::milliseconds;
using ::testing::Each;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

CutRule Gop() { return {.kind = CutRule::Kind::kGop}; }
CutRule Every(milliseconds duration) {
  return {.kind = CutRule::Kind::kDuration, .duration = duration};
}
CutRule Sized(size_t bytes) { return {.kind = CutRule::Kind::kBytes, .bytes = bytes}; }

// Feeds the input in pieces of random size up to `most`.
std::vector<Adu> CutAll(Segmenter& segmenter, ByteView input, uint32_t seed = 1,
                        size_t most = 100'000) {
  std::mt19937 random(seed);
  std::vector<Adu> adus;
  auto drain = [&] {
    while (std::optional<Adu> adu = segmenter.Next()) adus.push_back(*std::move(adu));
  };
  while (!input.empty()) {
    size_t size = std::min<size_t>(1 + random() % most, input.size());
    segmenter.Append(input.first(size));
    input = input.subspan(size);
    drain();
  }
  segmenter.Finish();
  drain();
  return adus;
}

std::vector<Adu> CutAll(const CutRule& rule, ByteView input, uint32_t seed = 1,
                        size_t most = 100'000) {
  Segmenter segmenter(rule);
  return CutAll(segmenter, input, seed, most);
}

Bytes Joined(const std::vector<Adu>& adus) {
  Bytes joined;
  for (const Adu& adu : adus) joined.insert(joined.end(), adu.bytes.begin(), adu.bytes.end());
  return joined;
}

std::vector<size_t> Sizes(const std::vector<Adu>& adus) {
  std::vector<size_t> sizes;
  for (const Adu& adu : adus) sizes.push_back(adu.bytes.size());
  return sizes;
}

// Sizes of the pieces between cuts, where they are.
std::vector<size_t> Between(std::vector<size_t> cuts, size_t end) {
  std::vector<size_t> sizes;
  size_t begin = 0;
  cuts.push_back(end);
  for (size_t cut : cuts) {
    if (cut > begin) sizes.push_back(cut - begin);
    begin = cut;
  }
  return sizes;
}

TEST(SegmenterTest, CutsBeforeEachRandomAccessPointOfTheVideo) {
  StreamGenerator stream;
  std::vector<size_t> gops = stream.Programme(250, 25, 20);
  for (size_t most : {1, 187, 188, 189, 100'000}) {
    std::vector<Adu> adus = CutAll(Gop(), stream.bytes(), 1, most);
    EXPECT_EQ(Sizes(adus), Between(gops, stream.size())) << most;
    ASSERT_EQ(adus.size(), 11u);  // tables and audio stand before the first
    EXPECT_FALSE(adus[0].random_access);
    for (size_t i = 1; i < adus.size(); ++i) EXPECT_TRUE(adus[i].random_access) << i;
  }
}

TEST(SegmenterTest, TimesOfGopsAreThoseOfTheirPcrs) {
  StreamGenerator stream;
  stream.Programme(100, 25, 10, 12345678);
  std::vector<Adu> adus = CutAll(Gop(), stream.bytes());
  ASSERT_EQ(adus.size(), 5u);
  for (int i = 1; i < 5; ++i) {
    ASSERT_TRUE(adus[static_cast<size_t>(i)].time.has_value());
    EXPECT_EQ(adus[static_cast<size_t>(i)].time->begin, (i - 1) * milliseconds(1000));
  }
  EXPECT_EQ(adus[1].time->end, milliseconds(1000));
  EXPECT_EQ(adus[4].time->end, milliseconds(3960));  // the last PCR
}

TEST(SegmenterTest, MarksBeforeTheTablesThatNameThemCount) {
  StreamGenerator stream;
  stream.Packet(StreamGenerator::kVideoPid, StreamGenerator::RandomAccess::kNo);
  size_t early = stream.size();
  stream.Packet(StreamGenerator::kVideoPid, StreamGenerator::RandomAccess::kYes);
  stream.Packet(StreamGenerator::kVideoPid, StreamGenerator::RandomAccess::kNo);
  stream.Packet(StreamGenerator::kAudioPid, StreamGenerator::RandomAccess::kYes);
  std::vector<size_t> gops = stream.Programme(10, 5, 3);
  gops.insert(gops.begin(), early);
  EXPECT_EQ(Sizes(CutAll(Gop(), stream.bytes())), Between(gops, stream.size()));
}

TEST(SegmenterTest, CutsAtMultiplesOfTheDuration) {
  StreamGenerator stream;
  // PCRs begin shortly before they wrap.
  stream.Programme(250, 25, 20, StreamGenerator::kPcrModulus - 27'000'000 * 3);
  std::vector<Adu> adus = CutAll(Every(milliseconds(1000)), stream.bytes());
  ASSERT_EQ(adus.size(), 10u);
  for (size_t i = 0; i < adus.size(); ++i) {
    ASSERT_TRUE(adus[i].time.has_value());
    EXPECT_EQ(adus[i].time->begin, static_cast<int>(i) * milliseconds(1000));
  }
  EXPECT_EQ(Joined(adus), stream.bytes());
}

TEST(SegmenterTest, DurationsThatNoPcrHitsDoNotDrift) {
  StreamGenerator stream;
  stream.Programme(250, 25, 2);
  // A PCR every 40 ms: cuts at 120, 200, 320, 400, ... never later than needed.
  std::vector<Adu> adus = CutAll(Every(milliseconds(100)), stream.bytes());
  EXPECT_EQ(adus.size(), 100u);
  EXPECT_EQ(adus[1].time->begin, milliseconds(120));
  EXPECT_EQ(adus[2].time->begin, milliseconds(200));
}

TEST(SegmenterTest, ASpliceStopsProgrammeTimeForOneStep) {
  using G = StreamGenerator;
  for (bool announced : {false, true}) {
    G stream;
    stream.Tables();
    int64_t ticks = 27'000;
    for (int i = 0; i < 10; ++i) {
      stream.Packet(G::kVideoPid, G::RandomAccess::kNo, (1000 + 100 * i) * ticks);
    }
    // On to a PCR that is lower, or is a little higher but says that it is another's.
    int64_t second = announced ? 2500 : 10;
    for (int i = 0; i < 10; ++i) {
      stream.Packet(G::kVideoPid, G::RandomAccess::kNo, (second + 100 * i) * ticks,
                    i == 0 && announced ? G::Splice::kYes : G::Splice::kNo);
    }
    std::vector<Adu> adus = CutAll(Every(milliseconds(500)), stream.bytes());
    ASSERT_EQ(adus.size(), 4u);
    EXPECT_EQ(adus[3].time->end, milliseconds(1800));
  }
}

TEST(SegmenterTest, CutsBySizeWhateverTheInput) {
  Bytes input(1000, 0x47);
  EXPECT_THAT(Sizes(CutAll(Sized(300), input)), ElementsAre(300, 300, 300, 100));
  EXPECT_THAT(Sizes(CutAll(Sized(1000), input)), ElementsAre(1000));
  EXPECT_THAT(Sizes(CutAll(Sized(1), Bytes(3))), ElementsAre(1, 1, 1));
}

TEST(SegmenterTest, PiecesOfATransportStreamKnowTheirTime) {
  StreamGenerator stream;
  stream.Programme(100, 25, 10);
  std::vector<Adu> adus = CutAll(Sized(10'000), stream.bytes());
  ASSERT_GT(adus.size(), 10u);
  microseconds last(0);
  for (const Adu& adu : adus) {
    ASSERT_TRUE(adu.time.has_value());
    EXPECT_EQ(adu.time->begin, last);
    EXPECT_GE(adu.time->end, adu.time->begin);
    last = adu.time->end;
  }
  EXPECT_EQ(last, milliseconds(3960));
}

TEST(SegmenterTest, AnEmptyInputMakesNoAduAndNoWarning) {
  for (const CutRule& rule : {Gop(), Every(milliseconds(1000)), Sized(10)}) {
    Segmenter segmenter(rule);
    EXPECT_TRUE(CutAll(segmenter, {}).empty());
    EXPECT_EQ(segmenter.warning(), "");
  }
}

TEST(SegmenterTest, InputWithoutMarksIsCutIntoPiecesWithOneWarning) {
  Bytes noise(300'000);
  std::mt19937 random(7);
  for (uint8_t& byte : noise) byte = static_cast<uint8_t>(random());
  for (const CutRule& rule : {Gop(), Every(milliseconds(1000))}) {
    Segmenter segmenter(rule);
    std::vector<Adu> adus = CutAll(segmenter, noise);
    EXPECT_THAT(Sizes(adus), ElementsAre(65536, 65536, 65536, 65536, 37856));
    EXPECT_EQ(Joined(adus), noise);
    EXPECT_THAT(segmenter.warning(), HasSubstr("no transport stream"));
    EXPECT_EQ(segmenter.clock_source(), Segmenter::ClockSource::kNone);
    for (const Adu& adu : adus) EXPECT_FALSE(adu.time.has_value());
  }
}

TEST(SegmenterTest, WhatIsNoTransportStreamIsKnownAfterTheLookAhead) {
  Segmenter segmenter(Gop());
  Bytes zeros(Segmenter::kNoSyncBytes - 1);
  segmenter.Append(zeros);
  EXPECT_FALSE(segmenter.Next().has_value());
  EXPECT_EQ(segmenter.warning(), "");
  segmenter.Append(Bytes(1));
  EXPECT_TRUE(segmenter.Next().has_value());
  EXPECT_NE(segmenter.warning(), "");
}

TEST(SegmenterTest, ATransportStreamWithoutIndicatorsIsKnownAfterTheLookAhead) {
  using G = StreamGenerator;
  G stream;
  stream.Tables();
  while (stream.size() < Segmenter::kLookAheadBytes) {
    stream.Packet(G::kAudioPid, G::RandomAccess::kYes);
    stream.Packet(G::kVideoPid, G::RandomAccess::kNo);
  }
  Segmenter segmenter(Gop());
  segmenter.Append(ByteView(stream.bytes()).first(Segmenter::kLookAheadBytes - 1));
  EXPECT_FALSE(segmenter.Next().has_value());
  segmenter.Append(ByteView(stream.bytes()).subspan(Segmenter::kLookAheadBytes - 1));
  std::optional<Adu> first = segmenter.Next();
  ASSERT_TRUE(first.has_value());
  EXPECT_EQ(first->bytes.size(), Segmenter::kFallbackBytes);
  EXPECT_THAT(segmenter.warning(), HasSubstr("has no random-access indicators"));
}

TEST(SegmenterTest, AProgrammeWithoutPcrCannotBeCutByDuration) {
  using G = StreamGenerator;
  G stream;
  stream.Tables();
  for (int i = 0; i < 1000; ++i) stream.Packet(G::kVideoPid, G::RandomAccess::kYes);
  Segmenter segmenter(Every(milliseconds(1000)));
  std::vector<Adu> adus = CutAll(segmenter, stream.bytes());
  EXPECT_EQ(Joined(adus), stream.bytes());
  EXPECT_EQ(adus[0].bytes.size(), Segmenter::kFallbackBytes);
  EXPECT_THAT(segmenter.warning(), HasSubstr("PCR"));
}

TEST(SegmenterTest, GopsWithoutPcrAreCutAndHaveNoTime) {
  using G = StreamGenerator;
  G stream;
  stream.Tables();
  std::vector<size_t> gops;
  for (int i = 0; i < 30; ++i) {
    if (i % 10 == 0) gops.push_back(stream.size());
    stream.Packet(G::kVideoPid, i % 10 == 0 ? G::RandomAccess::kYes : G::RandomAccess::kNo);
  }
  Segmenter segmenter(Gop());
  std::vector<Adu> adus = CutAll(segmenter, stream.bytes());
  EXPECT_EQ(Sizes(adus), Between(gops, stream.size()));
  EXPECT_EQ(segmenter.warning(), "");
  EXPECT_EQ(segmenter.clock_source(), Segmenter::ClockSource::kNone);
  for (const Adu& adu : adus) EXPECT_FALSE(adu.time.has_value());
}

TEST(SegmenterTest, LeadingOddAndTrailingBytesStayWhereTheyAre) {
  Bytes garbage(999, 0x47);  // the hardest: all of it looks like sync
  StreamGenerator inner;
  inner.Programme(50, 25, 5);
  StreamGenerator stream;
  stream.Raw(Bytes(777, 0x11));
  stream.Programme(50, 25, 5);
  stream.Raw(garbage);
  size_t second = stream.size();
  std::vector<size_t> gops = inner.Programme(0, 1, 1);
  StreamGenerator tail;
  for (size_t gop : tail.Programme(50, 25, 5)) gops.push_back(second + gop);
  stream.Raw(tail.bytes());
  stream.Raw(Bytes(100, 0x47));
  std::vector<Adu> adus = CutAll(Gop(), stream.bytes());
  EXPECT_EQ(Joined(adus), stream.bytes());
  // Both GOPs behind the garbage were found again.
  std::vector<size_t> cuts;
  size_t at = 0;
  for (const Adu& adu : adus) {
    cuts.push_back(at);
    at += adu.bytes.size();
  }
  EXPECT_THAT(cuts, ::testing::IsSupersetOf(gops));
}

TEST(SegmenterTest, AduSizesStayBelowTheLimit) {
  using G = StreamGenerator;
  G stream;
  stream.Tables();
  stream.Packet(G::kVideoPid, G::RandomAccess::kYes, 0);
  Bytes packet(ByteView(stream.bytes()).last(188).begin(), ByteView(stream.bytes()).end());
  packet[5] = 0;  // neither indicator nor PCR
  Bytes many;
  for (int i = 0; i < 1000; ++i) many.insert(many.end(), packet.begin(), packet.end());
  while (stream.size() < 2 * Segmenter::kMaxBytes + 1000) stream.Raw(many);
  for (const CutRule& rule : {Gop(), Every(milliseconds(1000))}) {
    std::vector<Adu> adus = CutAll(rule, stream.bytes(), 1, 3'000'000);
    EXPECT_EQ(Joined(adus), stream.bytes());
    EXPECT_GE(adus.size(), 3u);
    EXPECT_THAT(Sizes(adus), Each(::testing::Le(Segmenter::kMaxBytes)));
  }
}

TEST(SegmenterTest, NoiseInsideAStreamIsSplitToo) {
  StreamGenerator stream;
  stream.Programme(50, 25, 5);
  stream.Raw(Bytes(Segmenter::kMaxBytes * 2 + 12345, 0));
  stream.Programme(50, 25, 5);
  std::vector<Adu> adus = CutAll(Gop(), stream.bytes(), 1, 1 << 20);
  EXPECT_TRUE(Joined(adus) == stream.bytes());
  EXPECT_THAT(Sizes(adus), Each(::testing::Le(Segmenter::kMaxBytes)));
}

// A RIFF WAVE header: 48 kHz, two channels, 16 bit, with a chunk before the data.
Bytes Wave(size_t data_bytes) {
  Bytes wave = ToBytes(AsBytes("RIFF"));
  auto little = [&](uint32_t value, int bytes) {
    for (int i = 0; i < bytes; ++i) wave.push_back(static_cast<uint8_t>(value >> 8 * i));
  };
  auto text = [&](std::string_view four) { wave.insert(wave.end(), four.begin(), four.end()); };
  little(0xffffffff, 4);  // as a pipe has it
  text("WAVE");
  text("LIST");
  little(3, 4);
  wave.insert(wave.end(), {1, 2, 3, 0});
  text("fmt ");
  little(16, 4);
  little(1, 2);
  little(2, 2);
  little(48000, 4);
  little(192000, 4);
  little(4, 2);
  little(16, 2);
  text("data");
  little(0xffffffff, 4);
  for (size_t i = 0; i < data_bytes; ++i) wave.push_back(static_cast<uint8_t>(i * 7));
  return wave;
}

TEST(SegmenterTest, WaveFilesAreCutByTheirByteRate) {
  Bytes wave = Wave(192000 * 3 + 1001);
  size_t header = wave.size() - 192000 * 3 - 1001;
  for (size_t most : {1000, 1'000'000}) {
    Segmenter segmenter(Every(milliseconds(1000)));
    std::vector<Adu> adus = CutAll(segmenter, wave, 1, most);
    EXPECT_THAT(Sizes(adus), ElementsAre(header + 192000, 192000, 192000, 1001));
    EXPECT_EQ(Joined(adus), wave);
    EXPECT_EQ(segmenter.warning(), "");
    EXPECT_EQ(segmenter.clock_source(), Segmenter::ClockSource::kByteRate);
    EXPECT_EQ(*adus[1].time, (ProgrammeTime{milliseconds(1000), milliseconds(2000)}));
  }
}

TEST(SegmenterTest, WavePiecesAreWholeBlocks) {
  Bytes wave = Wave(192000);
  size_t header = wave.size() - 192000;
  std::vector<Adu> adus = CutAll(Every(milliseconds(7)), wave);
  EXPECT_EQ(Joined(adus), wave);
  size_t at = 0;
  for (size_t i = 0; i + 1 < adus.size(); ++i) {
    at += adus[i].bytes.size();
    EXPECT_EQ((at - header) % 4, 0u) << i;
  }
}

TEST(SegmenterTest, WaveHeadersThatLieAreJustBytes) {
  Bytes wave = Wave(1000);
  for (size_t at = 0; at < 64 && at < wave.size(); ++at) {
    for (int value : {0, 0xff}) {
      Bytes damaged = wave;
      damaged[at] = static_cast<uint8_t>(value);
      EXPECT_EQ(Joined(CutAll(Every(milliseconds(1)), damaged)), damaged) << at;
    }
  }
}

// Whatever the input: joined ADUs are it, none is empty or too large.
void ExpectExact(ByteView input, uint32_t seed, const std::string& what) {
  for (const CutRule& rule :
       {Gop(), Every(milliseconds(100)), Every(milliseconds(1000)), Sized(1316), Sized(65536)}) {
    std::vector<Adu> adus = CutAll(rule, input, seed, 1 + seed % 70'000);
    EXPECT_TRUE(Joined(adus) == ToBytes(input)) << what << ", seed " << seed;
    for (const Adu& adu : adus) {
      EXPECT_FALSE(adu.bytes.empty());
      EXPECT_LE(adu.bytes.size(), Segmenter::kMaxBytes);
      if (adu.time.has_value()) {
        EXPECT_LE(adu.time->begin, adu.time->end);
      }
    }
  }
}

TEST(SegmenterPropertyTest, RandomBytesComeOutAsTheyWentIn) {
  for (int i = 0; i < 20; ++i) {
    uint32_t seed = std::random_device()();
    std::mt19937 random(seed);
    Bytes input(random() % 400'000);
    for (uint8_t& byte : input) byte = static_cast<uint8_t>(random());
    ExpectExact(input, seed, "noise");
  }
}

TEST(SegmenterPropertyTest, DamagedStreamsComeOutAsTheyWentIn) {
  StreamGenerator stream;
  stream.Programme(100, 25, 10);
  for (int i = 0; i < 20; ++i) {
    uint32_t seed = std::random_device()();
    std::mt19937 random(seed);
    Bytes input = stream.bytes();
    for (int damage = 0; damage < 30; ++damage) {
      auto at = input.begin() + static_cast<ptrdiff_t>(random() % (input.size() - 400));
      switch (random() % 3) {
        case 0:
          *at = static_cast<uint8_t>(random());
          break;
        case 1:
          input.erase(at, at + static_cast<ptrdiff_t>(random() % 400));
          break;
        default:
          input.insert(at, random() % 400, static_cast<uint8_t>(random()));
      }
    }
    ExpectExact(input, seed, "damaged stream");
  }
}

// Real captures, where they are at hand.
std::vector<std::filesystem::path> Captures() {
  const char* folder = std::getenv("NARK_MEDIA_DIR");
  std::filesystem::path path = folder != nullptr ? folder : "../shared/media";
  std::vector<std::filesystem::path> captures;
  std::error_code none;
  for (const auto& entry : std::filesystem::directory_iterator(path, none)) {
    if (entry.path().extension() == ".ts") captures.push_back(entry.path());
  }
  return captures;
}

TEST(SegmenterCaptureTest, BroadcastsAreCutAtGopsAndSecondsAndComeOutAsTheyWentIn) {
  std::vector<std::filesystem::path> captures = Captures();
  if (captures.empty()) {
    GTEST_SKIP() << "NO BROADCAST CAPTURES: set NARK_MEDIA_DIR to a folder with .ts files";
  }
  for (const std::filesystem::path& path : captures) {
    SCOPED_TRACE(path);
    absl::StatusOr<Bytes> input = ReadFile(path);
    ASSERT_TRUE(input.ok()) << input.status();
    ExpectExact(*input, 12345, path);
    // One of them has no indicators, and says so; the other has one a picture.
    Segmenter gops(Gop());
    size_t cuts = CutAll(gops, *input).size();
    EXPECT_EQ(cuts > 100, gops.warning().empty()) << cuts << " " << gops.warning();
    Segmenter seconds(Every(milliseconds(1000)));
    std::vector<Adu> adus = CutAll(seconds, *input);
    EXPECT_EQ(seconds.warning(), "");
    ASSERT_GT(adus.size(), 2u);
    // The programme's length, give or take what the last piece has of a second.
    auto length = std::chrono::duration<double>(adus.back().time->end).count();
    EXPECT_NEAR(length, static_cast<double>(adus.size()), 1.0);
  }
}

TEST(CutRuleTest, FollowsTheTerms) {
  v1::Terms terms;
  v1::AduTiming& timing = *terms.mutable_adu_timing();
  timing.set_gop(true);
  EXPECT_EQ(CutRule::FromTerms(terms)->kind, CutRule::Kind::kGop);
  timing.set_duration_ms(250);
  EXPECT_EQ(CutRule::FromTerms(terms)->duration, milliseconds(250));
  timing.set_bytes(1000);
  EXPECT_EQ(CutRule::FromTerms(terms)->bytes, 1000u);
}

TEST(CutRuleTest, RefusesTermsThatSayNothing) {
  v1::Terms terms;
  v1::AduTiming& timing = *terms.mutable_adu_timing();
  EXPECT_EQ(CutRule::FromTerms(terms).status().code(), absl::StatusCode::kInvalidArgument);
  timing.set_duration_ms(0);
  EXPECT_EQ(CutRule::FromTerms(terms).status().code(), absl::StatusCode::kInvalidArgument);
  timing.set_bytes((16 << 20) + 1);
  EXPECT_EQ(CutRule::FromTerms(terms).status().code(), absl::StatusCode::kInvalidArgument);
  timing.set_gop(false);
  EXPECT_EQ(CutRule::FromTerms(terms).status().code(), absl::StatusCode::kInvalidArgument);
}

}  // namespace
}  // namespace nark::sender
