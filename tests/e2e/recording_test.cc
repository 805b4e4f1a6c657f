// A recording is played offline: from anywhere, up to and beyond damage, and the note says
// what was played to the last ADU.

#include <gtest/gtest.h>

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "common/base/bytes.h"
#include "common/net/datagram_file.h"
#include "tests/harness/process.h"
#include "tests/harness/world.h"

namespace nark::harness {
namespace {

constexpr size_t kAduBytes = 8 << 10;
constexpr uint64_t kAdus = 40;

class RecordingTest : public testing::Test {
 protected:
  // A recording, and a card that was granted all of it while there was a key manager.
  void Record(const Words& flags = {"--timeliness", "none"}, const Words& voucher = {}) {
    Words more = {"--adu", "8KiB"};
    more.insert(more.end(), flags.begin(), flags.end());
    session_ = world_.MakeSession({}, more);
    space_ = world_.MakeSecureSpace();
    Grant(voucher);
    input_ = RandomBytes(kAdus * kAduBytes, 5);
    WriteAll(world_.Path("input"), input_);
    std::filesystem::remove(recording_);
    world_.SendAll(session_, world_.Path("input"),
                   {"--output", "file:" + recording_, "--pace", "4M"});
  }
  // All of it to the card, while there is a key manager.
  void Grant(const Words& flags = {}) {
    const Server replica = world_.StartKeyManager();
    voucher_ = world_.MakeVoucher(session_, space_.id, "0-99", flags);
    world_.Do("nark-receiver", {"amend", session_.session, "--secure-space", space_.folder,
                                "--voucher", voucher_, "--key-manager", replica.listen});
  }
  Outcome Play(const Words& more, const std::string& output) {
    Words words = world_.JoinArguments(session_, space_, voucher_, output);
    words.insert(words.end(), {"--input", "file:" + recording_});
    words.insert(words.end(), more.begin(), more.end());
    return world_.Try("nark-receiver", words);
  }
  std::string Adus(uint64_t first, uint64_t last) const {
    return input_.substr(first * kAduBytes, (last - first + 1) * kAduBytes);
  }
  std::vector<uint64_t> Delivered() { return DeliveredIds(world_.Note(session_, space_)); }

  World world_;
  SessionFiles session_;
  SecureSpaceFolder space_;
  std::string voucher_, input_, recording_ = world_.Path("x.nadu");
};

TEST_F(RecordingTest, PlaysFromAnywhereWithoutAKeyManager) {
  Record();
  const std::string middle = world_.Path("middle"), end = world_.Path("end"),
                    start = world_.Path("start");
  Outcome played = Play({"--from-adu", "10", "--to-adu", "19"}, middle);
  EXPECT_EQ(played.status, 0) << played.ToString();
  EXPECT_TRUE(ReadAll(middle) == Adus(10, 19)) << ReadAll(middle).size();
  played = Play({"--from-adu", "30"}, end);
  EXPECT_EQ(played.status, 0) << played.ToString();
  EXPECT_TRUE(ReadAll(end) == Adus(30, 39)) << ReadAll(end).size();
  // Backwards, and by time: 16 ms an ADU.
  played = Play({"--to-time", "+100ms"}, start);
  EXPECT_EQ(played.status, 0) << played.ToString();
  const size_t count = ReadAll(start).size() / kAduBytes;
  EXPECT_GE(count, 1u);
  EXPECT_LT(count, 10u);
  EXPECT_TRUE(ReadAll(start) == Adus(0, count - 1));
  EXPECT_EQ(Delivered().size(), 20 + count);
}

// What has not verified moves no range: neither does it let more be played and charged, nor
// less.
TEST_F(RecordingTest, AForgedHeaderMovesNoRange) {
  Record();
  const Words range = {"--from-time", "+300ms", "--to-time", "+500ms"};
  Outcome played = Play(range, world_.Path("honest"));
  ASSERT_EQ(played.status, 0) << played.ToString();
  const std::vector<uint64_t> honest = Delivered();
  EXPECT_GT(honest.size(), 2u);
  EXPECT_LT(honest.size(), kAdus / 2);

  std::vector<Bytes> datagrams;
  {
    const auto source = net::OpenDatagramFile(recording_);
    ASSERT_TRUE(source.ok()) << source.status();
    while (!(*source)->exhausted()) {
      const auto taken = (*source)->Receive(
          256, [&](ByteView datagram) { datagrams.push_back(ToBytes(datagram)); });
      ASSERT_TRUE(taken.ok()) << taken.status();
    }
  }
  for (const uint64_t time : {uint64_t{0}, uint64_t{1} << 63}) {
    Bytes forged(datagrams.front().begin(), datagrams.front().begin() + 62);
    StoreBig64(&forged[54], time);
    std::vector<ByteView> views = {forged};
    views.insert(views.end(), datagrams.begin(), datagrams.end());
    {
      // With an index, of which it is the first entry.
      std::filesystem::remove(recording_);
      const auto sink = net::CreateDatagramFile(recording_);
      ASSERT_TRUE(sink.ok()) << sink.status();
      ASSERT_TRUE((*sink)->Send(views).ok());
    }
    space_ = world_.MakeSecureSpace();
    Grant();
    played = Play(range, world_.Path("forged"));
    EXPECT_EQ(played.status, 0) << played.ToString();
    EXPECT_EQ(Delivered(), honest) << time;
    EXPECT_TRUE(ReadAll(world_.Path("forged")) == ReadAll(world_.Path("honest")));
  }
}

TEST_F(RecordingTest, PlaysUpToAndBeyondDamage) {
  Record();
  std::string bytes = ReadAll(recording_);
  for (size_t at = bytes.size() / 3; at < bytes.size() / 3 + 20'000; ++at) bytes[at] = 0;
  for (size_t at = 1000; at < bytes.size() * 3 / 4; at += 50'021) bytes[at] ^= 1;
  bytes.resize(bytes.size() * 9 / 10);
  WriteAll(recording_, bytes);
  const std::string output = world_.Path("out");
  const Outcome played = Play({}, output);
  EXPECT_EQ(played.status, 0) << played.ToString();
  const std::vector<uint64_t> delivered = Delivered();
  std::string expected;
  for (const uint64_t id : delivered) expected += Adus(id, id);
  EXPECT_TRUE(ReadAll(output) == expected);
  EXPECT_GE(delivered.size(), kAdus / 2);
  EXPECT_LT(delivered.size(), kAdus);
  EXPECT_LT(delivered.front(), kAdus / 3);
  EXPECT_GT(delivered.back(), kAdus / 2) << "nothing beyond the damage";
}

// The recording was made long after the grant: a newer one is fetched before it is played on.
TEST_F(RecordingTest, ALeaseThatLapsedCostsNothingWhereAKeyManagerIs) {
  for (const Words& flags : {Words{"--timeliness", "none"}, Words{"--deadline", "50ms"}}) {
    Record(flags, {"--lease", "1ms"});
    const Server replica = world_.StartKeyManager();
    const std::string output = world_.NewPath("out");
    const Outcome played = Play({"--key-manager", replica.listen}, output);
    EXPECT_EQ(played.status, 0) << played.ToString();
    EXPECT_TRUE(ReadAll(output) == input_) << played.ToString();
    EXPECT_EQ(Delivered().size(), kAdus);
  }
}

TEST_F(RecordingTest, ALeaseThatLapsedIsToldWhereNoneIs) {
  Record({"--timeliness", "none"}, {"--lease", "1ms"});
  const std::string output = world_.Path("out");
  const Outcome played =
      Play({"--key-manager", "127.0.0.1:" + std::to_string(FreePort()), "--timeout", "1s"}, output);
  EXPECT_EQ(played.status, 2) << played.ToString();
  EXPECT_EQ(ReadAll(output), "");
  EXPECT_NE(played.err.find("the keys of 40 ADUs"), std::string::npos) << played.err;
  EXPECT_NE(played.err.find("nark-receiver request"), std::string::npos) << played.err;
  EXPECT_TRUE(Delivered().empty());
}

TEST_F(RecordingTest, SaysWhatALiveSessionMakesOfGoingBack) {
  Record({"--deadline", "50ms"});
  EXPECT_EQ(Play({"--from-adu", "30"}, world_.Path("end")).status, 0);
  const Outcome back = Play({"--to-adu", "5"}, world_.Path("start"));
  EXPECT_EQ(back.status, 0) << back.ToString();
  EXPECT_EQ(ReadAll(world_.Path("start")), "");
  EXPECT_NE(back.err.find("LATE"), std::string::npos) << back.err;
  EXPECT_NE(back.err.find("--timeliness none"), std::string::npos) << back.err;
}

TEST_F(RecordingTest, RefusesARangeWithoutARecording) {
  Record();
  const std::string output = world_.Path("out");
  Words words = world_.JoinArguments(session_, space_, voucher_, output);
  words.insert(words.end(), {"--from-adu", "1"});
  const Outcome live = world_.Try("nark-receiver", words);
  EXPECT_EQ(live.status, 1) << live.ToString();
  EXPECT_NE(live.err.find("--from-adu"), std::string::npos) << live.err;
  const Outcome bad = Play({"--from-time", "soon"}, output);
  EXPECT_EQ(bad.status, 1) << bad.ToString();
  EXPECT_NE(bad.err.find("--from-time"), std::string::npos) << bad.err;
}

}  // namespace
}  // namespace nark::harness
