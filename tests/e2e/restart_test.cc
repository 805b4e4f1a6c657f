// What dies and comes back: senders, replicas, receivers.

#include <gtest/gtest.h>
#include <signal.h>

#include <chrono>
#include <filesystem>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "common/net/datagram_io.h"
#include "common/wire/datagram.h"
#include "tests/harness/capture.h"
#include "tests/harness/process.h"
#include "tests/harness/world.h"

namespace nark::harness {
namespace {

using std::chrono::seconds;

constexpr size_t kAduBytes = 16 << 10;
const Words kAdus = {"--adu", "16KiB"};

// The signed headers of each ADU; more than one means that an id was used twice.
std::map<uint64_t, std::set<Bytes>> HeadersByAdu(const std::vector<Bytes>& datagrams) {
  std::map<uint64_t, std::set<Bytes>> headers;
  for (const Bytes& datagram : datagrams) {
    const wire::ParsedDatagram parsed = wire::ParseDatagram(datagram);
    if (parsed.prefix.kind != wire::DatagramKind::kHeader &&
        parsed.prefix.kind != wire::DatagramKind::kWhole) {
      continue;
    }
    headers[parsed.prefix.adu_id].insert(datagram);
  }
  return headers;
}

class RestartTest : public testing::Test {
 protected:
  std::string Input(size_t adus, uint64_t seed) {
    const std::string path = world_.NewPath("input");
    WriteAll(path, RandomBytes(adus * kAduBytes, seed));
    return path;
  }
  std::unique_ptr<Process> StartSender(const SessionFiles& session, const std::string& input,
                                       const std::string& pace) {
    return world_.Start("nark-sender",
                        {"--session", session.sender, "--input", "file:" + input, "--pace", pace});
  }

  World world_;
};

TEST_F(RestartTest, ASenderKilledAtAnyMomentNeverUsesAnIdTwice) {
  const Server replica = world_.StartKeyManager();
  const SessionFiles session = world_.MakeSession({replica.listen}, kAdus);
  const SecureSpaceFolder space = world_.MakeSecureSpace();
  const std::string output = world_.Path("out");
  auto join =
      world_.StartJoin(session, space, world_.MakeVoucher(session, space.id, "0-99999999"), output);
  Capture capture(session.group.Uri());
  const std::string input = Input(64, 1);
  std::optional<uint64_t> highest;
  for (int life = 0; life < 3; ++life) {
    auto sender = StartSender(session, input, "6M");
    const uint64_t beyond = highest ? *highest + 4 : 4;
    ASSERT_TRUE(Eventually([&] {
      return !sender->running() || capture.HighestAdu().value_or(0) >= beyond;
    })) << sender->err();
    EXPECT_EQ(sender->Kill().status, 128 + SIGKILL) << "it ended by itself";
    highest = capture.HighestAdu();
  }
  const std::string last = Input(10, 77);
  world_.SendAll(session, last, {"--pace", "20M"});
  ASSERT_EQ(capture.lost(), 0u);

  for (const auto& [adu, headers] : HeadersByAdu(capture.datagrams())) {
    EXPECT_EQ(headers.size(), 1u) << "ADU " << adu << " was sent under two headers";
  }
  EXPECT_GT(capture.HighestAdu().value_or(0), *highest);
  // The receiver has gone on all the while.
  const std::string sent = ReadAll(last);
  const auto ends_with_last = [&] {
    const std::string out = ReadAll(output);
    return out.size() > sent.size() &&
           out.compare(out.size() - sent.size(), sent.size(), sent) == 0;
  };
  EXPECT_TRUE(Eventually(ends_with_last, seconds(15)));
  const Outcome end = join->Stop();
  EXPECT_EQ(end.status, 0) << end.ToString();
  const std::string out = ReadAll(output);
  EXPECT_EQ(out.size() % kAduBytes, 0u);
  // Three lives of at least four ADUs each began with the first bytes of the input.
  const std::string first = ReadAll(input).substr(0, kAduBytes);
  int beginnings = 0;
  for (size_t at = 0; at < out.size(); at += kAduBytes) {
    beginnings += out.compare(at, kAduBytes, first) == 0 ? 1 : 0;
  }
  EXPECT_EQ(beginnings, 3) << end.ToString();
}

TEST_F(RestartTest, IdsAreConsecutiveOverACleanRestart) {
  const Server replica = world_.StartKeyManager();
  const SessionFiles session = world_.MakeSession({replica.listen}, kAdus);
  const SecureSpaceFolder space = world_.MakeSecureSpace();
  const std::string output = world_.Path("out");
  auto join =
      world_.StartJoin(session, space, world_.MakeVoucher(session, space.id, "0-999"), output);
  Capture capture(session.group.Uri());
  const std::string one = Input(5, 1), two = Input(5, 2);
  world_.SendAll(session, one, {"--pace", "20M"});
  // Ended by a signal is a clean end too.
  auto ended = StartSender(session, Input(400, 3), "2M");
  ASSERT_TRUE(Eventually([&] { return capture.HighestAdu().value_or(0) >= 7; }));
  EXPECT_EQ(ended->Stop().status, 0) << ended->err();
  world_.SendAll(session, two, {"--pace", "20M"});
  const auto adus = ByAdu(capture.datagrams());
  uint64_t expected = 0;
  for (const auto& [adu, datagrams] : adus) EXPECT_EQ(adu, expected++);
  const auto last_is_out = [&] {
    const std::string out = ReadAll(output), sent = ReadAll(two);
    return out.size() > sent.size() &&
           out.compare(out.size() - sent.size(), sent.size(), sent) == 0;
  };
  EXPECT_TRUE(Eventually(last_is_out, seconds(15)));
  EXPECT_EQ(join->Stop().status, 0);
  EXPECT_EQ(ReadAll(output).substr(0, 5 * kAduBytes), ReadAll(one));
}

TEST_F(RestartTest, AnIdBelowTheReservationIsRefused) {
  const SessionFiles session = world_.MakeSession({"127.0.0.1:1"}, kAdus);
  const std::string input = Input(5, 1);
  world_.SendAll(session, input, {"--pace", "20M", "--first-adu", "100"});
  const Outcome again =
      world_.Try("nark-sender", {"--session", session.sender, "--input", "file:" + input, "--pace",
                                 "20M", "--first-adu", "102"});
  EXPECT_EQ(again.status, 1) << again.ToString();
  EXPECT_NE(again.err.find("105"), std::string::npos) << again.ToString();
}

TEST_F(RestartTest, TwoSendersDoNotShareAStateFile) {
  const SessionFiles session = world_.MakeSession({"127.0.0.1:1"}, kAdus);
  Capture capture(session.group.Uri());
  const std::string input = Input(400, 1);
  auto first = StartSender(session, input, "1M");
  ASSERT_TRUE(Eventually([&] { return capture.size() > 0; }));
  const Outcome second =
      world_.Try("nark-sender", {"--session", session.sender, "--input", "file:" + input});
  EXPECT_EQ(second.status, 1) << second.ToString();
  EXPECT_TRUE(first->running());
  EXPECT_EQ(first->Stop().status, 0);
}

TEST_F(RestartTest, JoinsGoOnWhileReplicasDie) {
  std::vector<Server> replicas;
  Words addresses;
  for (int i = 0; i < 3; ++i) {
    replicas.push_back(world_.StartKeyManager());
    addresses.push_back(replicas.back().listen);
  }
  const SessionFiles session = world_.MakeSession(addresses, kAdus);
  std::vector<std::unique_ptr<Process>> joins;
  Words ready_files;
  std::vector<SecureSpaceFolder> spaces;
  Words vouchers;
  for (int i = 0; i < 5; ++i) {
    spaces.push_back(world_.MakeSecureSpace());
    vouchers.push_back(world_.MakeVoucher(session, spaces.back().id, "0-999"));
  }
  for (int i = 0; i < 5; ++i) {
    ready_files.push_back(world_.NewPath("ready"));
    Words arguments = world_.JoinArguments(session, spaces[i], vouchers[i], world_.NewPath("out"));
    arguments.insert(arguments.end(), {"--ready-file", ready_files.back()});
    joins.push_back(world_.Start("nark-receiver", arguments));
    if (i == 1) replicas[0].process->Kill();
    if (i == 3) replicas[1].process->Signal(SIGSTOP);  // hangs rather than dies
  }
  for (int i = 0; i < 5; ++i) {
    EXPECT_TRUE(Eventually(
        [&] { return std::filesystem::exists(ready_files[i]) || !joins[i]->running(); }));
    EXPECT_TRUE(std::filesystem::exists(ready_files[i])) << joins[i]->err();
    EXPECT_EQ(joins[i]->Stop().status, 0);
  }
  replicas[1].process->Signal(SIGCONT);
  EXPECT_EQ(replicas[1].process->Stop().status, 0);
  EXPECT_EQ(replicas[2].process->Stop().status, 0);
}

TEST_F(RestartTest, AJoinWaitsForAKeyManagerThatComesLate) {
  const std::string address = "127.0.0.1:" + std::to_string(FreePort());
  const SessionFiles session = world_.MakeSession({address}, kAdus);
  const SecureSpaceFolder space = world_.MakeSecureSpace();
  const std::string voucher = world_.MakeVoucher(session, space.id, "0-999");
  const std::string ready_file = world_.NewPath("ready");
  Words arguments = world_.JoinArguments(session, space, voucher, world_.Path("out"));
  arguments.insert(arguments.end(), {"--ready-file", ready_file, "--timeout", "50s"});
  auto join = world_.Start("nark-receiver", arguments);
  const Server replica = world_.StartServer(
      "nark-keymanager",
      {"--pool", world_.pool(), "--issuer", world_.issuer() + "/issuer.pem", "--listen", address});
  EXPECT_TRUE(Eventually([&] { return std::filesystem::exists(ready_file) || !join->running(); }));
  EXPECT_TRUE(std::filesystem::exists(ready_file)) << join->err();
  EXPECT_EQ(join->Stop().status, 0);
}

TEST_F(RestartTest, JoinNeedsNoSenderAndEndsCleanlyBySignal) {
  const Server replica = world_.StartKeyManager();
  const SessionFiles session = world_.MakeSession({replica.listen}, kAdus);
  const SecureSpaceFolder space = world_.MakeSecureSpace();
  const std::string voucher = world_.MakeVoucher(session, space.id, "0-999");
  for (const int signal : {SIGTERM, SIGINT}) {
    auto join = world_.StartJoin(session, space, voucher, world_.Path("out"));
    join->Signal(signal);
    const Outcome end = join->Wait();
    EXPECT_EQ(end.status, 0) << end.ToString();
    EXPECT_TRUE(std::filesystem::exists(world_.Path("out")));
  }
}

TEST_F(RestartTest, AnInstalledGrantNeedsNoKeyManager) {
  Server replica = world_.StartKeyManager();
  const SessionFiles session = world_.MakeSession({replica.listen}, kAdus);
  const SecureSpaceFolder space = world_.MakeSecureSpace();
  const std::string voucher = world_.MakeVoucher(session, space.id, "0-999");
  EXPECT_EQ(world_.StartJoin(session, space, voucher, world_.Path("first"))->Stop().status, 0);
  EXPECT_EQ(replica.process->Stop().status, 0);

  const std::string output = world_.Path("out"), input = Input(6, 4);
  auto join = world_.StartJoin(session, space, voucher, output);
  world_.SendAll(session, input, {"--pace", "20M"});
  EXPECT_TRUE(Eventually([&] { return ReadAll(output) == ReadAll(input); }));
  EXPECT_EQ(join->Stop().status, 0);
  EXPECT_TRUE(ReadAll(output) == ReadAll(input));
}

TEST_F(RestartTest, AReceiverKilledAtAnyMomentGetsNoKeyTwice) {
  const Server replica = world_.StartKeyManager();
  const SessionFiles session =
      world_.MakeSession({replica.listen}, {"--adu", "16KiB", "--timeliness", "none"});
  const SecureSpaceFolder space = world_.MakeSecureSpace();
  const std::string voucher = world_.MakeVoucher(session, space.id, "0-999");
  const std::string input_path = Input(40, 5);
  Capture capture(session.group.Uri());
  auto join = world_.StartJoin(session, space, voucher, world_.Path("first"));
  auto sender = StartSender(session, input_path, "4M");
  ASSERT_TRUE(Eventually([&] { return ReadAll(world_.Path("first")).size() >= 6 * kAduBytes; }));
  join->Kill();
  const Outcome sent = sender->Wait();
  ASSERT_EQ(sent.status, 0) << sent.ToString();
  ASSERT_EQ(capture.lost(), 0u);
  const std::vector<Bytes> everything = capture.datagrams();
  // What has been written is whole ADUs from the start, perhaps cut off by the kill.
  const std::string first = ReadAll(world_.Path("first")), input = ReadAll(input_path);
  ASSERT_EQ(input.compare(0, first.size(), first), 0);

  // The whole broadcast once more, datagram by datagram.
  auto again = world_.StartJoin(session, space, voucher, world_.Path("second"));
  auto address = net::UdpAddress::Parse(session.group.Uri());
  ASSERT_TRUE(address.ok());
  auto sink = net::OpenUdpSink(*address);
  ASSERT_TRUE(sink.ok()) << sink.status();
  for (const Bytes& datagram : everything) {
    const ByteView one[] = {datagram};
    ASSERT_TRUE((*sink)->Send(one).ok());
  }
  const auto tail_is_out = [&] {
    const std::string second = ReadAll(world_.Path("second"));
    return !second.empty() && second.size() % kAduBytes == 0 &&
           input.compare(input.size() - second.size(), second.size(), second) == 0 &&
           second.compare(second.size() - kAduBytes, kAduBytes, input, 39 * kAduBytes, kAduBytes) ==
               0;
  };
  EXPECT_TRUE(Eventually(tail_is_out, seconds(15)));
  const Outcome end = again->Stop();
  EXPECT_EQ(end.status, 0) << end.ToString();
  const size_t second_adus = ReadAll(world_.Path("second")).size() / kAduBytes;
  const size_t first_adus = first.size() / kAduBytes;
  // No key twice; in doubt are only the requests that the kill left unanswered.
  EXPECT_LE(first_adus + second_adus, 40u) << end.ToString();
  EXPECT_GE(first_adus + second_adus, 36u) << end.ToString();
  EXPECT_NE(end.err.find("RELEASED"), std::string::npos) << end.ToString();
}

TEST_F(RestartTest, SurvivesSilenceBetweenSenders) {
  const Server replica = world_.StartKeyManager();
  const SessionFiles session = world_.MakeSession({replica.listen}, kAdus);
  const SecureSpaceFolder space = world_.MakeSecureSpace();
  const std::string output = world_.Path("out");
  auto join = world_.StartJoin(session, space, world_.MakeVoucher(session, space.id, "0-999"),
                               output, {"--playout-delay", "100ms"});
  const std::string one = Input(3, 1), two = Input(3, 2);
  world_.SendAll(session, one, {"--pace", "20M"});
  ASSERT_TRUE(Eventually([&] { return ReadAll(output).size() == 3 * kAduBytes; }));
  // Many play-out delays pass without a datagram; a jump in the ids as well.
  EXPECT_FALSE(Eventually([&] { return !join->running(); }, seconds(2)));
  world_.SendAll(session, two, {"--pace", "20M", "--first-adu", "500"});
  EXPECT_TRUE(Eventually([&] { return ReadAll(output) == ReadAll(one) + ReadAll(two); }));
  EXPECT_EQ(join->Stop().status, 0);
}

}  // namespace
}  // namespace nark::harness
