// What others notice of a flood: the 99th percentile of joins at a steady rate while peers
// take all connections and say little, beside the same without them, and how long after the
// flood a stranger is served again as before. The replica runs on core 0, the flood and the
// viewers on the last one. Medians of interleaved rounds. One JSON line a figure.

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/resource.h>
#include <sys/socket.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <functional>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <thread>
#include <vector>

#include "common/net/descriptor.h"
#include "tests/bench/join_load.h"
#include "tests/harness/world.h"

namespace nark::bench {
namespace {

using Json = nlohmann::json;
using std::chrono::milliseconds;
using std::chrono::steady_clock;

constexpr int kRounds = 5;
// The first bytes of a TLS record that announces a handshake of 512 bytes.
constexpr char kHalfAHello[] = {0x16, 0x03, 0x01, 0x02, 0x00, 0x01};

// Peers that begin a handshake and go no further, and come again within a second of being
// closed.
class Flood {
 public:
  Flood(const std::string& address, size_t peers) : peers_(peers) {
    to_.sin_family = AF_INET;
    to_.sin_port = htons(static_cast<uint16_t>(std::stoi(address.substr(address.find(':') + 1))));
    to_.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    thread_ = std::thread([this] { Run(); });
  }
  ~Flood() {
    stop_ = true;
    thread_.join();
  }
  // Every peer has tried once.
  void AwaitAll() const {
    while (begun_ < peers_.size()) std::this_thread::sleep_for(milliseconds(1));
  }

 private:
  static constexpr size_t kTurns = 20;

  void Begin(net::Descriptor& peer) {
    peer = net::Descriptor(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
    if (peer.fd() < 0) Die("no descriptors for the flood");
    [[maybe_unused]] const int connected =
        ::connect(peer.fd(), reinterpret_cast<sockaddr*>(&to_), sizeof to_);
    // Loopback connects at once while there is room in the backlog, else it is tried again.
    [[maybe_unused]] const auto sent =
        ::send(peer.fd(), kHalfAHello, sizeof kHalfAHello, MSG_NOSIGNAL);
    ++begun_;
  }
  void Run() {
    for (net::Descriptor& peer : peers_) {
      if (stop_) return;
      Begin(peer);
    }
    // A twentieth of them is looked at every 50 ms.
    for (size_t turn = 0; !stop_; ++turn) {
      for (size_t i = turn % kTurns; i < peers_.size() && !stop_; i += kTurns) {
        pollfd polled = {peers_[i].fd(), POLLRDHUP, 0};
        if (::poll(&polled, 1, 0) > 0) Begin(peers_[i]);
      }
      std::this_thread::sleep_for(milliseconds(1000 / kTurns));
    }
  }

  sockaddr_in to_{};
  std::vector<net::Descriptor> peers_;
  std::atomic<bool> stop_{false};
  std::atomic<size_t> begun_{0};
  std::thread thread_;
};

// One replica with so many places, and so many peers that flood it.
class Bench {
 public:
  Bench(const std::string& name, size_t connections, size_t peers)
      : name_(name), connections_(connections), peers_(peers) {
    RunOnCore(0);  // inherited
    replica_ = world_.StartKeyManager(
        {"--connections", std::to_string(connections), "--log-level", "warning"});
    RunOnCore(LastCore());
    session_ = world_.MakeSession({replica_.listen}, {});
    world_.Do("nark-load",
              {"prepare", "--issuer", world_.issuer(), "--provider", world_.provider(), "--session",
               session_.session, "--viewers", "2000", "--range", "1000-90000", "--out", load_});
  }

  void Run() {
    for (int round = -1; round < kRounds; ++round) {
      const double warm = WarmP99();
      const Json cold = Cold("4s");
      const double warm_flooded = WarmP99([this] { Begin(); });
      const Json cold_flooded = Cold("4s");
      flood_.reset();
      const double recovery = SecondsUntilServedAgain(cold["latency_ms"]["p99"]);
      if (round < 0) continue;
      warm_.Add(warm, warm_flooded);
      cold_.Add(cold["latency_ms"]["p99"], cold_flooded["latency_ms"]["p99"]);
      offered_ += cold_flooded["joins"]["offered"].get<double>();
      granted_ += cold_flooded["joins"]["granted"].get<double>();
      attempts_ += cold_flooded["joins"]["attempts"].get<double>();
      recovery_.push_back(recovery);
    }
    Print("who is connected", warm_);
    Print("strangers", cold_);
    std::printf(
        "{\"figure\":\"%s: strangers served\",\"value\":%.4f,\"unit\":\"of joins\","
        "\"detail\":{\"joins\":%.0f,\"attempts\":%.0f}}\n",
        name_.c_str(), granted_ / offered_, offered_, attempts_);
    std::printf(
        "{\"figure\":\"%s: service after\",\"value\":%.3f,\"unit\":\"s\",\"detail\":{"
        "\"longest\":%.3f}}\n",
        name_.c_str(), Median(recovery_), *std::max_element(recovery_.begin(), recovery_.end()));
    std::fflush(stdout);
  }

 private:
  struct Series {
    void Add(double without, double with) {
      quiet.push_back(without);
      flooded.push_back(with);
    }
    std::vector<double> quiet, flooded;
  };

  void Begin() {
    flood_ = std::make_unique<Flood>(replica_.listen, peers_);
    flood_->AwaitAll();
  }
  std::unique_ptr<harness::Process> Load(const std::string& connect, const std::string& rate,
                                         const std::string& duration) {
    return world_.Start("nark-load",
                        {"run", "--load", load_, "--session", session_.session, "--spacing", "even",
                         "--connect", connect, "--duration", duration, "--rate", rate,
                         "--check-grants", "0", "--json", "--allow-failures"});
  }
  static Json Finish(harness::Process& load) {
    const harness::Outcome outcome = load.Wait();
    if (outcome.status != 0) Die(outcome.ToString());
    return Json::parse(outcome.out);
  }
  double Grants() {
    return harness::MetricOf(harness::HttpGet(replica_.http, "/metrics"),
                             "nark_keymanager_grants_total");
  }

  // `meanwhile` is done once joins are under way, so that its first moments count too.
  double WarmP99(const std::function<void()>& meanwhile = nullptr) {
    const double before = Grants();
    const auto load = Load("warm", "200", "7s");
    if (!harness::Eventually([&] { return Grants() > before + 10; })) Die("no grants");
    if (meanwhile) meanwhile();
    const Json run = Finish(*load);
    if (run["joins"]["failed"] != 0) Die("joins failed: " + run.dump());
    return run["latency_ms"]["p99"];
  }
  Json Cold(const std::string& duration) { return Finish(*Load("cold", "60", duration)); }

  // From the end of the flood to when strangers (a dozen in 200 ms) are served as before.
  double SecondsUntilServedAgain(double quiet_p99) {
    const auto end = steady_clock::now();
    for (;;) {
      const double begun = std::chrono::duration<double>(steady_clock::now() - end).count();
      const Json run = Cold("200ms");
      if (run["joins"]["failed"] == 0 && run["latency_ms"]["p90"] <= 2 * quiet_p99) return begun;
      if (begun > 60) Die("no service a minute after the flood");
    }
  }

  void Print(const char* whose, const Series& series) {
    const double before = Median(series.quiet), during = Median(series.flooded);
    std::printf(
        "{\"figure\":\"%s: p99 of %s\",\"value\":%.2f,\"limit\":%.2f,\"ratio\":%.3f,"
        "\"unit\":\"ms\",\"limit_is\":\"the same without the flood\",\"detail\":{\"peers\":%zu,"
        "\"connections\":%zu}}\n",
        name_.c_str(), whose, during, before, during / before, peers_, connections_);
  }

  const std::string name_;
  const size_t connections_, peers_;
  harness::World world_;
  harness::Server replica_;
  harness::SessionFiles session_;
  const std::string load_ = world_.Path("viewers.load");
  std::unique_ptr<Flood> flood_;
  Series warm_, cold_;
  std::vector<double> recovery_;
  double offered_ = 0, granted_ = 0, attempts_ = 0;
};

int Run() {
  // Where the harness looks for programs: beside this one.
  const std::filesystem::path programs = Self().parent_path().parent_path().parent_path();
  setenv("TEST_SRCDIR", programs.parent_path().c_str(), 1);
  setenv("TEST_WORKSPACE", programs.filename().c_str(), 1);
  rlimit files{};
  getrlimit(RLIMIT_NOFILE, &files);
  files.rlim_cur = files.rlim_max;
  setrlimit(RLIMIT_NOFILE, &files);
  Bench("1,000 slow peers", 4096, 1000).Run();
  Bench("1,500 peers for 500 places", 500, 1500).Run();
  return 0;
}

}  // namespace
}  // namespace nark::bench

int main() { return nark::bench::Run(); }
