#include "narkctl/trace/recording.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sndfile.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdio>
#include <limits>
#include <vector>

namespace nark::trace {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

std::string PathOf(const std::string& name) { return testing::TempDir() + "/" + name; }

void Write(const std::string& path, int format) {
  SF_INFO info{};
  info.samplerate = 44100;
  info.channels = 2;
  info.format = format;
  SNDFILE* file = sf_open(path.c_str(), SFM_WRITE, &info);
  ASSERT_NE(file, nullptr) << sf_strerror(nullptr);
  const std::array<int16_t, 4> samples = {1, -2, 32767, -32768};
  EXPECT_EQ(sf_write_short(file, samples.data(), 4), 4);
  sf_close(file);
}

TEST(RecordingTest, ReadsSamplesInStepsOfSixteenBits) {
  for (const int format : {SF_FORMAT_WAV | SF_FORMAT_PCM_16, SF_FORMAT_FLAC | SF_FORMAT_PCM_16,
                           SF_FORMAT_WAV | SF_FORMAT_PCM_24}) {
    Write(PathOf("sound"), format);
    const auto recording = ReadRecording(PathOf("sound"));
    ASSERT_TRUE(recording.ok()) << recording.status();
    EXPECT_EQ(recording->sample_rate, 44100u);
    EXPECT_EQ(recording->channels, 2u);
    EXPECT_THAT(recording->samples, ElementsAre(1, -2, 32767, -32768)) << format;
  }
}

// Whatever libsndfile decodes, it does so in a process that may do little else.
TEST(RecordingTest, ReadsEveryFormatThatItSays) {
  struct Case {
    const char* name;
    int format;
    int sample_rate = 44100;
  };
  for (const Case& c :
       {Case{"WAV", SF_FORMAT_WAV | SF_FORMAT_FLOAT}, Case{"W64", SF_FORMAT_W64 | SF_FORMAT_PCM_24},
        Case{"AIFF", SF_FORMAT_AIFF | SF_FORMAT_PCM_16},
        Case{"CAF with ALAC", SF_FORMAT_CAF | SF_FORMAT_ALAC_16},
        Case{"FLAC", SF_FORMAT_FLAC | SF_FORMAT_PCM_24},
        Case{"Vorbis", SF_FORMAT_OGG | SF_FORMAT_VORBIS},
        Case{"Opus", SF_FORMAT_OGG | SF_FORMAT_OPUS, 48000},
        Case{"MP3", SF_FORMAT_MPEG | SF_FORMAT_MPEG_LAYER_III}}) {
    SF_INFO info{};
    info.samplerate = c.sample_rate;
    info.channels = 2;
    info.format = c.format;
    SNDFILE* file = sf_open(PathOf("some").c_str(), SFM_WRITE, &info);
    ASSERT_NE(file, nullptr) << c.name << ": " << sf_strerror(nullptr);
    std::vector<float> sound(2 * 30000);
    for (size_t i = 0; i < sound.size(); ++i) {
      sound[i] = 0.3f * std::sin(static_cast<float>(i / 2) / 20);
    }
    EXPECT_EQ(sf_writef_float(file, sound.data(), 30000), 30000);
    sf_close(file);
    const auto recording = ReadRecording(PathOf("some"));
    ASSERT_TRUE(recording.ok()) << c.name << ": " << recording.status();
    EXPECT_EQ(recording->sample_rate, static_cast<uint32_t>(c.sample_rate)) << c.name;
    EXPECT_EQ(recording->channels, 2u) << c.name;
    // An encoder may add silence.
    EXPECT_NEAR(static_cast<double>(recording->frames()), 30000, 3000) << c.name;
    const auto loudest = std::max_element(recording->samples.begin(), recording->samples.end());
    EXPECT_NEAR(*loudest, 0.3 * 32768, 1000) << c.name;
  }
}

TEST(RecordingTest, TakesNoNumberThatIsNone) {
  SF_INFO info{};
  info.samplerate = 44100;
  info.channels = 1;
  info.format = SF_FORMAT_WAV | SF_FORMAT_FLOAT;
  SNDFILE* file = sf_open(PathOf("odd").c_str(), SFM_WRITE, &info);
  ASSERT_NE(file, nullptr) << sf_strerror(nullptr);
  const float huge = std::numeric_limits<float>::infinity();
  const std::array<float, 4> samples = {std::nanf(""), huge, -huge, 0.5f};
  EXPECT_EQ(sf_write_float(file, samples.data(), 4), 4);
  sf_close(file);
  const auto recording = ReadRecording(PathOf("odd"));
  ASSERT_TRUE(recording.ok()) << recording.status();
  EXPECT_THAT(recording->samples, ElementsAre(0, 1e6f, -1e6f, 16384));
}

TEST(RecordingTest, ReadsRawSamples) {
  Write(PathOf("raw"), SF_FORMAT_RAW | SF_FORMAT_PCM_16 | SF_ENDIAN_LITTLE);
  const auto recording = ReadRecording(PathOf("raw"), RawFormat{48000, 1});
  ASSERT_TRUE(recording.ok()) << recording.status();
  EXPECT_EQ(recording->sample_rate, 48000u);
  EXPECT_THAT(recording->samples, ElementsAre(1, -2, 32767, -32768));
}

std::string RefusalOf(const std::string& path) {
  return std::string(ReadRecording(path).status().message());
}

void WriteText(const std::string& path, const char* text) {
  std::FILE* file = std::fopen(path.c_str(), "w");
  ASSERT_NE(file, nullptr);
  std::fputs(text, file);
  std::fclose(file);
}

TEST(RecordingTest, NamesTheCommandThatMakesWavOfWhatItCannotRead) {
  WriteText(PathOf("film.mp4"), "no sound");
  EXPECT_EQ(ReadRecording(PathOf("film.mp4")).status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(
      RefusalOf(PathOf("film.mp4")),
      HasSubstr("ffmpeg -i " + PathOf("film.mp4") + " -vn -c:a pcm_s16le " + PathOf("film.wav")));
  // As a shell takes it, and not onto itself.
  WriteText(PathOf("it's bad.WAV"), "no sound");
  EXPECT_THAT(RefusalOf(PathOf("it's bad.WAV")),
              HasSubstr("pcm_s16le '" + PathOf("it'\\''s bad.16-bit.wav") + "'"));
}

TEST(RecordingTest, SaysWhatIsNoFileToRead) {
  EXPECT_EQ(ReadRecording(PathOf("none")).status().code(), absl::StatusCode::kNotFound);
  WriteText(PathOf("nothing.wav"), "");
  EXPECT_THAT(RefusalOf(PathOf("nothing.wav")), HasSubstr("nothing.wav is empty"));
  EXPECT_THAT(RefusalOf(testing::TempDir()), HasSubstr("Is a directory"));
  EXPECT_THAT(RefusalOf("/dev/null"), HasSubstr("no regular file"));
}

TEST(RecordingTest, ParsesRawFormats) {
  EXPECT_EQ(ParseRawFormat("44100,2")->channels, 2u);
  for (const char* bad : {"", "44100", "44100,0", "0,2", "44100,2,1", "a,b"}) {
    EXPECT_FALSE(ParseRawFormat(bad).ok()) << bad;
  }
}

}  // namespace
}  // namespace nark::trace
