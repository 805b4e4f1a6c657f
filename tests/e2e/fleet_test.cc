// A fleet of key managers behind balancers, under load: killed, upgraded, and given new keys,
// and no join fails. NARK_FLEET_SECONDS says for how long each goes on.

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <signal.h>
#include <sys/socket.h>

#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <iterator>
#include <nlohmann/json.hpp>
#include <string>
#include <thread>
#include <vector>

#include "common/net/descriptor.h"
#include "tests/harness/process.h"
#include "tests/harness/world.h"

namespace nark::harness {
namespace {

using Json = nlohmann::json;
using std::chrono::milliseconds;
using std::chrono::seconds;

enum class Balancer { kHaproxy, kNginx };
enum class Tls { kReEncrypted, kEnded };

std::string Replaced(std::string text, const std::string& name, const std::string& value) {
  for (size_t at; (at = text.find("@" + name + "@")) != std::string::npos;) {
    text.replace(at, name.size() + 2, value);
  }
  return text;
}

std::string PortOf(const std::string& host_port) {
  return host_port.substr(host_port.rfind(':') + 1);
}

seconds HowLong(int by_default) {
  const char* text = std::getenv("NARK_FLEET_SECONDS");
  return seconds(text == nullptr ? by_default : std::atoi(text));
}

class FleetTest : public testing::Test {
 protected:
  // Replicas at ports of their own, which they have again after a restart.
  struct Replica {
    Words flags;
    Server server;
  };

  void Start(size_t count, const Words& more = {}) {
    for (size_t i = 0; i < count; ++i) {
      Words flags = {"--pool",   world_.pool(),
                     "--issuer", world_.issuer() + "/issuer.pem",
                     "--crl",    world_.issuer() + "/crl.pem",
                     "--listen", "127.0.0.1:" + std::to_string(FreePort()),
                     "--http",   "127.0.0.1:" + std::to_string(FreePort())};
      flags.insert(flags.end(), more.begin(), more.end());
      replicas_.push_back({flags, world_.StartServer("nark-keymanager", flags)});
    }
  }
  void Restart(Replica& replica) {
    replica.server = world_.StartServer("nark-keymanager", replica.flags);
  }

  // Puts a balancer before them, and makes a session that names it.
  void Balance(Balancer balancer, Tls tls) {
    listen_ = "127.0.0.1:" + std::to_string(FreePort());
    if (balancer == Balancer::kHaproxy) {
      StartHaproxy(tls);
    } else {
      StartNginx(tls);
    }
    session_ = world_.MakeSession({listen_}, {});
  }
  void StartHaproxy(Tls tls) {
    std::string servers;
    for (size_t i = 0; i < replicas_.size(); ++i) {
      servers += "    server replica" + std::to_string(i) + " " + replicas_[i].server.listen +
                 " port " + PortOf(replicas_[i].server.http) + "\n";
    }
    WriteAll(world_.Path("balancer.pem"),
             ReadAll(world_.PoolFile("tls-", ".pem")) + ReadAll(world_.PoolFile("tls-", ".key")));
    std::string text = ReadAll("deploy/haproxy/haproxy.cfg.in");
    text = Replaced(text, "LISTEN", listen_);
    text = Replaced(text, "CERTIFICATE_AND_KEY", world_.Path("balancer.pem"));
    text = Replaced(text, "TO_REPLICAS",
                    tls == Tls::kEnded ? "proto h2"
                                       : "ssl verify required ca-file " + world_.provider() +
                                             "/tls/certificate.pem verifyhost keymanager.nark "
                                             "alpn h2");
    text = Replaced(text, "SERVERS", servers);
    StartBalancer("/usr/sbin/haproxy", "haproxy.cfg", text, {"-db", "-f"});
  }
  void StartNginx(Tls tls) {
    std::string servers;
    for (const Replica& replica : replicas_) {
      servers += "        server " + replica.server.listen + " max_fails=1 fail_timeout=2s;\n";
    }
    const std::string run = world_.Path("nginx");
    std::filesystem::create_directory(run);
    std::string text = ReadAll("deploy/nginx/nginx.conf.in");
    for (const auto& [name, value] : {std::pair<std::string, std::string>{"RUN", run},
                                      {"LISTEN", listen_},
                                      {"CERTIFICATE", world_.PoolFile("tls-", ".pem")},
                                      {"KEY", world_.PoolFile("tls-", ".key")},
                                      {"TLS_CA", world_.provider() + "/tls/certificate.pem"},
                                      {"SCHEME", tls == Tls::kEnded ? "grpc" : "grpcs"},
                                      {"SERVERS", servers}}) {
      text = Replaced(text, name, value);
    }
    // As its own user it could not read this test's folder.
    text = "user root;\n" + text;
    StartBalancer("/usr/sbin/nginx", "nginx.conf", text, {"-g", "daemon off;", "-c"});
  }
  void StartBalancer(const std::string& program, const std::string& name, const std::string& text,
                     Words arguments) {
    WriteAll(world_.Path(name), text);
    arguments.push_back(world_.Path(name));
    balancer_ = world_.Start(program, arguments);
    const Words probe = {"-k", "-s", "-o", "/dev/null", "https://" + listen_ + "/"};
    ASSERT_TRUE(Eventually([&] {
      return world_.Try("/usr/bin/curl", probe).status == 0 || !balancer_->running();
    })) << balancer_->err();
    ASSERT_TRUE(balancer_->running()) << balancer_->err();
  }

  net::Descriptor Connection() const {
    net::Descriptor connection(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    sockaddr_in to{};
    to.sin_family = AF_INET;
    to.sin_port = htons(static_cast<uint16_t>(std::stoi(PortOf(listen_))));
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    EXPECT_EQ(connect(connection.fd(), reinterpret_cast<sockaddr*>(&to), sizeof to), 0);
    return connection;
  }

  void Prepare() {
    world_.Do("nark-load",
              {"prepare", "--issuer", world_.issuer(), "--provider", world_.provider(), "--session",
               session_.session, "--viewers", "200", "--range", "1000-90000", "--out", load_});
  }
  std::unique_ptr<Process> StartLoad(seconds duration, const Words& more = {}) {
    Words arguments = {"run",
                       "--load",
                       load_,
                       "--session",
                       session_.session,
                       "--rate",
                       "40",
                       "--duration",
                       std::to_string(duration.count()) + "s",
                       "--seed",
                       "7",
                       "--json"};
    arguments.insert(arguments.end(), more.begin(), more.end());
    return world_.Start("nark-load", arguments);
  }
  // Of a load that has been started; every join must have been granted.
  Json NoJoinFails(Process& load) {
    const Outcome outcome = load.Wait(seconds(60) + HowLong(60));
    EXPECT_EQ(outcome.status, 0) << outcome.ToString();
    const Json run = Json::parse(outcome.out);
    EXPECT_EQ(run["joins"]["failed"], 0) << run;
    EXPECT_EQ(run["joins"]["granted"], run["joins"]["offered"]) << run;
    RecordProperty("joins", run["joins"].dump());
    return run;
  }
  static double GrantsOf(const Replica& replica) {
    return MetricOf(HttpGet(replica.server.http, "/metrics"), "nark_keymanager_grants_total");
  }
  // Challenges and grants: with two replicas each may get one kind only.
  static double RequestsOf(const Replica& replica) {
    return MetricOf(HttpGet(replica.server.http, "/metrics"), "nark_keymanager_requests_total");
  }

  World world_;
  std::vector<Replica> replicas_;
  std::string listen_;
  std::unique_ptr<Process> balancer_;
  SessionFiles session_;
  const std::string load_ = world_.Path("viewers.load");
};

struct Road {
  std::string name;
  Balancer balancer;
  Tls tls;
};

class BalancedTest : public FleetTest, public testing::WithParamInterface<Road> {};

// One connection, and its requests spread over all replicas.
TEST_P(BalancedTest, RequestsAreSpreadOverReplicas) {
  const bool ended = GetParam().tls == Tls::kEnded;
  Start(2, ended ? Words{"--plaintext"} : Words{});
  Balance(GetParam().balancer, GetParam().tls);
  Prepare();
  const auto load = StartLoad(seconds(4), {"--connections", "1", "--check-grants", "100"});
  NoJoinFails(*load);
  const double one = RequestsOf(replicas_[0]), two = RequestsOf(replicas_[1]);
  EXPECT_GE(one + two, 200);
  EXPECT_GT(one, 50);
  EXPECT_GT(two, 50);
}

// A stream of half a MiB, from whichever replica.
TEST_P(BalancedTest, MarkedBlocksComeThrough) {
  const bool ended = GetParam().tls == Tls::kEnded;
  Start(2, ended ? Words{"--plaintext"} : Words{});
  Balance(GetParam().balancer, GetParam().tls);
  const SessionFiles session = world_.MakeSession({listen_}, {"--cipher", "chameleon"});
  for (int i = 0; i < 3; ++i) {
    const SecureSpaceFolder space = world_.MakeSecureSpace();
    const auto join = world_.StartJoin(session, space, world_.MakeVoucher(session, space.id, "0-9"),
                                       world_.NewPath("out"));
    EXPECT_NE(join->err().find("the marked block was fetched"), std::string::npos) << join->err();
    EXPECT_EQ(join->Stop().status, 0);
  }
  const std::filesystem::directory_iterator kept(world_.Path("cache"));
  EXPECT_EQ(std::distance(begin(kept), end(kept)), 3);
}

INSTANTIATE_TEST_SUITE_P(
    Roads, BalancedTest,
    testing::Values(Road{"HaproxyReEncrypts", Balancer::kHaproxy, Tls::kReEncrypted},
                    Road{"HaproxyEndsTls", Balancer::kHaproxy, Tls::kEnded},
                    Road{"NginxReEncrypts", Balancer::kNginx, Tls::kReEncrypted},
                    Road{"NginxEndsTls", Balancer::kNginx, Tls::kEnded}),
    [](const auto& info) { return info.param.name; });

class KilledFleetTest : public FleetTest, public testing::WithParamInterface<Balancer> {};

// Every five seconds one of three is killed, and comes back a little later.
TEST_P(KilledFleetTest, AReplicaThatIsKilledCostsNoJoin) {
  Start(3);
  Balance(GetParam(), Tls::kReEncrypted);
  Prepare();
  const seconds duration = HowLong(15);
  const auto load = StartLoad(duration);
  const auto ends = std::chrono::steady_clock::now() + duration;
  int kills = 0;
  while (std::chrono::steady_clock::now() + seconds(5) <= ends) {
    Replica& victim = replicas_[kills++ % replicas_.size()];
    const double before = GrantsOf(victim);
    ASSERT_TRUE(Eventually([&] { return GrantsOf(victim) > before || !load->running(); }));
    victim.server.process->Kill();
    std::this_thread::sleep_for(seconds(2));
    Restart(victim);
    std::this_thread::sleep_for(seconds(2));
  }
  const Json run = NoJoinFails(*load);
  EXPECT_GE(kills, 2);
  EXPECT_GE(run["joins"]["attempts"], run["joins"]["granted"]);
  RecordProperty("kills", kills);
}

INSTANTIATE_TEST_SUITE_P(Balancers, KilledFleetTest,
                         testing::Values(Balancer::kHaproxy, Balancer::kNginx),
                         [](const auto& info) {
                           return info.param == Balancer::kHaproxy ? "Haproxy" : "Nginx";
                         });

class GuardedFleetTest : public FleetTest, public testing::WithParamInterface<Balancer> {
 protected:
  void SetUp() override {
    Start(1);
    Balance(GetParam(), Tls::kReEncrypted);
  }
  // The status that a client that speaks HTTP/2 gets.
  std::string StatusOf(const std::string& path) {
    return world_
        .Try("/usr/bin/curl",
             {"-k", "-s", "--http2", "-o", "/dev/null", "-w", "%{http_code}", "-H",
              "content-type: application/grpc", "-d", "x", "https://" + listen_ + path})
        .out;
  }
  // Says this much over TLS, and waits for the other end to close.
  std::unique_ptr<Process> SlowClient(const std::string& name, const std::string& says) {
    WriteAll(world_.Path(name), says);
    return world_.Start("/usr/bin/openssl",
                        {"s_client", "-connect", listen_, "-alpn", "h2", "-quiet", "-ign_eof"},
                        world_.Path(name));
  }
};

TEST_P(GuardedFleetTest, OnlyKeyManagersMethodsAreBalanced) {
  EXPECT_EQ(StatusOf("/nark.v1.KeyManager/GetChallenge"), "200");
  for (const char* path : {"/", "/grpc.health.v1.Health/Check", "/nark.v1.KeyManagers/X",
                           "/nark.v1.SenderControl/IssueOrder"}) {
    EXPECT_EQ(StatusOf(path), "404") << path;
  }
}

TEST_P(GuardedFleetTest, SlowClientsAreDropped) {
  using namespace std::string_literals;
  const std::string preface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\4\0\0\0\0\0"s;
  const auto silent = SlowClient("silent", "");
  const auto idle = SlowClient("idle", preface);
  // Two bytes of a head of 64.
  const auto half = SlowClient("half", preface + "\0\0\x40\1\4\0\0\0\1aa"s);
  EXPECT_TRUE(Eventually([&] { return !silent->running() && !idle->running() && !half->running(); },
                         seconds(20)));
  EXPECT_EQ(StatusOf("/nark.v1.KeyManager/GetChallenge"), "200");
}

INSTANTIATE_TEST_SUITE_P(Balancers, GuardedFleetTest,
                         testing::Values(Balancer::kHaproxy, Balancer::kNginx),
                         [](const auto& info) {
                           return info.param == Balancer::kHaproxy ? "Haproxy" : "Nginx";
                         });

// It counts connections, of any client; nginx counts requests at work.
TEST_F(FleetTest, HaproxyHoldsSoManyConnectionsOfOneAddress) {
  Start(1);
  Balance(Balancer::kHaproxy, Tls::kReEncrypted);
  const auto curl = [&] {
    return world_.Try("/usr/bin/curl", {"-k", "-s", "https://" + listen_ + "/"}).status;
  };
  std::vector<net::Descriptor> held;
  const auto refused = [&] {
    for (const net::Descriptor& connection : held) {
      pollfd look{connection.fd(), POLLRDHUP, 0};
      if (poll(&look, 1, 0) > 0) return true;
    }
    return false;
  };
  // They say nothing, so HAProxy closes them after five seconds: a machine that took longer has
  // shown nothing, and begins anew.
  int status = 0;
  bool some_refused = false, in_time = false;
  for (int attempt = 0; attempt < 10 && !in_time; ++attempt) {
    held.clear();
    ASSERT_TRUE(Eventually([&] { return curl() == 0; }));
    const auto begin = std::chrono::steady_clock::now();
    for (int i = 0; i < 256; ++i) held.push_back(Connection());
    some_refused = refused();
    // Its threads take connections in no order: some of those held may still wait.
    do {
      status = curl();
      in_time = std::chrono::steady_clock::now() - begin < seconds(4);
    } while (status != 35 && in_time);
  }
  ASSERT_TRUE(in_time);
  EXPECT_EQ(status, 35);
  EXPECT_FALSE(some_refused);
  for (int i = 0; i < 8; ++i) held.push_back(Connection());
  EXPECT_TRUE(Eventually(refused, seconds(5)));
  held.clear();
  ASSERT_TRUE(Eventually([&] { return curl() == 0; }));
}

// One replica after the other is ended with SIGTERM and started anew.
TEST_F(FleetTest, ARollingUpgradeCostsNoJoin) {
  Start(3);
  Balance(Balancer::kHaproxy, Tls::kReEncrypted);
  Prepare();
  const auto load = StartLoad(HowLong(15));
  int upgrades = 0;
  while (load->running() && upgrades < 6) {
    Replica& next = replicas_[upgrades++ % replicas_.size()];
    const Outcome ended = next.server.process->Stop();
    EXPECT_EQ(ended.status, 0) << ended.ToString();
    Restart(next);
    const double before = GrantsOf(next);
    EXPECT_TRUE(Eventually([&] { return GrantsOf(next) > before || !load->running(); }));
  }
  NoJoinFails(*load);
  EXPECT_GE(upgrades, 3);
}

// Without a balancer: receivers know the replicas. Keys, certificates and lists are made anew
// twenty times, a bad list among them, and each replica takes over what is good.
TEST_F(FleetTest, TwentyRotationsCostNoJoin) {
  const std::string deny = world_.Path("deny.nark"), crl = world_.issuer() + "/crl.pem";
  const auto renew_lists = [&] {
    world_.Do("narkctl", {"issuer", "revoke", world_.issuer()});
    world_.Do("narkctl", {"provider", "deny", world_.provider(), "--out", deny});
  };
  renew_lists();
  Start(2, {"--deny", deny});
  session_ = world_.MakeSession({replicas_[0].server.listen, replicas_[1].server.listen}, {});
  Prepare();
  const auto load = StartLoad(seconds(600));
  const auto metric = [](const Replica& replica, const std::string& name) {
    return MetricOf(HttpGet(replica.server.http, "/metrics"), "nark_keymanager_" + name);
  };
  const auto reload = [&](double success) {
    for (Replica& replica : replicas_) {
      const std::string name = success == 1 ? "reloads_total" : "reload_failures_total";
      const double before = metric(replica, name);
      replica.server.process->Signal(SIGHUP);
      ASSERT_TRUE(Eventually([&] { return metric(replica, name) > before; }));
      EXPECT_EQ(metric(replica, "last_reload_success"), success);
    }
  };
  for (int rotation = 0; rotation < 20 && load->running(); ++rotation) {
    world_.Do("narkctl", {"pool", "rotate", world_.pool(), "--provider", world_.provider(),
                          "--challenges-after", "5s"});
    renew_lists();
    reload(1);
    if (rotation % 5 != 4) continue;
    const std::string good = ReadAll(crl);
    WriteAll(crl, "damaged");
    reload(0);
    WriteAll(crl, good);
    reload(1);
  }
  ASSERT_TRUE(load->running()) << load->err();
  // The last keys are in use.
  const double before = GrantsOf(replicas_[0]);
  ASSERT_TRUE(Eventually([&] { return GrantsOf(replicas_[0]) > before; }));
  load->Signal(SIGINT);
  const Outcome outcome = load->Wait();
  const Json run = Json::parse(outcome.out);
  EXPECT_EQ(run["joins"]["failed"], 0) << run;
  EXPECT_EQ(run["joins"]["granted"], run["joins"]["started"]) << run;
  EXPECT_GT(run["joins"]["granted"], 50) << run;
  RecordProperty("joins", run["joins"].dump());
  for (const Replica& replica : replicas_) {
    EXPECT_GE(metric(replica, "reload_failures_total"), 4);
    EXPECT_GE(metric(replica, "reloads_total"), 20);
  }
}

}  // namespace
}  // namespace nark::harness
