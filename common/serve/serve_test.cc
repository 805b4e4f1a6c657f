#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <httplib.h>
#include <poll.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <atomic>
#include <cstdlib>
#include <filesystem>
#include <string>
#include <thread>
#include <vector>

#include "common/base/storage.h"
#include "common/net/descriptor.h"
#include "common/serve/http.h"
#include "common/serve/http_get.h"
#include "common/serve/metrics.h"
#include "common/serve/process.h"
#include "common/serve/ready_file.h"
#include "common/serve/shutdown.h"

namespace nark::serve {
namespace {

using std::chrono::milliseconds;

TEST(MetricsTest, CountsByLabel) {
  Metrics metrics;
  Counter& good = metrics.AddCounter("things_total", "Things.", {{"kind", "good"}});
  Counter& bad = metrics.AddCounter("things_total", "Things.", {{"kind", "bad"}});
  good.Increment();
  good.Add(2);
  bad.Increment();
  metrics.AddGauge("level", "Level.").Set(2.5);
  metrics.AddHistogram("took_seconds", "Time.", {0.1, 1}).Observe(0.5);
  const std::string text = metrics.Exposition();
  EXPECT_NE(text.find("# TYPE things_total counter"), std::string::npos) << text;
  EXPECT_NE(text.find("things_total{kind=\"good\"} 3"), std::string::npos) << text;
  EXPECT_NE(text.find("things_total{kind=\"bad\"} 1"), std::string::npos) << text;
  EXPECT_NE(text.find("level 2.5"), std::string::npos) << text;
  EXPECT_NE(text.find("took_seconds_bucket{le=\"0.1\"} 0"), std::string::npos) << text;
  EXPECT_NE(text.find("took_seconds_bucket{le=\"1\"} 1"), std::string::npos) << text;
  EXPECT_EQ(good.value(), 3);
}

TEST(MetricsTest, TheSameNameAndLabelsAreTheSameObject) {
  Metrics metrics;
  Counter& one = metrics.AddCounter("things_total", "Things.", {{"kind", "good"}});
  Counter& two = metrics.AddCounter("things_total", "Things.", {{"kind", "good"}});
  EXPECT_EQ(&one, &two);
}

TEST(MetricsTest, CollectsBeforeItShows) {
  Metrics metrics;
  Gauge& gauge = metrics.AddGauge("level", "Level.");
  int calls = 0;
  metrics.OnCollect([&] { gauge.Set(++calls); });
  EXPECT_NE(metrics.Exposition().find("level 1\n"), std::string::npos);
  EXPECT_NE(metrics.Exposition().find("level 2\n"), std::string::npos);
}

class HttpTest : public testing::Test {
 protected:
  void Start(HttpOptions options) {
    options.listen = "127.0.0.1:0";
    auto server = HttpServer::Start(std::move(options), &metrics_);
    ASSERT_TRUE(server.ok()) << server.status();
    server_ = *std::move(server);
  }
  httplib::Result Get(const std::string& path) {
    return httplib::Client("http://" + server_->address()).Get(path);
  }
  net::Descriptor Connection() {
    net::Descriptor connection(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    address.sin_port =
        htons(static_cast<uint16_t>(std::stoi(server_->address().substr(sizeof "127.0.0.1"))));
    EXPECT_EQ(connect(connection.fd(), reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
    return connection;
  }
  std::vector<net::Descriptor> UnfinishedHeads(int count) {
    constexpr std::string_view kHead = "GET /livez HTTP/1.1\r\nHost";
    std::vector<net::Descriptor> connections;
    for (int i = 0; i < count; ++i) {
      connections.push_back(Connection());
      // Who is turned away may be so before.
      (void)!send(connections.back().fd(), kHead.data(), kHead.size(), MSG_NOSIGNAL);
    }
    return connections;
  }
  Metrics metrics_;
  std::unique_ptr<HttpServer> server_;
};

TEST_F(HttpTest, ShowsMetricsAndHealth) {
  metrics_.AddCounter("things_total", "Things.").Increment();
  std::atomic<bool> ready = false;
  HttpOptions options;
  options.program = "nark-test";
  options.version = "1.2.3";
  options.ready = [&] {
    return ready ? absl::OkStatus() : absl::UnavailableError("the lists have expired");
  };
  options.state = [] {
    return std::vector<std::pair<std::string, std::string>>{{"title", "<b>&\"x\""}};
  };
  Start(std::move(options));
  auto response = Get("/metrics");
  ASSERT_TRUE(response);
  EXPECT_EQ(response->status, 200);
  EXPECT_NE(response->body.find("things_total 1"), std::string::npos);
  response = Get("/livez");
  ASSERT_TRUE(response);
  EXPECT_EQ(response->status, 200);
  response = Get("/readyz");
  ASSERT_TRUE(response);
  EXPECT_EQ(response->status, 503);
  EXPECT_EQ(response->body, "the lists have expired\n");
  ready = true;
  response = Get("/readyz");
  ASSERT_TRUE(response);
  EXPECT_EQ(response->status, 200);
  server_->SetDraining();
  response = Get("/readyz");
  ASSERT_TRUE(response);
  EXPECT_EQ(response->status, 503);
  response = Get("/");
  ASSERT_TRUE(response);
  EXPECT_EQ(response->status, 200);
  EXPECT_NE(response->body.find("nark-test"), std::string::npos);
  EXPECT_NE(response->body.find("1.2.3"), std::string::npos);
  EXPECT_NE(response->body.find("&lt;b&gt;&amp;&quot;x&quot;"), std::string::npos);
  EXPECT_EQ(response->body.find("<b>"), std::string::npos);
  response = Get("/nothing");
  ASSERT_TRUE(response);
  EXPECT_EQ(response->status, 404);
}

TEST_F(HttpTest, WhatItShowsCanBeRead) {
  metrics_.AddCounter("things_total", "Things.").Increment();
  HttpOptions options;
  options.ready = [] { return absl::UnavailableError("not yet"); };
  Start(std::move(options));
  const auto metrics = HttpGet(server_->address(), "/metrics", std::chrono::seconds(5));
  ASSERT_TRUE(metrics.ok()) << metrics.status();
  EXPECT_NE(metrics->find("things_total 1"), std::string::npos);
  const auto unready = HttpGet(server_->address(), "/readyz", std::chrono::seconds(5)).status();
  EXPECT_EQ(unready.code(), absl::StatusCode::kUnavailable);
  EXPECT_NE(unready.message().find("503"), std::string::npos) << unready;
  const std::string address = server_->address();
  server_.reset();
  const auto gone = HttpGet(address, "/metrics", std::chrono::seconds(5)).status();
  EXPECT_EQ(gone.code(), absl::StatusCode::kUnavailable);
  EXPECT_NE(gone.message().find(address), std::string::npos) << gone;
  EXPECT_EQ(HttpGet("no address", "/", std::chrono::seconds(5)).status().code(),
            absl::StatusCode::kInvalidArgument);
}

TEST_F(HttpTest, APortInUseIsRefusedWithItsCause) {
  Start({});
  HttpOptions options;
  options.listen = server_->address();
  const auto status = HttpServer::Start(options, &metrics_).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kUnavailable);
  EXPECT_EQ(status.message(), server_->address() + ": Address already in use");
}

TEST_F(HttpTest, HoldsNoEndlessRequest) {
  Start({});
  const net::Descriptor connection = Connection();
  const std::string piece(1 << 20, 'x');
  int pieces = 0;
  while (pieces < 128 && send(connection.fd(), piece.data(), piece.size(), MSG_NOSIGNAL) > 0) {
    ++pieces;
  }
  EXPECT_LT(pieces, 128);
  EXPECT_EQ(Get("/livez")->status, 200);
}

TEST_F(HttpTest, UnfinishedHeadsHoldUpNobodyForLong) {
  Start({});
  const std::vector<net::Descriptor> slow = UnfinishedHeads(12);
  const auto asked = std::chrono::steady_clock::now();
  const auto response = Get("/livez");
  ASSERT_TRUE(response);
  EXPECT_EQ(response->status, 200);
  EXPECT_LT(std::chrono::steady_clock::now() - asked, std::chrono::seconds(2));
}

// 64 wait behind those that the threads serve; the next ones are closed at once, and none of
// these stands in the way of who comes later.
TEST_F(HttpTest, TurnsAwayWhoFindsTheLineFull) {
  Start({});
  const auto asked = std::chrono::steady_clock::now();
  std::vector<net::Descriptor> slow = UnfinishedHeads(100);
  pollfd last{slow.back().fd(), POLLIN, 0};
  ASSERT_EQ(poll(&last, 1, 10'000), 1);
  EXPECT_LT(std::chrono::steady_clock::now() - asked, std::chrono::seconds(4));
  slow.clear();
  bool served = false;
  while (!served && std::chrono::steady_clock::now() - asked < std::chrono::seconds(30)) {
    const auto response = Get("/livez");
    served = response && response->status == 200;
  }
  EXPECT_TRUE(served);
}

TEST_F(HttpTest, RefusesAddressesThatAreNone) {
  for (const char* listen : {"", "host", ":80", "host:x", "host:70000"}) {
    HttpOptions options;
    options.listen = listen;
    EXPECT_EQ(HttpServer::Start(options, &metrics_).status().code(),
              absl::StatusCode::kInvalidArgument)
        << listen;
  }
}

TEST(ReadyFileTest, SaysWhere) {
  const std::string path = testing::TempDir() + "/ready.json";
  ASSERT_TRUE(AnnounceReady(path, {{"listen", "127.0.0.1:1"}, {"http", "[::1]:2"}}).ok());
  const auto content = ReadFile(path);
  ASSERT_TRUE(content.ok());
  EXPECT_EQ(AsText(*content), "{\"listen\":\"127.0.0.1:1\",\"http\":\"[::1]:2\"}\n");
  EXPECT_TRUE(AnnounceReady("", {{"listen", "x"}}).ok());
  EXPECT_FALSE(AnnounceReady("/nowhere/ready.json", {}).ok());
}

TEST(SignalsTest, AreWaitedFor) {
  const auto signals = Signals::Take();
  ASSERT_TRUE(signals.ok()) << signals.status();
  EXPECT_EQ((*signals)->Next(milliseconds(0)), std::nullopt);
  kill(getpid(), SIGHUP);
  EXPECT_EQ((*signals)->Next(milliseconds(-1)), Signals::Event::kReload);
  kill(getpid(), SIGTERM);
  EXPECT_EQ((*signals)->Next(milliseconds(-1)), Signals::Event::kShutdown);
  kill(getpid(), SIGINT);
  EXPECT_EQ((*signals)->Next(milliseconds(5000)), Signals::Event::kShutdown);
  EXPECT_EQ((*signals)->Next(milliseconds(1)), std::nullopt);
}

TEST(ProcessTest, RaisesTheFileLimit) { EXPECT_GE(RaiseFileLimit(), 64u); }

// The other end of sd_notify(3).
class Supervisor {
 public:
  Supervisor() {
    // A test's own folder may lie deeper than a socket's path may be long.
    char pattern[] = "/tmp/nark-notify-XXXXXX";
    folder_ = mkdtemp(pattern);
    path_ = folder_ + "/socket";
    fd_ = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    path_.copy(address.sun_path, sizeof address.sun_path - 1);
    EXPECT_EQ(bind(fd_, reinterpret_cast<sockaddr*>(&address), sizeof address), 0) << path_;
    setenv("NOTIFY_SOCKET", path_.c_str(), 1);
    setenv("WATCHDOG_USEC", "20000", 1);
    setenv("WATCHDOG_PID", std::to_string(getpid()).c_str(), 1);
  }
  ~Supervisor() {
    for (const char* name : {"NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID"}) unsetenv(name);
    close(fd_);
    std::filesystem::remove_all(folder_);
  }
  // What has been said so far.
  std::vector<std::string> Heard() {
    std::vector<std::string> heard;
    char text[512];
    for (ssize_t got; (got = recv(fd_, text, sizeof text, MSG_DONTWAIT)) > 0;) {
      heard.emplace_back(text, static_cast<size_t>(got));
    }
    return heard;
  }

 private:
  std::string folder_, path_;
  int fd_;
};

TEST(SignalsTest, TellsSystemdThatTheServiceIsReadyAliveAndEnding) {
  Supervisor supervisor;
  const auto signals = Signals::Take();
  ASSERT_TRUE(signals.ok()) << signals.status();
  ASSERT_TRUE(AnnounceReady("", {{"listen", "127.0.0.1:1"}}).ok());
  EXPECT_EQ(supervisor.Heard(),
            std::vector<std::string>{"READY=1\nSTATUS=serving listen 127.0.0.1:1"});
  // A wait that is longer than the watchdog's patience is no silence.
  EXPECT_EQ((*signals)->Next(milliseconds(100)), std::nullopt);
  const std::vector<std::string> beats = supervisor.Heard();
  EXPECT_GE(beats.size(), 3u);
  for (const std::string& beat : beats) EXPECT_EQ(beat, "WATCHDOG=1");
  EXPECT_LE((*signals)->Beat(), milliseconds(10));
  kill(getpid(), SIGTERM);
  EXPECT_EQ((*signals)->Next(milliseconds(-1)), Signals::Event::kShutdown);
  EXPECT_EQ(supervisor.Heard().back(), "STOPPING=1");
}

TEST(SignalsTest, WithoutAWatchdogNothingWakes) {
  const auto signals = Signals::Take();
  ASSERT_TRUE(signals.ok()) << signals.status();
  EXPECT_EQ((*signals)->Beat(), milliseconds::max());
}

TEST(ProcessMetricsTest, TellsOfThisProcess) {
  Metrics metrics;
  auto server = HttpServer::Start(
      {.listen = "127.0.0.1:0", .program = "p", .version = "1", .state = nullptr, .ready = nullptr},
      &metrics);
  ASSERT_TRUE(server.ok()) << server.status();
  const auto value = [&](const std::string& name) {
    const std::string text = metrics.Exposition();
    const size_t at = text.find("\n" + name + " ");
    EXPECT_NE(at, std::string::npos) << name << " in\n" << text;
    return at == std::string::npos ? 0 : std::stod(text.substr(at + name.size() + 2));
  };
  EXPECT_GT(value("process_resident_memory_bytes"), 1e6);
  const double open = value("process_open_fds");
  EXPECT_GT(open, 3);
  EXPECT_LT(open, value("process_max_fds"));
  const auto now =
      std::chrono::duration<double>(std::chrono::system_clock::now().time_since_epoch());
  EXPECT_NEAR(value("process_start_time_seconds"), now.count(), 3600);
  const double before = value("process_cpu_seconds_total");
  // Reading it takes time itself.
  for (int i = 0; i < 100'000 && value("process_cpu_seconds_total") <= before; ++i) {
  }
  EXPECT_GT(value("process_cpu_seconds_total"), before);
}

}  // namespace
}  // namespace nark::serve
