// Partial encryption with the real programs: what everybody sees, and what the buyer gets.

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

#include "common/base/bytes.h"
#include "common/net/datagram_file.h"
#include "tests/harness/process.h"
#include "tests/harness/world.h"

namespace nark::harness {
namespace {

constexpr size_t kAduBytes = 32 << 10;
// The datagrams of a recording.
std::vector<std::string> Datagrams(const std::string& path) {
  std::vector<std::string> datagrams;
  auto source = net::OpenDatagramFile(path);
  if (!source.ok()) throw std::runtime_error(source.status().ToString());
  while (!(*source)->exhausted()) {
    const auto taken =
        (*source)->Receive(64, [&](ByteView datagram) { datagrams.push_back(ToText(datagram)); });
    if (!taken.ok()) throw std::runtime_error(taken.status().ToString());
  }
  return datagrams;
}

void WriteDatagrams(const std::string& path, const std::vector<std::string>& datagrams) {
  auto sink = net::CreateDatagramFile(path);
  if (!sink.ok()) throw std::runtime_error(sink.status().ToString());
  for (const std::string& datagram : datagrams) {
    const std::vector<ByteView> one = {AsBytes(datagram)};
    if (!(*sink)->Send(one).ok()) throw std::runtime_error("cannot write " + path);
  }
}

uint64_t NumberAt(const std::string& datagram, size_t at, size_t bytes) {
  uint64_t number = 0;
  for (size_t i = 0; i < bytes; ++i) number = number << 8 | static_cast<uint8_t>(datagram[at + i]);
  return number;
}

class PartialTest : public testing::Test {
 protected:
  void Begin(const Words& more) {
    replica_ = world_.StartKeyManager();
    session_ = world_.MakeSession({replica_.listen}, more);
    space_ = world_.MakeSecureSpace();
    voucher_ = world_.MakeVoucher(session_, space_.id, "0-999");
  }
  // Into a file, so that every run is the same; returns what the sender said.
  Outcome Send(const std::string& input, Words more) {
    std::filesystem::remove(world_.Path("air"));
    more.insert(more.end(), {"--session", session_.sender, "--input", "file:" + input, "--output",
                             "file:" + world_.Path("air"), "--pace", "max"});
    const Outcome sent = world_.Try("nark-sender", more);
    EXPECT_EQ(sent.status, 0) << sent.ToString();
    return sent;
  }
  std::string Preview(const std::string& air = "air") {
    const std::string output = world_.NewPath("preview");
    world_.Do("nark-receiver", {"preview", session_.session, "--input", "file:" + world_.Path(air),
                                "--output", "file:" + output});
    return output;
  }
  std::string Play(const std::string& air = "air") {
    const std::string output = world_.NewPath("played");
    Words arguments = world_.JoinArguments(session_, space_, voucher_, output);
    arguments.insert(arguments.end(), {"--input", "file:" + world_.Path(air)});
    world_.Do("nark-receiver", arguments);
    return output;
  }
  Outcome Tool(const std::string& program, const Words& arguments) {
    return Execute({"/usr/bin/" + program, arguments, "", {}}, world_.folder());
  }
  // Of the decoded sound.
  std::string AudioHash(const std::string& path) {
    return Tool("ffmpeg", {"-v", "quiet", "-i", path, "-map", "0:a:0", "-f", "md5", "-"}).out;
  }
  size_t VideoFrames(const std::string& path) {
    const std::string out =
        Tool("ffprobe", {"-v", "quiet", "-select_streams", "v", "-show_frames", "-show_entries",
                         "frame=media_type", "-of", "csv=p=0", path})
            .out;
    size_t frames = 0;
    for (size_t at = out.find("video"); at != std::string::npos; at = out.find("video", at + 1)) {
      ++frames;
    }
    return frames;
  }
  // All that `--encrypt video` promises, of a transport stream.
  void ExpectPlainAudioAndNoVideo(const std::string& input) {
    Send(input, {"--encrypt", "video"});
    const std::string seen = Preview(), played = Play();
    EXPECT_TRUE(ReadAll(played) == ReadAll(input)) << "the buyer gets another file";
    EXPECT_EQ(ReadAll(seen).size(), ReadAll(input).size());
    const std::string audio = AudioHash(input);
    ASSERT_EQ(audio.rfind("MD5=", 0), 0u) << audio;
    EXPECT_EQ(AudioHash(seen), audio);
    EXPECT_GT(VideoFrames(input), 25u);
    EXPECT_EQ(VideoFrames(seen), 0u);
  }

  World world_;
  Server replica_;
  SessionFiles session_;
  SecureSpaceFolder space_;
  std::string voucher_;
};

TEST_F(PartialTest, APlainPlayerPlaysTheAudioOfEncryptedVideo) {
  const std::string input = world_.Path("input.ts");
  const Outcome made = Tool("ffmpeg", {"-v",      "error",
                                       "-f",      "lavfi",
                                       "-i",      "testsrc2=size=320x180:rate=25:duration=4",
                                       "-f",      "lavfi",
                                       "-i",      "sine=duration=4",
                                       "-c:v",    "libx264",
                                       "-preset", "ultrafast",
                                       "-g",      "25",
                                       "-c:a",    "aac",
                                       "-f",      "mpegts",
                                       input});
  ASSERT_EQ(made.status, 0) << made.ToString();
  for (const Words& mode : {Words{"--adu", "1s"}, Words{"--adu", "1s", "--release", "plaintext"},
                            Words{"--adu", "1s", "--cipher", "chacha20-poly1305"}}) {
    SCOPED_TRACE(mode.back());
    Begin(mode);
    ExpectPlainAudioAndNoVideo(input);
  }
}

TEST_F(PartialTest, SoItIsWithRealBroadcasts) {
  const char* folder = std::getenv("NARK_MEDIA_DIR");
  if (folder == nullptr) GTEST_SKIP() << "NARK_MEDIA_DIR is not set: no captured streams";
  for (const char* name : {"h264-aac-1024x576.ts", "mpeg2-mp2-720x576.ts"}) {
    SCOPED_TRACE(name);
    Begin({"--adu", "1s"});
    ExpectPlainAudioAndNoVideo(std::string(folder) + "/" + name);
  }
}

TEST_F(PartialTest, InputWithoutVideoIsEncryptedAsAWholeAndSaidSoOnce) {
  Begin({"--adu", "32KiB"});
  const std::string input = world_.Path("noise");
  WriteAll(input, RandomBytes(5 * kAduBytes, 1));
  const Outcome sent = Send(input, {"--encrypt", "video"});
  const size_t warning = sent.err.find("--encrypt video");
  ASSERT_NE(warning, std::string::npos) << sent.ToString();
  EXPECT_EQ(sent.err.find("--encrypt video", warning + 1), std::string::npos) << sent.ToString();
  EXPECT_TRUE(ReadAll(Preview()) == std::string(5 * kAduBytes, '\0'));
  EXPECT_TRUE(ReadAll(Play()) == ReadAll(input));
}

class FirstBytesTest : public PartialTest {
 protected:
  // What everybody sees of the ADUs `present`.
  static std::string Seen(const std::string& input, const std::vector<size_t>& present) {
    std::string seen;
    for (size_t adu : present) {
      const std::string bytes = input.substr(adu * kAduBytes, kAduBytes);
      seen += std::string(1000, '\0') + bytes.substr(1000);
    }
    return seen;
  }
};

TEST_F(FirstBytesTest, AreEncryptedAndTheRestIsSeen) {
  Begin({"--adu", "32KiB"});
  const std::string path = world_.Path("input"), input = RandomBytes(5 * kAduBytes, 2);
  WriteAll(path, input);
  Send(path, {"--encrypt-first", "1000"});
  EXPECT_TRUE(ReadAll(Preview()) == Seen(input, {0, 1, 2, 3, 4}));
  EXPECT_TRUE(ReadAll(Play()) == input);
}

// Clear bytes are authenticated: whoever changes one on the way takes the ADU away, from
// those who look and from those who bought, and its key is not asked for.
TEST_F(FirstBytesTest, AFlippedClearBitReachesNoOutput) {
  Begin({"--adu", "32KiB"});
  const std::string path = world_.Path("input"), input = RandomBytes(5 * kAduBytes, 3);
  WriteAll(path, input);
  Send(path, {"--encrypt-first", "1000"});
  std::vector<std::string> datagrams = Datagrams(world_.Path("air"));
  size_t changed = 0;
  for (std::string& datagram : datagrams) {
    constexpr size_t kKind = 3, kAdu = 16, kIndex = 24, kPayload = 28;
    if (NumberAt(datagram, kKind, 1) == 2 && NumberAt(datagram, kAdu, 8) == 2 &&
        NumberAt(datagram, kIndex, 4) == 5) {
      const char sent = datagram[kPayload + 100];
      ASSERT_EQ(sent, input[2 * kAduBytes + 5 * (datagram.size() - kPayload) + 100]) << "is clear";
      datagram[kPayload + 100] = static_cast<char>(sent ^ 1);
      ++changed;
    }
  }
  ASSERT_EQ(changed, 1u);
  WriteDatagrams(world_.Path("spoilt"), datagrams);
  EXPECT_TRUE(ReadAll(Preview("spoilt")) == Seen(input, {0, 1, 3, 4}));
  EXPECT_TRUE(ReadAll(Play("spoilt")) ==
              input.substr(0, 2 * kAduBytes) + input.substr(3 * kAduBytes));
  // What was never delivered can still be.
  const std::string note = world_.Path("note");
  world_.Do("nark-receiver",
            {"note", session_.session, "--secure-space", space_.folder, "--out", note});
  const std::string shown = world_.Do("narkctl", {"note", "show", note, "--json"});
  EXPECT_NE(shown.find("[[0,1],[3,4]]"), std::string::npos) << shown;
}

TEST_F(FirstBytesTest, FlagsThatMakeNoSenseAreRefused) {
  Begin({});
  for (const Words& flags :
       {Words{"--encrypt-first", "0"}, Words{"--encrypt-first", "few"}, Words{"--encrypt", "audio"},
        Words{"--encrypt", "video", "--encrypt-first", "9"}}) {
    Words arguments = {"--session", session_.sender, "--input",
                       "/dev/null", "--output",      "file:" + world_.Path("air")};
    arguments.insert(arguments.end(), flags.begin(), flags.end());
    const Outcome outcome = world_.Try("nark-sender", arguments);
    EXPECT_EQ(outcome.status, 1) << outcome.ToString();
    EXPECT_NE(outcome.err.find("--encrypt"), std::string::npos) << outcome.ToString();
  }
}

}  // namespace
}  // namespace nark::harness
