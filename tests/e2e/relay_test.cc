// A site without multicast: the real programs, a relay between them.

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <string>

#include "tests/harness/capture.h"
#include "tests/harness/process.h"
#include "tests/harness/world.h"

namespace nark::harness {
namespace {

constexpr size_t kAduBytes = 32 << 10;
const Words kAdus = {"--adu", "32KiB"};
const std::string kPace = "8M";

class RelayTest : public testing::Test {
 protected:
  void SetUp() override {
    replica_ = world_.StartKeyManager();
    session_ = world_.MakeSession({replica_.listen}, kAdus);
    token_ = MakeToken("site");
  }

  std::string MakeToken(const std::string& name) {
    const std::string folder = world_.Path("tokens");
    std::filesystem::create_directories(folder);
    const std::string path = folder + "/" + name + ".token";
    world_.Do("nark-relay", {"token", "--name", name, "--out", path});
    return path;
  }
  std::string UriOf(const std::string& listen) const {
    return "relay://" + listen + "?token=" + token_;
  }
  Server StartRelay(const Words& more) {
    Words arguments = {"--session", session_.session, "--http", "127.0.0.1:0", "--drain", "0s"};
    arguments.insert(arguments.end(), more.begin(), more.end());
    return world_.StartServer("nark-relay", arguments);
  }
  // One that subscribers may come to.
  Server StartListening(const std::string& listen = "127.0.0.1:0", const Words& more = {}) {
    Words arguments = {"--listen", listen, "--tokens", world_.Path("tokens")};
    arguments.insert(arguments.end(), more.begin(), more.end());
    return StartRelay(arguments);
  }
  static double Metric(const Server& relay, const std::string& name,
                       const std::string& labels = "") {
    return MetricOf(HttpGet(relay.http, "/metrics"), name, labels);
  }
  static bool HasSubscribers(const Server& relay, double count) {
    return Eventually([&] { return Metric(relay, "nark_relay_subscribers") == count; });
  }
  // A viewer that holds a grant.
  std::unique_ptr<Process> View(const std::string& input, const std::string& output) {
    const SecureSpaceFolder space = world_.MakeSecureSpace();
    const std::string voucher = world_.MakeVoucher(session_, space.id, "0-99999");
    return world_.StartJoin(session_, space, voucher, world_.Path(output), {"--input", input});
  }
  std::string MakeInput(const std::string& name, size_t bytes, uint64_t seed) {
    const std::string path = world_.Path(name);
    WriteAll(path, RandomBytes(bytes, seed));
    return path;
  }
  bool HasSize(const std::string& output, size_t bytes) {
    return Eventually([&] { return ReadAll(world_.Path(output)).size() >= bytes; });
  }

  World world_;
  Server replica_;
  SessionFiles session_;
  std::string token_;
};

TEST_F(RelayTest, ViewersByUnicastAndBehindASecondRelaySeeTheSameBytes) {
  const Server first = StartListening();
  const Group behind = NewGroup();
  Server second = StartRelay({"--input", UriOf(first.listen), "--output", behind.Uri()});
  auto near = View(UriOf(first.listen), "near");
  auto far = View(behind.Uri(), "far");
  ASSERT_TRUE(HasSubscribers(first, 2));

  const size_t bytes = 10 * kAduBytes + 77;
  const std::string input = MakeInput("input", bytes, 1);
  world_.SendAll(session_, input, {"--pace", kPace});
  EXPECT_TRUE(HasSize("near", bytes));
  EXPECT_TRUE(HasSize("far", bytes));
  for (auto* viewer : {near.get(), far.get()}) {
    const Outcome end = viewer->Stop();
    EXPECT_EQ(end.status, 0) << end.ToString();
  }
  EXPECT_TRUE(ReadAll(world_.Path("near")) == ReadAll(input));
  EXPECT_TRUE(ReadAll(world_.Path("far")) == ReadAll(input));
  // Both leave when they end.
  EXPECT_TRUE(HasSubscribers(first, 1));
  EXPECT_EQ(second.process->Stop().status, 0);
  EXPECT_TRUE(HasSubscribers(first, 0));
  EXPECT_EQ(Metric(first, "nark_relay_messages_total", "\"left\""), 2);
  EXPECT_GT(Metric(first, "nark_relay_datagrams_sent_total"), 0);
  EXPECT_NE(HttpGet(first.http, "/").find("Subscribers"), std::string::npos);
  EXPECT_EQ(first.process->Stop().status, 0);
}

TEST_F(RelayTest, ASubscriberRecoversByItselfWhenTheRelayIsKilledAndStartedAgain) {
  Server relay = StartListening();
  auto viewer = View(UriOf(relay.listen), "out");
  ASSERT_TRUE(HasSubscribers(relay, 1));
  const std::string first = MakeInput("first", 4 * kAduBytes, 2);
  world_.SendAll(session_, first, {"--pace", kPace});
  ASSERT_TRUE(HasSize("out", 4 * kAduBytes));

  relay.process->Kill();
  relay = StartListening(relay.listen);
  ASSERT_TRUE(HasSubscribers(relay, 1)) << viewer->err();
  const std::string second = MakeInput("second", 4 * kAduBytes, 3);
  world_.SendAll(session_, second, {"--pace", kPace});
  EXPECT_TRUE(HasSize("out", 8 * kAduBytes));
  const Outcome end = viewer->Stop();
  EXPECT_EQ(end.status, 0) << end.ToString();
  EXPECT_TRUE(ReadAll(world_.Path("out")) == ReadAll(first) + ReadAll(second));
}

TEST_F(RelayTest, AWrongTokenIsRefusedWithOneClearLine) {
  const Server relay = StartListening();
  const std::string wrong = world_.Path("wrong.token");
  world_.Do("nark-relay", {"token", "--name", "site", "--out", wrong});
  const std::string uri = "relay://" + relay.listen + "?token=" + wrong;
  const SecureSpaceFolder space = world_.MakeSecureSpace();
  const std::string voucher = world_.MakeVoucher(session_, space.id, "0-9");
  Words join = world_.JoinArguments(session_, space, voucher, world_.Path("out"));
  join.insert(join.end(), {"--input", uri, "--log-level", "error"});
  const Outcome viewer = world_.Try("nark-receiver", join);
  const Outcome second =
      world_.Try("nark-relay", {"--session", session_.session, "--input", uri, "--output",
                                NewGroup().Uri(), "--log-level", "error"});
  for (const Outcome& end : {viewer, second}) {
    EXPECT_EQ(end.status, 2) << end.ToString();
    EXPECT_NE(end.err.find(relay.listen + " refused: the relay does not know the token"),
              std::string::npos)
        << end.ToString();
    // Besides, a viewer whose grant came first reports what it received: nothing.
    const bool reports = end.err.find("received 0, delivered 0") != std::string::npos;
    EXPECT_EQ(std::count(end.err.begin(), end.err.end(), '\n'), reports ? 2 : 1) << end.ToString();
  }
  EXPECT_TRUE(
      Eventually([&] { return Metric(relay, "nark_relay_refusals_total", "unauthorised") == 2; }));
  EXPECT_EQ(Metric(relay, "nark_relay_subscribers"), 0);
}

TEST_F(RelayTest, NobodyThereIsStatusTwoAndBadArgumentsAreOne) {
  const std::string nobody = "127.0.0.1:" + std::to_string(FreePort());
  const Words base = {"--session", session_.session, "--output", NewGroup().Uri()};
  const auto with = [&](const Words& more) {
    Words all = base;
    all.insert(all.end(), more.begin(), more.end());
    return world_.Try("nark-relay", all);
  };
  const Outcome alone = with({"--input", UriOf(nobody), "--timeout", "1s"});
  EXPECT_EQ(alone.status, 2) << alone.ToString();
  EXPECT_NE(alone.err.find("does not answer"), std::string::npos) << alone.ToString();

  const std::string damaged = world_.Path("damaged.token");
  std::string bytes = ReadAll(token_);
  bytes[20] ^= 1;
  WriteAll(damaged, bytes);
  const Group twice = NewGroup();
  for (const Words& wrong :
       std::vector<Words>{{"--input", "relay://127.0.0.1:9"},
                          {"--input", "relay://127.0.0.1:9?token=" + damaged},
                          {"--input", twice.Uri(), "--output", twice.Uri("&ttl=2")},
                          {"--listen", "127.0.0.1:0"},
                          {"--listen", "127.0.0.1:0", "--tokens", damaged},
                          {"--lease", "1s"}}) {
    const Outcome end = with(wrong);
    EXPECT_EQ(end.status, 1) << end.ToString();
  }
  // A token is a secret, and is not replaced by mistake.
  struct stat info {};
  ASSERT_EQ(stat(token_.c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 0777, 0600u);
  EXPECT_EQ(world_.Try("nark-relay", {"token", "--name", "site", "--out", token_}).status, 1);
  EXPECT_TRUE(ReadAll(token_) != bytes);
}

TEST_F(RelayTest, WhoDoesNotProveAnythingGetsNotOneByteMoreThanItSent) {
  const Server relay = StartListening();
  auto viewer = View(UriOf(relay.listen), "out");
  ASSERT_TRUE(HasSubscribers(relay, 1));
  const int stranger = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  sockaddr_in to{};
  to.sin_family = AF_INET;
  to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  to.sin_port =
      htons(static_cast<uint16_t>(std::stoi(relay.listen.substr(relay.listen.rfind(':') + 1))));
  ASSERT_EQ(connect(stranger, reinterpret_cast<sockaddr*>(&to), sizeof to), 0);
  auto sender = world_.Start("nark-sender",
                             {"--session", session_.sender, "--input",
                              "file:" + MakeInput("input", 20 * kAduBytes, 4), "--pace", kPace});
  size_t sent = 0, got = 0, answers = 0;
  std::string hello = "NR\x01\x01" + std::string(60, '\0');
  uint8_t buffer[65536];
  while (sender->running()) {
    for (const std::string& message :
         {hello, hello.substr(0, 63), std::string(184, 'x'), "NR\x01\x03" + std::string(180, 1)}) {
      const ssize_t n = send(stranger, message.data(), message.size(), 0);
      if (n > 0) sent += static_cast<size_t>(n);
    }
    usleep(1000);
    for (ssize_t n; (n = recv(stranger, buffer, sizeof buffer, 0)) >= 0; ++answers) {
      got += static_cast<size_t>(n);
    }
  }
  close(stranger);
  EXPECT_GT(answers, 10u);
  EXPECT_LT(got, sent / 2) << got << " bytes for " << sent;
  EXPECT_EQ(got, answers * 44) << "more than cookies came";
  EXPECT_TRUE(HasSize("out", 20 * kAduBytes)) << "the flood held up the stream";
  EXPECT_EQ(viewer->Stop().status, 0);
}

TEST_F(RelayTest, SighupTakesATokenAwayAndItsSubscribersWithIt) {
  const std::string other = MakeToken("other");
  Server relay = StartListening();
  auto stays = View(UriOf(relay.listen), "stays");
  auto goes = View("relay://" + relay.listen + "?token=" + other, "goes");
  ASSERT_TRUE(HasSubscribers(relay, 2));
  std::filesystem::remove(other);
  relay.process->Signal(SIGHUP);
  ASSERT_TRUE(HasSubscribers(relay, 1));
  world_.SendAll(session_, MakeInput("input", 4 * kAduBytes, 5), {"--pace", kPace});
  EXPECT_TRUE(HasSize("stays", 4 * kAduBytes));
  EXPECT_EQ(ReadAll(world_.Path("goes")).size(), 0u);
  // It says so, once, and goes on asking.
  EXPECT_TRUE(Eventually([&] {
    return goes->err().find("refuses: the relay does not know the token") != std::string::npos;
  })) << goes->err();
  EXPECT_EQ(goes->Stop().status, 0);
  EXPECT_EQ(stays->Stop().status, 0);
  // A damaged token leaves all as it is.
  WriteAll(world_.Path("tokens") + "/bad.token", "nonsense");
  relay.process->Signal(SIGHUP);
  EXPECT_TRUE(Eventually(
      [&] { return relay.process->err().find("stay as they are") != std::string::npos; }));
  EXPECT_EQ(relay.process->Stop().status, 0);
}

TEST_F(RelayTest, RelaysInACircleFallSilent) {
  const Group other = NewGroup();
  const Server there = StartRelay({"--input", session_.group.Uri(), "--output", other.Uri()});
  const Server back = StartRelay({"--input", other.Uri(), "--output", session_.group.Uri()});
  Capture capture(other.Uri());
  world_.SendAll(session_, MakeInput("input", 2 * kAduBytes, 6), {"--pace", kPace});
  ASSERT_TRUE(Eventually([&] {
    return Metric(there, "nark_relay_datagrams_stopped_total", "repeated") > 0 &&
           Metric(back, "nark_relay_datagrams_stopped_total", "repeated") >= 0;
  }));
  // Silence: nothing more comes while two looks pass that are a publication apart.
  size_t seen = 0;
  EXPECT_TRUE(Eventually([&] {
    const size_t now = capture.size();
    const bool silent = now == seen;
    seen = now;
    usleep(500000);
    return silent && capture.size() == now;
  }));
  for (const auto& [adu, datagrams] : ByAdu(capture.datagrams())) {
    for (const Bytes& one : datagrams) {
      const auto all = capture.datagrams();
      EXPECT_LE(std::count(all.begin(), all.end(), one), 16) << "ADU " << adu;
    }
  }
}

}  // namespace
}  // namespace nark::harness
