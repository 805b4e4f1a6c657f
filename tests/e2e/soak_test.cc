// Servers at work for a while: what each has of memory, descriptors and threads stays what it
// was. NARK_SOAK_SECONDS says for how long.

#include <gtest/gtest.h>
#include <signal.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "common/base/sanitized.h"
#include "tests/harness/growth.h"
#include "tests/harness/process.h"
#include "tests/harness/process_memory.h"
#include "tests/harness/usage.h"
#include "tests/harness/world.h"

namespace nark::harness {
namespace {

using Json = nlohmann::json;
using std::chrono::milliseconds;
using std::chrono::seconds;
using std::chrono::steady_clock;

// What is freed is kept for a while in a sanitized build; leaks it tells itself.
constexpr bool kCountsBytes = !kSanitized;

// What a server may come to have more while it is watched. A join or an ADU may cost half of
// the smallest leak that there could be, a digest and its place in a table; in a short run an
// allocator that still finds its size is more than that.
constexpr double kBytesOfWork = 100;
constexpr double kBytesAtLeast = 3 << 19;
// gRPC takes some more of each where a machine is busy.
constexpr double kDescriptors = 8;
constexpr double kThreads = 8;

seconds HowLong() {
  const char* text = std::getenv("NARK_SOAK_SECONDS");
  return seconds(text == nullptr ? 24 : std::max(24, std::atoi(text)));
}

// A server that is watched.
class Watched {
 public:
  // `work`: how many of `unit` it has done so far.
  Watched(std::string name, std::string unit, pid_t pid, std::function<double()> work)
      : name_(std::move(name)), unit_(std::move(unit)), pid_(pid), work_(std::move(work)) {}

  void Read() {
    const double work = work_();
    const Usage usage = UsageOf(pid_);
    bytes_.push_back({work, static_cast<double>(usage.anonymous_bytes)});
    resident_.push_back({work, static_cast<double>(usage.resident_bytes)});
    descriptors_.push_back({work, static_cast<double>(usage.descriptors)});
    threads_.push_back({work, static_cast<double>(usage.threads)});
  }

  void Judge(double least_work) const {
    const Growth bytes = GrowthOf(bytes_), resident = GrowthOf(resident_),
                 descriptors = GrowthOf(descriptors_), threads = GrowthOf(threads_);
    const double allowed = std::max(kBytesAtLeast, kBytesOfWork * bytes.work);
    char line[400];
    std::snprintf(
        line, sizeof line,
        "%.0f %s: anonymous memory %.0f to %.0f KiB, %+.1f bytes each (of %.0f allowed); resident "
        "%.0f to %.0f KiB; descriptors %.0f to %.0f; threads %.0f to %.0f",
        bytes.work, unit_.c_str(), bytes.start / 1024, bytes.end / 1024, bytes.per_work,
        allowed / bytes.work, resident.start / 1024, resident.end / 1024, descriptors.start,
        descriptors.end, threads.start, threads.end);
    testing::Test::RecordProperty(name_, line);
    std::printf("%s: %s\n", name_.c_str(), line);
    EXPECT_GE(bytes.work, least_work) << name_ << " had little to do";
    if (kCountsBytes) {
      EXPECT_LE(bytes.total(), allowed) << name_;
      EXPECT_LE(bytes.end - bytes.start, allowed) << name_;
    }
    EXPECT_LE(descriptors.total(), kDescriptors) << name_;
    EXPECT_LE(descriptors.end - descriptors.start, kDescriptors) << name_;
    EXPECT_LE(threads.total(), kThreads) << name_;
    EXPECT_LE(threads.end - threads.start, kThreads) << name_;
  }

 private:
  std::string name_;
  std::string unit_;
  pid_t pid_;
  std::function<double()> work_;
  std::vector<Reading> bytes_, resident_, descriptors_, threads_;
};

class SoakTest : public testing::Test {
 protected:
  SoakTest() {
    RenewLists();
    replica_ = StartOwned("nark-keymanager",
                          {"--pool", world_.pool(), "--issuer", world_.issuer() + "/issuer.pem",
                           "--crl", crl_, "--deny", deny_, "--listen", "127.0.0.1:0", "--http",
                           "127.0.0.1:0", "--log-level", "warning"});
    session_ = world_.MakeSession(
        {replica_.listen}, {"--adu", "4KiB", "--price-per-adu", "0.05", "--currency", "EUR"});
  }

  // One whose memory and descriptors can be looked at.
  Server StartOwned(const std::string& program, const Words& arguments) {
    return world_.StartServer("unshare", Owned(program, arguments));
  }
  void RenewLists() {
    world_.Do("narkctl", {"issuer", "revoke", world_.issuer()});
    world_.Do("narkctl", {"provider", "deny", world_.provider(), "--out", deny_});
  }

  Server StartReceiver() {
    Words words = world_.JoinArguments(
        session_, space_, world_.MakeVoucher(session_, space_.id, "0-9999999"), "/dev/null");
    words.insert(words.end(), {"--http", "127.0.0.1:0"});
    return StartOwned("nark-receiver", words);
  }
  Server StartSender() {
    const std::string ready_file = world_.NewPath("ready");
    Server sender;
    sender.process = world_.Start(
        "unshare",
        Owned("nark-sender", {"--session", session_.sender, "--input", "-", "--pace", "8M",
                              "--http", "127.0.0.1:0", "--ready-file", ready_file}),
        "/dev/urandom");
    EXPECT_TRUE(Eventually([&] { return !ReadAll(ready_file).empty(); })) << sender.process->err();
    sender.http = JsonField(ReadAll(ready_file), "http");
    return sender;
  }
  Server StartDesk() {
    return StartOwned(
        "nark-refunds",
        {"--provider", world_.provider(), "--issuer", world_.issuer() + "/issuer.pem", "--ledger",
         "sqlite:" + world_.Path("ledger.db"), "--listen", "127.0.0.1:0", "--http", "127.0.0.1:0"});
  }

  // Joins at a rate, of secure spaces that `issuer` certified, until it is told to end.
  std::unique_ptr<Process> Join(const std::string& issuer, int viewers, const std::string& rate,
                                const Words& more) {
    const std::string load = world_.NewPath("load");
    world_.Do("nark-load", {"prepare", "--issuer", issuer, "--provider", world_.provider(),
                            "--session", session_.session, "--viewers", std::to_string(viewers),
                            "--range", "1000-90000", "--out", load});
    Words arguments = {
        "run",        "--load",  load,     "--session", session_.session, "--rate",          rate,
        "--duration", "100000s", "--seed", "7",         "--json",         "--allow-failures"};
    arguments.insert(arguments.end(), more.begin(), more.end());
    return world_.Start("nark-load", arguments);
  }
  // The same, as fast as may be, until the replica has given so many grants.
  std::unique_ptr<Process> JoinUntil(double grants, int viewers) {
    auto load = Join(world_.issuer(), viewers, "300", {"--connections", "4"});
    EXPECT_TRUE(Eventually(
        [&] { return Metric(replica_, "nark_keymanager_grants_total") >= grants; }, seconds(300)));
    return load;
  }
  static Json End(Process& load) {
    load.Signal(SIGINT);
    return Json::parse(load.Wait().out);
  }

  // What an operator does: lists renewed, damaged and mended, keys rotated.
  void Operate() {
    RenewLists();
    Reload("reloads_total");
    const std::string good = ReadAll(crl_);
    WriteAll(crl_, "damaged");
    Reload("reload_failures_total");
    WriteAll(crl_, good);
    Reload("reloads_total");
    if (++operations_ % 4 == 0) {
      world_.Do("narkctl", {"pool", "rotate", world_.pool(), "--provider", world_.provider(),
                            "--challenges-after", "5s"});
      Reload("reloads_total");
    }
  }
  void Reload(const std::string& counter) {
    const double before = Metric(replica_, "nark_keymanager_" + counter);
    replica_.process->Signal(SIGHUP);
    EXPECT_TRUE(
        Eventually([&] { return Metric(replica_, "nark_keymanager_" + counter) > before; }));
  }
  // Notes of a viewer who bought and was served nothing, the same twice; how many.
  int AskForRefunds(const Server& desk) {
    const SecureSpaceFolder space = world_.MakeSecureSpace();
    const std::string voucher = world_.MakeVoucher(session_, space.id, "0-9");
    const std::string note = world_.NewPath("note");
    world_.Do("nark-receiver", {"note", session_.session, "--secure-space", space.folder, "--final",
                                "--voucher", voucher, "--out", note});
    for (int i = 0; i < 2; ++i) {
      world_.Do("nark-receiver", {"refund", note, "--refunds", desk.listen});
    }
    return 2;
  }
  static double Metric(const Server& server, const std::string& name) {
    return MetricOf(HttpGet(server.http, "/metrics"), name);
  }

  World world_;
  const SecureSpaceFolder space_ = world_.MakeSecureSpace(), idle_space_ = world_.MakeSecureSpace();
  const std::string crl_ = world_.issuer() + "/crl.pem", deny_ = world_.Path("deny.nark");
  Server replica_;
  SessionFiles session_;
  int operations_ = 0;
};

// Reads all of `servers` two hundred times or twice a second, after a third of `whole` that is
// theirs to grow in; does something besides every second.
void Watch(std::vector<Watched>& servers, seconds whole, const std::function<void()>& besides) {
  const auto begin = steady_clock::now(), end = begin + whole;
  const auto interval = std::max<steady_clock::duration>(whole / 300, milliseconds(500));
  auto next = begin + whole / 3, next_besides = begin;
  while (steady_clock::now() < end) {
    if (steady_clock::now() >= next_besides) {
      besides();
      next_besides += seconds(1);
    }
    if (steady_clock::now() >= next) {
      for (Watched& server : servers) server.Read();
      next += interval;
    }
    std::this_thread::sleep_until(std::min(next, next_besides));
  }
}

TEST_F(SoakTest, ServersAtWorkStayAsTheyWere) {
  const Server receiver = StartReceiver();
  const Server sender = StartSender();
  const Server desk = StartDesk();
  // Strangers, where there is time to fill all that a replica remembers of 4,096 of them.
  const int viewers = HowLong() < seconds(120) ? 200 : 8000;
  End(*JoinUntil(viewers * 3 / 4, viewers));
  const auto warm = Join(world_.issuer(), viewers, "120", {"--connections", "4"});
  const auto cold = Join(world_.issuer(), 200, "15", {"--connect", "cold"});
  world_.Do("narkctl", {"issuer", "init", world_.Path("stranger"), "--name", "Stranger"});
  const auto refused = Join(world_.Path("stranger"), 200, "15", {"--connect", "cold"});

  double notes = 0;
  std::vector<Watched> servers;
  servers.emplace_back("nark-keymanager", "joins", replica_.process->pid(), [&] {
    const std::string metrics = HttpGet(replica_.http, "/metrics");
    return MetricOf(metrics, "nark_keymanager_grants_total") +
           MetricOf(metrics, "nark_keymanager_refusals_total");
  });
  servers.emplace_back("nark-sender", "ADUs", sender.process->pid(),
                       [&] { return Metric(sender, "nark_sender_adus_total"); });
  servers.emplace_back("nark-receiver", "ADUs", receiver.process->pid(),
                       [&] { return Metric(receiver, "nark_receiver_adus_delivered_total"); });
  servers.emplace_back("nark-refunds", "notes", desk.process->pid(), [&] { return notes; });
  int second = 0;
  Watch(servers, HowLong(), [&] {
    if (second++ % 5 == 0) Operate();
    notes += AskForRefunds(desk);
  });

  const double judged = static_cast<double>(HowLong().count()) * 2 / 3;
  servers[0].Judge(50 * judged);
  servers[1].Judge(100 * judged);
  servers[2].Judge(100 * judged);
  servers[3].Judge(0.5 * judged);
  // A few are under way at the end, or found a machine that was too busy.
  for (Process* load : {warm.get(), cold.get()}) {
    const Json joins = End(*load)["joins"];
    EXPECT_GT(joins["granted"], 0.9 * joins["started"].get<double>()) << joins;
  }
  const Json run = End(*refused);
  EXPECT_EQ(run["joins"]["granted"], 0) << run;
  EXPECT_NE(run["failures"].dump().find("NOT_ATTESTED"), std::string::npos) << run;
}

}  // namespace
}  // namespace nark::harness
