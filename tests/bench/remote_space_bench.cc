// Keys from a secure space that is a process of its own, over the framed protocol of its
// socket, beside a bare echo of as many bytes over such a socket, and beside the same
// secure space in this process. State is in memory: syncing is another figure. Medians of
// interleaved rounds.

#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "securespace/frame.h"
#include "securespace/hardening.h"
#include "securespace/messages.h"
#include "securespace/remote.h"
#include "securespace/socket_server.h"
#include "tests/bench/releases.h"

namespace nark::bench {
namespace {

constexpr int kRounds = 7;
constexpr size_t kCalls = 8192;  // one key each, a round

// Another process, for as long as this lives. `serve` is called in it, and does not
// return while it is wanted; once it calls `ready`, the constructor returns.
class Child {
 public:
  explicit Child(const std::function<void(const std::function<void()>& ready)>& serve) {
    int ends[2];
    if (pipe(ends) != 0) std::exit(1);
    pid_ = fork();
    if (pid_ == 0) {
      prctl(PR_SET_PDEATHSIG, SIGKILL);
      serve([&] { (void)!write(ends[1], "x", 1); });
      _exit(0);
    }
    close(ends[1]);
    char byte = 0;
    if (read(ends[0], &byte, 1) != 1) Must(absl::InternalError("the other process ended"));
    close(ends[0]);
  }
  ~Child() {
    kill(pid_, SIGKILL);
    waitpid(pid_, nullptr, 0);
  }
  Child(const Child&) = delete;
  Child& operator=(const Child&) = delete;

 private:
  pid_t pid_ = -1;
};

// As nark-securespace serves.
void Serve(Releases& releases, const std::string& socket, const std::function<void()>& ready) {
  Must(securespace::KeepMemoryPrivate());
  MemoryStorage storage;
  releases.Begin(storage);
  auto server = Must(securespace::SocketServer::Start(releases.world().space(), socket));
  Must(securespace::ConfineSystemCalls(securespace::UnixSockets::kAreCalled));
  ready();
  while (true) poll(nullptr, 0, -1);
}

bool ReadAll(int fd, Bytes& bytes) {
  for (size_t got = 0; got < bytes.size();) {
    const ssize_t now = recv(fd, bytes.data() + got, bytes.size() - got, 0);
    if (now <= 0) return false;
    got += static_cast<size_t>(now);
  }
  return true;
}

// Seconds of each round trip of a request and an answer between two processes that do
// nothing else.
std::vector<double> Echo(size_t request_bytes, size_t answer_bytes) {
  int ends[2];
  if (socketpair(AF_UNIX, SOCK_STREAM, 0, ends) != 0) std::exit(1);
  const Child child([&](const std::function<void()>& ready) {
    Bytes request(request_bytes), answer(answer_bytes);
    ready();
    while (ReadAll(ends[1], request)) (void)!send(ends[1], answer.data(), answer.size(), 0);
  });
  Bytes request(request_bytes), answer(answer_bytes);
  std::vector<double> seconds;
  for (size_t call = 0; call < kCalls; ++call) {
    seconds.push_back(SecondsOf(
        [&] {
          (void)!send(ends[0], request.data(), request.size(), 0);
          if (!ReadAll(ends[0], answer)) std::exit(1);
        },
        CLOCK_MONOTONIC));
  }
  close(ends[0]);
  close(ends[1]);
  return seconds;
}

struct Rounds {
  std::vector<double> median, p99;
  void Add(const std::vector<double>& seconds) {
    median.push_back(1e6 * Quantile(seconds, 0.5));
    p99.push_back(1e6 * Quantile(seconds, 0.99));
  }
};

void Print(const char* figure, double value, double limit, const char* unit, const char* limit_is,
           const std::string& detail) {
  std::printf(
      "{\"figure\":\"%s\",\"value\":%.1f,\"limit\":%.1f,\"ratio\":%.3f,\"unit\":\"%s\","
      "\"limit_is\":\"%s\",\"detail\":{%s}}\n",
      figure, value, limit, value / limit, unit, limit_is, detail.c_str());
}

// One key a call.
void Single(Releases& releases, const std::string& socket) {
  const std::vector<Bytes> headers(releases.batched().begin(), releases.batched().begin() + kCalls);
  const securespace::ReleaseRequest one{releases.world().session.name(), 0, {headers.front()}};
  std::vector<securespace::KeyDecision> decision(1);
  decision[0].data_key = SecretBytes(16);
  const size_t request_bytes = securespace::FrameRelease(one).size();
  const size_t answer_bytes = securespace::FrameDecisions(decision).size();
  Rounds calls, echoes;
  for (int round = 0; round < kRounds; ++round) {
    const Child child([&](const auto& ready) { Serve(releases, socket, ready); });
    const auto space = Must(securespace::ConnectSecureSpace(socket));
    calls.Add(releases.Release(*space, headers, 1, CLOCK_MONOTONIC));
    echoes.Add(Echo(request_bytes, answer_bytes));
  }
  char detail[120];
  std::snprintf(detail, sizeof detail, "\"median us\":%.1f,\"echo median us\":%.1f",
                Median(calls.median), Median(echoes.median));
  Print("process single p99", Median(calls.p99), Median(echoes.p99), "us",
        "a bare echo of as many bytes over a Unix socket", detail);
}

// Lists of kList, one after the other.
void Batched(Releases& releases, const std::string& socket) {
  std::vector<double> values, limits, lists;
  for (int round = 0; round < kRounds; ++round) {
    const double keys = static_cast<double>(releases.batched().size());
    {
      const Child child([&](const auto& ready) { Serve(releases, socket, ready); });
      const auto space = Must(securespace::ConnectSecureSpace(socket));
      const auto seconds = releases.Release(*space, releases.batched(), kList, CLOCK_MONOTONIC);
      lists.insert(lists.end(), seconds.begin(), seconds.end());
      values.push_back(keys / Sum(seconds));
    }
    MemoryStorage storage;
    limits.push_back(keys / Sum(releases.Release(storage, releases.batched(), CLOCK_MONOTONIC)));
  }
  char detail[120];
  std::snprintf(detail, sizeof detail, "\"median ms a list\":%.3f,\"p99 ms a list\":%.3f",
                1e3 * Median(lists), 1e3 * Quantile(lists, 0.99));
  Print("process batched", Median(values), Median(limits), "keys/s",
        "the same lists in this process", detail);
}

void Run() {
  char path[] = "/tmp/nark-bench-XXXXXX";
  const std::string folder = mkdtemp(path);
  const std::string socket = folder + "/socket";
  Releases releases;
  Single(releases, socket);
  Batched(releases, socket);
  std::filesystem::remove_all(folder);
}

}  // namespace
}  // namespace nark::bench

int main() {
  nark::bench::Run();
  return 0;
}
