// The whole road with the real programs: provider, pool, session, sender,
// secure space, voucher, join, output.

#include <gtest/gtest.h>

#include <chrono>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "tests/harness/capture.h"
#include "tests/harness/process.h"
#include "tests/harness/world.h"

namespace nark::harness {
namespace {

constexpr size_t kAduBytes = 32 << 10;
const Words kAdus = {"--adu", "32KiB"};
const std::string kPace = "40M";

// ADUs first to last of an input cut by size.
std::string Adus(const std::string& input, uint64_t first, uint64_t last) {
  return input.substr(first * kAduBytes, (last - first + 1) * kAduBytes);
}

class RoadTest : public testing::Test {
 protected:
  std::string Input(size_t bytes, uint64_t seed = 1) {
    const std::string path = world_.NewPath("input");
    WriteAll(path, RandomBytes(bytes, seed));
    return path;
  }
  static bool HasSize(const std::string& path, size_t bytes) {
    std::error_code error;
    return std::filesystem::file_size(path, error) == bytes && !error;
  }

  World world_;
};

TEST_F(RoadTest, OutputIsByteIdenticalToTheInput) {
  const Server one = world_.StartKeyManager(), two = world_.StartKeyManager(),
               three = world_.StartKeyManager();
  const SessionFiles session = world_.MakeSession({one.listen, two.listen, three.listen}, kAdus);
  const SecureSpaceFolder space = world_.MakeSecureSpace();
  const std::string voucher = world_.MakeVoucher(session, space.id, "0-999");
  const std::string input = Input((1 << 20) + 12345), output = world_.Path("out");

  auto join = world_.StartJoin(session, space, voucher, output);
  world_.SendAll(session, input, {"--pace", kPace});
  EXPECT_TRUE(Eventually([&] { return HasSize(output, (1 << 20) + 12345); }));
  const Outcome end = join->Stop();
  EXPECT_EQ(end.status, 0) << end.ToString();
  EXPECT_TRUE(ReadAll(output) == ReadAll(input)) << end.ToString();
}

TEST_F(RoadTest, ASignalFlushesWhatIsComplete) {
  const Server replica = world_.StartKeyManager();
  const SessionFiles session = world_.MakeSession({replica.listen}, kAdus);
  const SecureSpaceFolder space = world_.MakeSecureSpace();
  const std::string voucher = world_.MakeVoucher(session, space.id, "0-999");
  const std::string input = Input(4 * kAduBytes), output = world_.Path("out");
  // ADU 0 is lost to a sender that nobody hears, so the rest waits for it.
  Capture capture(session.group.Uri());
  world_.SendAll(session, Input(kAduBytes, 9), {"--pace", kPace, "--output", NewGroup().Uri()});
  auto join = world_.StartJoin(session, space, voucher, output, {"--playout-delay", "1h"});
  world_.SendAll(session, input, {"--pace", kPace});
  ASSERT_TRUE(Eventually([&] { return capture.HighestAdu() == 4; }));
  ASSERT_TRUE(Eventually([&] { return HasSize(output, 0) || HasSize(output, 4 * kAduBytes); }));
  const Outcome end = join->Stop();
  EXPECT_EQ(end.status, 0) << end.ToString();
  EXPECT_TRUE(ReadAll(output) == ReadAll(input)) << end.ToString();
}

TEST_F(RoadTest, ARangeGivesExactlyItsAdus) {
  const Server replica = world_.StartKeyManager();
  const SessionFiles session = world_.MakeSession({replica.listen}, kAdus);
  const SecureSpaceFolder whole = world_.MakeSecureSpace(), part = world_.MakeSecureSpace();
  const std::string input_path = Input(20 * kAduBytes);
  auto all = world_.StartJoin(session, whole, world_.MakeVoucher(session, whole.id, "0-999"),
                              world_.Path("all"));
  auto some = world_.StartJoin(session, part, world_.MakeVoucher(session, part.id, "7-11"),
                               world_.Path("some"));
  world_.SendAll(session, input_path, {"--pace", kPace});
  EXPECT_TRUE(Eventually([&] { return HasSize(world_.Path("all"), 20 * kAduBytes); }));
  EXPECT_TRUE(Eventually([&] { return HasSize(world_.Path("some"), 5 * kAduBytes); }));
  EXPECT_EQ(all->Stop().status, 0);
  const Outcome end = some->Stop();
  EXPECT_EQ(end.status, 0) << end.ToString();
  const std::string input = ReadAll(input_path);
  EXPECT_TRUE(ReadAll(world_.Path("all")) == input);
  EXPECT_TRUE(ReadAll(world_.Path("some")) == Adus(input, 7, 11)) << end.ToString();
}

TEST_F(RoadTest, JoiningLateGivesTheTail) {
  const Server replica = world_.StartKeyManager();
  const SessionFiles session = world_.MakeSession({replica.listen}, kAdus);
  const SecureSpaceFolder space = world_.MakeSecureSpace();
  const std::string voucher = world_.MakeVoucher(session, space.id, "0-999");
  const std::string input_path = Input(48 * kAduBytes);
  Capture capture(session.group.Uri());
  auto sender = world_.Start("nark-sender", {"--session", session.sender, "--input",
                                             "file:" + input_path, "--pace", "4M"});
  ASSERT_TRUE(Eventually([&] { return capture.HighestAdu().value_or(0) >= 5; }));
  auto join = world_.StartJoin(session, space, voucher, world_.Path("out"));
  const Outcome sent = sender->Wait();
  ASSERT_EQ(sent.status, 0) << sent.ToString();
  const std::string input = ReadAll(input_path);
  const auto tail_is_out = [&] {
    const std::string output = ReadAll(world_.Path("out"));
    return !output.empty() && output.size() % kAduBytes == 0 &&
           input.compare(input.size() - output.size(), output.size(), output) == 0;
  };
  EXPECT_TRUE(Eventually(tail_is_out, std::chrono::seconds(10)));
  const Outcome end = join->Stop();
  EXPECT_EQ(end.status, 0) << end.ToString();
  EXPECT_TRUE(tail_is_out()) << end.ToString();
  const size_t adus = ReadAll(world_.Path("out")).size() / kAduBytes;
  EXPECT_LE(adus, 42u) << "it came before the sixth ADU";
  EXPECT_GE(adus, 4u) << end.ToString();
}

TEST_F(RoadTest, WritesToSeveralOutputsAtOnce) {
  const Server replica = world_.StartKeyManager();
  const SessionFiles session = world_.MakeSession({replica.listen}, kAdus);
  const SecureSpaceFolder space = world_.MakeSecureSpace();
  const std::string voucher = world_.MakeVoucher(session, space.id, "0-999");
  const std::string input_path = Input(10 * kAduBytes);
  const Group copy = NewGroup();
  Capture capture(copy.Uri());
  auto join = world_.StartJoin(session, space, voucher, world_.Path("out"),
                               {"--output", "-", "--output", copy.Uri()});
  world_.SendAll(session, input_path, {"--pace", "20M"});
  const auto joined = [&] {
    std::string all;
    for (const Bytes& datagram : capture.datagrams()) all += ToText(datagram);
    return all;
  };
  EXPECT_TRUE(Eventually([&] {
    return HasSize(world_.Path("out"), 10 * kAduBytes) && joined().size() >= 10 * kAduBytes;
  }));
  const Outcome end = join->Stop();
  EXPECT_EQ(end.status, 0) << end.err;
  const std::string input = ReadAll(input_path);
  EXPECT_TRUE(ReadAll(world_.Path("out")) == input);
  EXPECT_TRUE(end.out == input) << "standard output is media and nothing else";
  EXPECT_TRUE(joined() == input);
}

TEST_F(RoadTest, CutsVideoAtItsPicturesAndPacesItByItsClock) {
  const std::string input = world_.Path("input.ts");
  const Outcome made = Execute({"/usr/bin/ffmpeg",
                                {"-v",
                                 "error",
                                 "-f",
                                 "lavfi",
                                 "-i",
                                 "testsrc2=size=320x180:rate=25:duration=3",
                                 "-f",
                                 "lavfi",
                                 "-i",
                                 "sine=duration=3",
                                 "-c:v",
                                 "libx264",
                                 "-preset",
                                 "ultrafast",
                                 "-g",
                                 "25",
                                 "-sc_threshold",
                                 "0",
                                 "-c:a",
                                 "aac",
                                 "-f",
                                 "mpegts",
                                 input},
                                "",
                                {}},
                               world_.folder());
  ASSERT_EQ(made.status, 0) << made.ToString();
  const Server replica = world_.StartKeyManager();
  const SessionFiles session = world_.MakeSession({replica.listen}, {"--adu", "gop"});
  const SecureSpaceFolder space = world_.MakeSecureSpace();
  const std::string voucher = world_.MakeVoucher(session, space.id, "0-999");
  Capture capture(session.group.Uri());
  auto join = world_.StartJoin(session, space, voucher, world_.Path("out"));
  const auto started = std::chrono::steady_clock::now();
  world_.SendAll(session, input);
  const auto took = std::chrono::steady_clock::now() - started;
  EXPECT_GE(took, std::chrono::milliseconds(1500)) << "was not paced by its PCR";
  const size_t bytes = std::filesystem::file_size(input);
  EXPECT_TRUE(Eventually([&] { return HasSize(world_.Path("out"), bytes); }));
  const Outcome end = join->Stop();
  EXPECT_EQ(end.status, 0) << end.ToString();
  EXPECT_TRUE(ReadAll(world_.Path("out")) == ReadAll(input)) << end.ToString();
  // One GOP a second, and what comes before the first.
  EXPECT_EQ(ByAdu(capture.datagrams()).size(), 4u);
}

TEST_F(RoadTest, RealBroadcastsComeOutAsTheyWentIn) {
  const char* folder = std::getenv("NARK_MEDIA_DIR");
  if (folder == nullptr) GTEST_SKIP() << "NARK_MEDIA_DIR is not set: no captured streams";
  const Server replica = world_.StartKeyManager();
  for (const char* name : {"h264-aac-1024x576.ts", "mpeg2-mp2-720x576.ts"}) {
    const std::string input = std::string(folder) + "/" + name;
    const SessionFiles session = world_.MakeSession({replica.listen}, {"--adu", "gop"});
    const SecureSpaceFolder space = world_.MakeSecureSpace();
    const std::string voucher = world_.MakeVoucher(session, space.id, "0-999");
    const std::string output = world_.NewPath("out");
    auto join = world_.StartJoin(session, space, voucher, output);
    world_.SendAll(session, input, {"--pace", kPace});
    const size_t bytes = std::filesystem::file_size(input);
    EXPECT_TRUE(Eventually([&] { return HasSize(output, bytes); }, std::chrono::seconds(15)));
    const Outcome end = join->Stop();
    EXPECT_EQ(end.status, 0) << end.ToString();
    EXPECT_TRUE(ReadAll(output) == ReadAll(input)) << name << "\n" << end.ToString();
  }
}

TEST_F(RoadTest, OneDatagramAdusTravelWhole) {
  const Server replica = world_.StartKeyManager();
  const SessionFiles session = world_.MakeSession({replica.listen}, {"--adu", "600"});
  const SecureSpaceFolder space = world_.MakeSecureSpace();
  const std::string voucher = world_.MakeVoucher(session, space.id, "0-9999");
  const std::string input = Input(600 * 50 + 1), output = world_.Path("out");
  Capture capture(session.group.Uri());
  auto join = world_.StartJoin(session, space, voucher, output);
  world_.SendAll(session, input, {"--pace", "2M"});
  EXPECT_TRUE(Eventually([&] { return HasSize(output, 600 * 50 + 1); }));
  EXPECT_EQ(join->Stop().status, 0);
  EXPECT_TRUE(ReadAll(output) == ReadAll(input));
  EXPECT_EQ(capture.size(), 51u);
}

TEST_F(RoadTest, ServesItsSocketWhileItJoins) {
  const Server replica = world_.StartKeyManager();
  const SessionFiles session = world_.MakeSession({replica.listen}, kAdus);
  const SecureSpaceFolder space = world_.MakeSecureSpace();
  const std::string voucher = world_.MakeVoucher(session, space.id, "0-999");
  auto join = world_.StartJoin(session, space, voucher, world_.Path("out"));
  const auto socket = std::filesystem::status(space.folder + "/socket");
  EXPECT_EQ(socket.type(), std::filesystem::file_type::socket);
  EXPECT_EQ(socket.permissions(),
            std::filesystem::perms::owner_read | std::filesystem::perms::owner_write);
  const std::string shown = world_.Do("nark-securespace", {"show", space.folder});
  EXPECT_NE(shown.find(space.id), std::string::npos) << shown;

  // A second join on the folder is refused, and the first goes on.
  const Outcome second = world_.Try(
      "nark-receiver", world_.JoinArguments(session, space, voucher, world_.Path("out2")));
  EXPECT_EQ(second.status, 1) << second.ToString();
  EXPECT_NE(second.err.find(space.folder), std::string::npos) << second.ToString();
  EXPECT_TRUE(join->running());
  EXPECT_EQ(join->Stop().status, 0);
  EXPECT_NE(world_.Do("nark-securespace", {"show", space.folder}).find(space.id),
            std::string::npos);
}

TEST_F(RoadTest, ASecureSpaceCanBeAProcessOfItsOwn) {
  const Server replica = world_.StartKeyManager();
  const SessionFiles session = world_.MakeSession({replica.listen}, kAdus);
  SecureSpaceFolder space = world_.MakeSecureSpace();
  const std::string voucher = world_.MakeVoucher(session, space.id, "0-999");
  const std::string where = "unix:" + world_.Path("card.socket");
  const Server card =
      world_.StartServer("nark-securespace", {"serve", space.folder, "--listen", where});
  space.folder = where;
  const std::string input = Input(8 * kAduBytes), output = world_.Path("out");
  auto join = world_.StartJoin(session, space, voucher, output);
  world_.SendAll(session, input, {"--pace", kPace});
  EXPECT_TRUE(Eventually([&] { return HasSize(output, 8 * kAduBytes); }));
  const Outcome end = join->Stop();
  EXPECT_EQ(end.status, 0) << end.ToString();
  EXPECT_TRUE(ReadAll(output) == ReadAll(input)) << end.ToString();
  EXPECT_EQ(card.process->Stop().status, 0);
}

TEST_F(RoadTest, OnCardDecryptionGivesTheSameBytes) {
  const Server replica = world_.StartKeyManager();
  const SessionFiles session =
      world_.MakeSession({replica.listen}, {"--adu", "32KiB", "--release", "plaintext"});
  const SecureSpaceFolder space = world_.MakeSecureSpace();
  const std::string voucher = world_.MakeVoucher(session, space.id, "0-999");
  const std::string input = Input(8 * kAduBytes + 5), output = world_.Path("out");
  auto join = world_.StartJoin(session, space, voucher, output);
  world_.SendAll(session, input, {"--pace", kPace});
  EXPECT_TRUE(Eventually([&] { return HasSize(output, 8 * kAduBytes + 5); }));
  const Outcome end = join->Stop();
  EXPECT_EQ(end.status, 0) << end.ToString();
  EXPECT_TRUE(ReadAll(output) == ReadAll(input)) << end.ToString();
}

class CipherAndGenerator : public RoadTest,
                           public testing::WithParamInterface<std::vector<std::string>> {};

TEST_P(CipherAndGenerator, OutputIsByteIdenticalToTheInput) {
  const Server replica = world_.StartKeyManager();
  Words more = kAdus;
  more.insert(more.end(), GetParam().begin(), GetParam().end());
  const SessionFiles session = world_.MakeSession({replica.listen}, more);
  const SecureSpaceFolder space = world_.MakeSecureSpace();
  const std::string voucher = world_.MakeVoucher(session, space.id, "0-999");
  const std::string input = Input(5 * kAduBytes + 1), output = world_.Path("out");
  auto join = world_.StartJoin(session, space, voucher, output);
  world_.SendAll(session, input, {"--pace", kPace});
  EXPECT_TRUE(Eventually([&] { return HasSize(output, 5 * kAduBytes + 1); }));
  const Outcome end = join->Stop();
  EXPECT_EQ(end.status, 0) << end.ToString();
  EXPECT_TRUE(ReadAll(output) == ReadAll(input)) << end.ToString();
}

INSTANTIATE_TEST_SUITE_P(
    Registered, CipherAndGenerator,
    testing::Values(Words{"--cipher", "aes-256-gcm"}, Words{"--cipher", "chacha20-poly1305"},
                    Words{"--generator", "hkdf", "--allow-unbounded-grants"},
                    Words{"--generator", "hash-chain", "--allow-unbounded-grants"}));

}  // namespace
}  // namespace nark::harness
