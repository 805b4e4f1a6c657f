// More peers than a replica can hold, that say little and stay: others' joins go on.

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/resource.h>
#include <sys/socket.h>

#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "common/net/descriptor.h"
#include "tests/harness/process.h"
#include "tests/harness/world.h"

namespace nark::harness {
namespace {

using Json = nlohmann::json;

constexpr int kHeld = 200;   // connections of the replica
constexpr int kSlow = 1000;  // peers
// The first bytes of a TLS record that announces a handshake of 512 bytes.
constexpr char kHalfAHello[] = {0x16, 0x03, 0x01, 0x02, 0x00, 0x01};

class FloodTest : public testing::Test {
 protected:
  FloodTest() {
    rlimit files{};
    getrlimit(RLIMIT_NOFILE, &files);
    files.rlim_cur = files.rlim_max;
    setrlimit(RLIMIT_NOFILE, &files);
    replica_ = world_.StartKeyManager({"--connections", std::to_string(kHeld)});
    session_ = world_.MakeSession({replica_.listen}, {});
    world_.Do("nark-load",
              {"prepare", "--issuer", world_.issuer(), "--provider", world_.provider(), "--session",
               session_.session, "--viewers", "100", "--range", "1000-90000", "--out", load_});
  }
  std::unique_ptr<Process> Load(const std::string& connect, const std::string& duration,
                                const std::string& rate) {
    return world_.Start("nark-load", {"run", "--load", load_, "--session", session_.session,
                                      "--seed", "7", "--spacing", "even", "--connect", connect,
                                      "--duration", duration, "--rate", rate, "--json"});
  }
  static Json NoJoinFails(Process& load) {
    const Outcome outcome = load.Wait();
    EXPECT_EQ(outcome.status, 0) << outcome.ToString();
    const Json run = Json::parse(outcome.out);
    EXPECT_EQ(run["joins"]["failed"], 0) << run;
    EXPECT_EQ(run["joins"]["granted"], run["joins"]["offered"]) << run;
    return run;
  }
  // One that connects, and says nothing. It is connected at once, or when there is room.
  net::Descriptor SilentPeer() {
    net::Descriptor peer(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
    const std::string port = replica_.listen.substr(replica_.listen.find(':') + 1);
    sockaddr_in to{};
    to.sin_family = AF_INET;
    to.sin_port = htons(static_cast<uint16_t>(std::stoi(port)));
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    [[maybe_unused]] const int connected =
        connect(peer.fd(), reinterpret_cast<sockaddr*>(&to), sizeof to);
    return peer;
  }
  // One that has begun a handshake, and goes no further.
  net::Descriptor SlowPeer() {
    net::Descriptor peer = SilentPeer();
    [[maybe_unused]] const auto sent =
        send(peer.fd(), kHalfAHello, sizeof kHalfAHello, MSG_NOSIGNAL);
    return peer;
  }
  double Metric(const std::string& name) {
    return MetricOf(HttpGet(replica_.http, "/metrics"), "nark_keymanager_connections_" + name);
  }

  World world_;
  Server replica_;
  SessionFiles session_;
  const std::string load_ = world_.Path("viewers.load");
};

TEST_F(FloodTest, ManySlowPeersKeepNobodyOut) {
  const auto warm = Load("warm", "8s", "40");
  ASSERT_TRUE(Eventually([&] {
    return MetricOf(HttpGet(replica_.http, "/metrics"), "nark_keymanager_grants_total") > 10;
  }));
  std::vector<net::Descriptor> peers;
  for (int i = 0; i < kSlow; ++i) peers.push_back(SlowPeer());
  // Those who join already do not notice, however full it is.
  ASSERT_TRUE(Eventually([&] { return Metric("refused_total") + Metric("evicted_total") > 0; }));
  NoJoinFails(*warm);
  EXPECT_LE(MetricOf(HttpGet(replica_.http, "/metrics"), "process_open_fds"), kHeld + 100);
  // Who is new takes the place of a peer that is silent.
  NoJoinFails(*Load("cold", "2s", "5"));
  peers.clear();
  NoJoinFails(*Load("cold", "2s", "5"));
  EXPECT_TRUE(replica_.process->running());
}

// A connection that nothing is sent on is the kernel's, not the replica's.
TEST_F(FloodTest, SilentPeersCostNothing) {
  std::vector<net::Descriptor> peers;
  for (int i = 0; i < kSlow; ++i) peers.push_back(SilentPeer());
  NoJoinFails(*Load("cold", "2s", "5"));
  EXPECT_LE(Metric("accepted_total"), 30);
}

}  // namespace
}  // namespace nark::harness
