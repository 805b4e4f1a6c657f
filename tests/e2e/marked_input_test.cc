// What the sender takes where sound is to be marked, with the real program.

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cstdint>
#include <filesystem>
#include <string>
#include <utility>
#include <vector>

#include "tests/harness/process.h"
#include "tests/harness/world.h"

namespace nark::harness {
namespace {

void Put(std::string& to, uint32_t value, int bytes) {
  for (int i = 0; i < bytes; ++i) to.push_back(static_cast<char>(value >> 8 * i));
}

// A WAV file of two channels at 8 kHz.
std::string Wave(uint32_t bits, const std::string& samples) {
  const uint32_t block = bits / 4;
  std::string wave = "RIFF";
  Put(wave, static_cast<uint32_t>(36 + samples.size()), 4);
  wave += "WAVEfmt ";
  Put(wave, 16, 4);
  Put(wave, 1, 2);
  Put(wave, 2, 2);
  Put(wave, 8000, 4);
  Put(wave, 8000 * block, 4);
  Put(wave, block, 2);
  Put(wave, bits, 2);
  wave += "data";
  Put(wave, static_cast<uint32_t>(samples.size()), 4);
  return wave + samples;
}

class MarkedInputTest : public testing::Test {
 protected:
  void SetUp() override {
    session_ = world_.MakeSession({}, {"--cipher", "chameleon", "--adu", "500ms"});
  }
  // `input`: the file that it reads as stdin.
  Outcome Send(const Words& words, const std::string& input = "") {
    air_ = world_.NewPath("air");
    Words arguments = {"--session", session_.sender, "--output", "file:" + air_};
    arguments.insert(arguments.end(), words.begin(), words.end());
    return world_.Try("nark-sender", arguments, input);
  }
  std::string File(const std::string& content) {
    const std::string path = world_.NewPath("input");
    WriteAll(path, content);
    return path;
  }

  World world_;
  SessionFiles session_;
  std::string air_;  // what the last one wrote
};

TEST_F(MarkedInputTest, WhatCannotBeMarkedIsNamedAndNotSent) {
  const std::string wave = File(Wave(16, RandomBytes(1000, 1)));
  const std::vector<std::pair<Words, std::string>> refused = {
      {{"--input", File(Wave(24, RandomBytes(9000, 1)))}, "24-bit PCM of 2 channels"},
      {{"--input", File(RandomBytes(9000, 1))}, "it does not begin with RIFF and WAVE"},
      {{"--input", File("")}, "it is empty"},
      {{"--input", "udp://239.0.0.1:5000"}, "--input udp://239.0.0.1:5000: "},
      {{"--input", wave, "--encrypt", "video"}, "--encrypt video: "},
      {{"--input", wave, "--encrypt-first", "1KiB"}, "--encrypt-first 1KiB: "},
  };
  for (const auto& [words, said] : refused) {
    const Outcome outcome = Send(words);
    EXPECT_EQ(outcome.status, 1) << outcome.ToString();
    EXPECT_NE(outcome.err.find(said), std::string::npos) << outcome.ToString();
    EXPECT_EQ(std::count(outcome.err.begin(), outcome.err.end(), '\n'), 1) << outcome.ToString();
    EXPECT_FALSE(std::filesystem::exists(air_)) << outcome.ToString();
  }
  const Outcome piped = Send({"--input", "-"}, File(RandomBytes(9000, 1)));
  EXPECT_EQ(piped.status, 1) << piped.ToString();
  EXPECT_NE(piped.err.find("nark-sender: stdin: "), std::string::npos) << piped.ToString();
  EXPECT_FALSE(std::filesystem::exists(air_));
  // No id went to any of them.
  const Outcome sent = Send({"--input", "-"}, wave);
  EXPECT_EQ(sent.status, 0) << sent.ToString();
  EXPECT_NE(sent.err.find("from ADU 0 on"), std::string::npos) << sent.ToString();
}

TEST_F(MarkedInputTest, SoundThatNobodyCountedIsRefusedByName) {
  const std::string wave = Wave(16, RandomBytes(1000, 1));
  const std::string twice = File(wave + wave);
  const Outcome outcome = Send({"--input", twice});
  EXPECT_EQ(outcome.status, 1) << outcome.ToString();
  EXPECT_NE(outcome.err.find("nark-sender: " + twice + ": behind the 1000 bytes of sound"),
            std::string::npos)
      << outcome.ToString();
}

TEST_F(MarkedInputTest, ASenderThatIsEndedBeforeItsInputIsKnownLeavesNothing) {
  const std::string pipe = world_.NewPath("pipe");
  ASSERT_EQ(::mkfifo(pipe.c_str(), 0600), 0);
  const int writer = ::open(pipe.c_str(), O_RDWR | O_CLOEXEC);
  ASSERT_GE(writer, 0);
  const std::string air = world_.NewPath("air"), state = world_.NewPath("state");
  const auto sender = world_.Start(
      "nark-sender", {"--session", session_.sender, "--input", pipe, "--output", "file:" + air,
                      "--state", state, "--ready-file", air + ".ready"});
  const std::string begin = Wave(16, "").substr(0, 20);
  ASSERT_EQ(::write(writer, begin.data(), begin.size()), static_cast<ssize_t>(begin.size()));
  EXPECT_TRUE(Eventually([writer] {
    int waiting = 0;
    return ::ioctl(writer, FIONREAD, &waiting) == 0 && waiting == 0;
  }));
  const Outcome outcome = sender->Stop();
  ::close(writer);
  EXPECT_EQ(outcome.status, 0) << outcome.ToString();
  EXPECT_EQ(outcome.err, "");
  for (const std::string& path : {air, air + ".ready", state}) {
    EXPECT_FALSE(std::filesystem::exists(path)) << path;
  }
}

}  // namespace
}  // namespace nark::harness
