#include "narkctl/trace/recording.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sndfile.h>

#include <array>
#include <cmath>
#include <cstdio>
#include <limits>

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

TEST(RecordingTest, NamesTheCommandThatMakesWavOfWhatItCannotRead) {
  std::FILE* file = std::fopen(PathOf("film.mp4").c_str(), "w");
  std::fputs("no sound", file);
  std::fclose(file);
  const auto status = ReadRecording(PathOf("film.mp4")).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(status.message()), HasSubstr("ffmpeg -i "));
  EXPECT_EQ(ReadRecording(PathOf("none")).status().code(), absl::StatusCode::kNotFound);
}

TEST(RecordingTest, ParsesRawFormats) {
  EXPECT_EQ(ParseRawFormat("44100,2")->channels, 2u);
  for (const char* bad : {"", "44100", "44100,0", "0,2", "44100,2,1", "a,b"}) {
    EXPECT_FALSE(ParseRawFormat(bad).ok()) << bad;
  }
}

}  // namespace
}  // namespace nark::trace
