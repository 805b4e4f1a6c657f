// How the segmenter cuts sound that is to be marked.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <random>
#include <string>
#include <vector>

#include "common/base/status.h"
#include "sender/segmenter.h"
#include "sender/stream_generator.h"
#include "sender/wave_generator.h"

namespace nark::sender {
namespace {

using std::chrono::milliseconds;
using ::testing::AnyOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

CutRule Every(milliseconds duration) {
  return {.kind = CutRule::Kind::kDuration, .duration = duration, .marking = Marking::kSamples};
}
CutRule Sized(size_t bytes) {
  return {.kind = CutRule::Kind::kBytes, .bytes = bytes, .marking = Marking::kSamples};
}

struct Cut {
  std::vector<Adu> adus;
  absl::Status status;

  Bytes Joined() const {
    Bytes joined;
    for (const Adu& adu : adus) joined.insert(joined.end(), adu.bytes.begin(), adu.bytes.end());
    return joined;
  }
  std::vector<size_t> Sizes() const {
    std::vector<size_t> sizes;
    for (const Adu& adu : adus) sizes.push_back(adu.bytes.size());
    return sizes;
  }
  std::vector<Samples> Marked() const {
    std::vector<Samples> marked;
    for (const Adu& adu : adus) {
      EXPECT_TRUE(adu.samples.has_value());
      marked.push_back(adu.samples.value_or(Samples{}));
    }
    return marked;
  }
  // Of the input, what no ADU calls a sample.
  Bytes Unmarked() const {
    Bytes unmarked;
    for (const Adu& adu : adus) {
      if (!adu.samples.has_value()) ADD_FAILURE() << "says nothing of samples";
      const Samples samples = adu.samples.value_or(Samples{});
      for (size_t i = 0; i < adu.bytes.size(); ++i) {
        if (i >= samples.offset && i < samples.offset + samples.bytes) continue;
        unmarked.push_back(adu.bytes[i]);
      }
    }
    return unmarked;
  }
};

// Feeds the input in pieces of random size up to `most`.
Cut CutAll(const CutRule& rule, ByteView input, size_t most = 100'000, uint32_t seed = 1) {
  Segmenter segmenter(rule);
  std::mt19937 random(seed);
  Cut cut;
  auto drain = [&] {
    while (std::optional<Adu> adu = segmenter.Next()) cut.adus.push_back(*std::move(adu));
  };
  while (!input.empty()) {
    const size_t size = std::min<size_t>(1 + random() % most, input.size());
    segmenter.Append(input.first(size));
    input = input.subspan(size);
    drain();
  }
  segmenter.Finish();
  drain();
  // There is no falling back.
  EXPECT_THAT(segmenter.warning(),
              AnyOf("", HasSubstr("that its header counts"), HasSubstr("and no samples")));
  cut.status = segmenter.status();
  return cut;
}

Bytes With(Bytes bytes, ByteView more) {
  bytes.insert(bytes.end(), more.begin(), more.end());
  return bytes;
}

Bytes List(size_t bytes) {
  Bytes chunk;
  WaveGenerator::Chunk(chunk, "LIST", Bytes(bytes, 0xff));
  return chunk;
}

TEST(SegmenterMarkingTest, AllButTheHeaderOfAPipeIsSamples) {
  const WaveGenerator wave{.list = Bytes(101, 1)};
  const auto header = static_cast<uint32_t>(wave.Header().size());
  const Bytes input = wave.File(32'000 * 2 + 1000);
  for (const size_t most : {size_t{1}, size_t{7}, size_t{100'000}}) {
    const Cut cut = CutAll(Every(milliseconds(1000)), input, most);
    EXPECT_TRUE(cut.status.ok()) << cut.status;
    EXPECT_EQ(cut.Joined(), input);
    EXPECT_THAT(cut.Marked(),
                ElementsAre(Samples{header, 32'000}, Samples{0, 32'000}, Samples{0, 1000}));
    EXPECT_EQ(*cut.adus[1].time, (ProgrammeTime{milliseconds(1000), milliseconds(2000)}));
  }
}

TEST(SegmenterMarkingTest, ChunksBehindTheSamplesAreAnAduWithoutSamples) {
  for (const uint32_t data : {1000u, 999u}) {
    const WaveGenerator wave{.data_size = data};
    Bytes trailer = With(Bytes(data % 2, 0), List(300));
    const Bytes input = With(wave.File(data), trailer);
    const auto header = static_cast<uint32_t>(wave.Header().size());
    for (const CutRule& rule : {Every(milliseconds(1000)), Sized(1 << 20)}) {
      const Cut cut = CutAll(rule, input, 50);
      EXPECT_TRUE(cut.status.ok()) << cut.status;
      EXPECT_EQ(cut.Joined(), input);
      EXPECT_THAT(cut.Marked(), ElementsAre(Samples{header, data / 2 * 2}, Samples{0, 0}));
      EXPECT_EQ(cut.adus[1].bytes, trailer);
    }
  }
}

TEST(SegmenterMarkingTest, SoundBehindTheCountedSamplesIsNotSent) {
  const WaveGenerator wave{.data_size = 1000};
  const Bytes counted = wave.File(1000);
  for (const Bytes& more : {Bytes(1, 0), Bytes(5000, 0x55), WaveGenerator{}.File(2000),
                            wave.File(1000), List(Segmenter::kMaxTrailerBytes)}) {
    const Cut cut = CutAll(Every(milliseconds(1000)), With(counted, more));
    EXPECT_EQ(cut.status.code(), absl::StatusCode::kInvalidArgument);
    EXPECT_THAT(Std(cut.status.message()), HasSubstr("behind the 1000 bytes of sound"));
    EXPECT_THAT(Std(cut.status.message()), HasSubstr("ffmpeg -ignore_length 1 -i INPUT"));
    EXPECT_EQ(cut.Joined(), counted);
  }
}

TEST(SegmenterMarkingTest, SamplesThatAreMissingAreTold) {
  const auto warning = [](ByteView input) {
    Segmenter segmenter(Every(milliseconds(10)));
    segmenter.Append(input);
    EXPECT_EQ(segmenter.warning(), "");
    segmenter.Finish();
    while (segmenter.Next().has_value()) EXPECT_TRUE(segmenter.status().ok());
    return segmenter.warning();
  };
  for (const uint32_t size : {0u, 1000u, 0xffffffffu}) {
    EXPECT_EQ(warning(WaveGenerator{.data_size = size}.File(0)),
              "the input has a header and no samples");
  }
  EXPECT_EQ(warning(WaveGenerator{.data_size = 1000}.File(999)),
            "the input has 999 of the 1000 bytes of sound that its header counts");
  EXPECT_EQ(warning(WaveGenerator{.data_size = 1000}.File(1000)), "");
  EXPECT_EQ(warning(With(WaveGenerator{.data_size = 1000}.File(1000), List(10))), "");
  EXPECT_EQ(warning(WaveGenerator{}.File(999)), "");
}

TEST(SegmenterMarkingTest, SizesAreRoundedToWholeBlocks) {
  const WaveGenerator wave{.channels = 6};
  const size_t header = wave.Header().size();
  const Bytes input = wave.File(1200);
  const Cut cut = CutAll(Sized(500), input);
  EXPECT_EQ(cut.Joined(), input);
  const size_t first = header + (500 - header) / 12 * 12;
  EXPECT_THAT(cut.Sizes(), ElementsAre(first, 492, input.size() - first - 492));
}

TEST(SegmenterMarkingTest, AnAduHasABlockAtLeast) {
  const WaveGenerator wave{.channels = 6, .list = Bytes(1000, 1)};
  const size_t header = wave.Header().size();
  const Cut cut = CutAll(Sized(5), wave.File(30));
  EXPECT_THAT(cut.Sizes(), ElementsAre(header + 12, 12, 6));
}

TEST(SegmenterMarkingTest, TheLargestAdusAreWholeBlocksToo) {
  const WaveGenerator wave{.channels = 3, .sample_rate = 192'000};
  const Bytes input = wave.File(2 * Segmenter::kMaxBytes);
  for (const CutRule& rule : {Every(std::chrono::hours(1)), Sized(Segmenter::kMaxBytes)}) {
    const Cut cut = CutAll(rule, input, 1 << 20);
    EXPECT_TRUE(cut.Joined() == input);
    ASSERT_EQ(cut.adus.size(), 3u);
    for (size_t i = 0; i < 2; ++i) {
      EXPECT_LE(cut.adus[i].bytes.size(), Segmenter::kMaxBytes);
      EXPECT_GT(cut.adus[i].bytes.size(), Segmenter::kMaxBytes - 6);
      EXPECT_EQ(cut.adus[i].samples->bytes % 6, 0u);
    }
  }
}

TEST(SegmenterMarkingTest, AnOddLastByteIsNoSample) {
  const WaveGenerator wave;
  const auto header = static_cast<uint32_t>(wave.Header().size());
  EXPECT_THAT(CutAll(Every(milliseconds(1000)), wave.File(11)).Marked(),
              ElementsAre(Samples{header, 10}));
  EXPECT_THAT(CutAll(Every(milliseconds(1000)), wave.File(1)).Marked(), ElementsAre(Samples{0, 0}));
  EXPECT_THAT(CutAll(Every(milliseconds(1000)), wave.File(0)).Marked(), ElementsAre(Samples{0, 0}));
}

TEST(SegmenterMarkingTest, OtherInputIsRefusedAndNothingOfItSent) {
  StreamGenerator programme;
  programme.Programme(50, 25, 5);
  const std::vector<std::pair<Bytes, std::string>> inputs = {
      {programme.bytes(), "(it does not begin with RIFF and WAVE)"},
      {Bytes(300'000, 'x'), "(it does not begin with RIFF and WAVE but with \"xxxx\")"},
      {ToBytes(AsBytes("fLaC and so on")), "but with \"fLaC\""},
      {ToBytes(AsBytes("xyz")), "(it does not begin with RIFF and WAVE)"},
      {ToBytes(AsBytes("RIFF....WAVEdata....")), "its header does not say what the samples are"},
      {{}, "it is empty"},
      {WaveGenerator{.bits = 24}.File(9000), "24-bit PCM of 2 channels in blocks of 6 bytes"},
      {WaveGenerator{.encoding = 3, .bits = 32}.File(9000), "32-bit floating point"},
      {ToBytes(ByteView(WaveGenerator{}.Header()).first(30)),
       "it ends within its header, after 30 bytes"},
      {WaveGenerator{.list = Bytes(Segmenter::kNoSyncBytes, 1)}.File(9000),
       "no samples begin in its first 262144 bytes"},
  };
  for (const auto& [input, found] : inputs) {
    for (const CutRule& rule : {Every(milliseconds(1000)), Sized(1000)}) {
      const Cut cut = CutAll(rule, input, 5000);
      EXPECT_TRUE(cut.adus.empty());
      EXPECT_EQ(cut.status.code(), absl::StatusCode::kInvalidArgument);
      EXPECT_THAT(Std(cut.status.message()), HasSubstr(found));
      EXPECT_THAT(Std(cut.status.message()),
                  HasSubstr("pass it through ffmpeg -i INPUT -c:a pcm_s16le -f wav -"));
    }
  }
}

TEST(SegmenterMarkingTest, SoundIsNotCutAtPictures) {
  const Cut cut = CutAll({.kind = CutRule::Kind::kGop, .marking = Marking::kSamples},
                         WaveGenerator{}.File(9000));
  EXPECT_TRUE(cut.adus.empty());
  EXPECT_EQ(cut.status.code(), absl::StatusCode::kInvalidArgument);
}

TEST(SegmenterMarkingTest, TermsWithAnAuditTrailMarkSamples) {
  v1::Terms terms;
  terms.mutable_adu_timing()->set_duration_ms(250);
  EXPECT_EQ(CutRule::FromTerms(terms)->marking, Marking::kNone);
  terms.mutable_audit();
  EXPECT_EQ(CutRule::FromTerms(terms)->marking, Marking::kSamples);
  terms.mutable_adu_timing()->set_gop(true);
  const absl::Status status = CutRule::FromTerms(terms).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(Std(status.message()), HasSubstr("sound has none"));
}

// Whatever is cut however: what is sent is the input's begin, in whole blocks, and without
// marks go only the header, checked chunks and less than a sample.
TEST(SegmenterMarkingPropertyTest, NoSampleIsSentWithoutAMark) {
  for (int i = 0; i < 200; ++i) {
    const uint32_t seed = std::random_device()();
    SCOPED_TRACE(testing::Message() << "seed " << seed);
    std::mt19937 random(seed);
    const size_t data = random() % 50'000;
    const bool counted = data > 0 && random() % 2 == 0;
    const WaveGenerator wave{
        .form = random() % 2 == 0 ? WaveGenerator::Form::kPlain : WaveGenerator::Form::kExtensible,
        .channels = static_cast<uint16_t>(1 + random() % 8),
        .sample_rate = static_cast<uint32_t>(1 + random() % 48'000),
        .data_size = counted ? static_cast<uint32_t>(data) : 0xffffffff,
        .list = Bytes(random() % 3000, 1)};
    const Bytes header = wave.Header();
    const Bytes trailer =
        counted && random() % 2 == 0 ? With(Bytes(data % 2, 0), List(random() % 1000)) : Bytes();
    const Bytes input = With(wave.File(data), trailer);
    const CutRule rule =
        random() % 2 == 0 ? Every(milliseconds(1 + random() % 2000)) : Sized(1 + random() % 60'000);
    const Cut cut = CutAll(rule, input, 1 + random() % 20'000, seed);
    EXPECT_TRUE(cut.status.ok()) << cut.status;
    EXPECT_TRUE(cut.Joined() == input);
    const Bytes odd(data % 2, data % 2 == 0 ? 0 : input[header.size() + data - 1]);
    EXPECT_TRUE(cut.Unmarked() == With(With(header, odd), trailer));
    size_t at = 0;
    for (size_t n = 0; n + 1 < cut.adus.size(); ++n) {
      at += cut.adus[n].bytes.size();
      ASSERT_GE(at, header.size());
      if (at < header.size() + data) {
        EXPECT_EQ((at - header.size()) % wave.block_bytes(), 0u);
      }
    }
  }
}

TEST(SegmenterMarkingPropertyTest, DamagedHeadersAreRefusedOrFollowed) {
  const WaveGenerator wave{.form = WaveGenerator::Form::kExtensible, .data_size = 2000};
  const Bytes input = With(wave.File(2000), List(10));
  for (size_t at = 0; at < wave.Header().size(); ++at) {
    for (int bit = 0; bit < 8; ++bit) {
      Bytes damaged = input;
      damaged[at] ^= static_cast<uint8_t>(1 << bit);
      const Cut cut = CutAll(Every(milliseconds(10)), damaged);
      const Bytes joined = cut.Joined();
      EXPECT_TRUE(Equal(joined, ByteView(damaged).first(joined.size()))) << at;
      if (cut.status.ok()) {
        EXPECT_EQ(joined.size(), damaged.size()) << at;
      }
      for (const Adu& adu : cut.adus) {
        ASSERT_TRUE(adu.samples.has_value());
        EXPECT_EQ(adu.samples->bytes % 2, 0u);
        EXPECT_LE(adu.samples->offset + adu.samples->bytes, adu.bytes.size());
      }
    }
  }
}

}  // namespace
}  // namespace nark::sender
