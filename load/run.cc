#include "load/run.h"

#include <spdlog/spdlog.h>
#include <sys/resource.h>

#include <algorithm>
#include <deque>
#include <filesystem>
#include <fstream>
#include <map>
#include <thread>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/base/status.h"
#include "common/base/steady_clock.h"
#include "common/object/file.h"
#include "common/object/session.h"
#include "common/serve/http_get.h"
#include "load/prepared_viewers.h"
#include "load/replica_usage.h"

namespace nark::load {
namespace {

using std::chrono::microseconds;
using std::chrono::milliseconds;

// The longest wait between two looks for a signal.
constexpr microseconds kLook = milliseconds(100);
constexpr microseconds kTell = milliseconds(500);
// What a replica remembers of secure spaces (docs/operations.md).
constexpr uint64_t kRemembered = 4096;

// Runs what is given to it one after the other in a thread of its own, all of it before
// it goes.
class Worker {
 public:
  Worker() : thread_([this] { Run(); }) {}
  ~Worker() {
    {
      absl::MutexLock lock(&mutex_);
      ended_ = true;
    }
    thread_.join();
  }
  void Do(std::function<void()> work) {
    absl::MutexLock lock(&mutex_);
    waiting_.push_back(std::move(work));
  }

 private:
  void Run() {
    const auto wanted = [this]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
      return ended_ || !waiting_.empty();
    };
    for (;;) {
      std::function<void()> work;
      {
        absl::MutexLock lock(&mutex_);
        mutex_.Await(absl::Condition(&wanted));
        if (waiting_.empty()) return;
        work = std::move(waiting_.front());
        waiting_.pop_front();
      }
      work();
    }
  }

  absl::Mutex mutex_;
  std::deque<std::function<void()>> waiting_ ABSL_GUARDED_BY(mutex_);
  bool ended_ ABSL_GUARDED_BY(mutex_) = false;
  std::thread thread_;
};

double CpuSeconds() {
  rusage usage{};
  (void)getrusage(RUSAGE_SELF, &usage);
  const auto seconds = [](const timeval& time) {
    return static_cast<double>(time.tv_sec) + 1e-6 * static_cast<double>(time.tv_usec);
  };
  return seconds(usage.ru_utime) + seconds(usage.ru_stime);
}

// CPU seconds by thread, from /proc/self/task/TID/schedstat: "RUN_NS WAIT_NS SLICES".
std::map<std::string, double> ThreadSeconds() {
  std::map<std::string, double> threads;
  std::error_code error;
  for (const auto& task : std::filesystem::directory_iterator("/proc/self/task", error)) {
    std::ifstream stat(task.path() / "schedstat");
    if (double nanoseconds = 0; stat >> nanoseconds) {
      threads[task.path().filename()] = 1e-9 * nanoseconds;
    }
  }
  return threads;
}

double Busiest(const std::map<std::string, double>& before,
               const std::map<std::string, double>& after) {
  double most = 0;
  for (const auto& [thread, seconds] : after) {
    const auto then = before.find(thread);
    most = std::max(most, seconds - (then == before.end() ? 0 : then->second));
  }
  return most;
}

absl::StatusOr<std::vector<ReplicaUsage>> ReadUsage(const std::vector<std::string>& http) {
  std::vector<ReplicaUsage> usage;
  for (const std::string& address : http) {
    ASSIGN_OR_RETURN(const std::string text,
                     serve::HttpGet(address, "/metrics", std::chrono::seconds(5)));
    usage.push_back(ParseReplicaUsage(text));
  }
  return usage;
}

std::optional<double> Difference(const std::optional<double>& before,
                                 const std::optional<double>& after) {
  if (!before || !after) return std::nullopt;
  return *after - *before;
}

// A replica that was killed meanwhile has nothing to say, which is no error.
std::vector<ReplicaShare> Shares(const std::vector<std::string>& http,
                                 const std::vector<ReplicaUsage>& before) {
  std::vector<ReplicaShare> shares;
  for (size_t i = 0; i < http.size(); ++i) {
    ReplicaShare share{http[i], std::nullopt, std::nullopt};
    if (const auto after = ReadUsage({http[i]}); after.ok()) {
      share.cpu_seconds = Difference(before[i].cpu_seconds, after->front().cpu_seconds);
      share.grants = Difference(before[i].grants, after->front().grants);
    } else {
      spdlog::warn("{}", std::string(after.status().message()));
    }
    shares.push_back(std::move(share));
  }
  return shares;
}

const char* NameOf(ConnectMode mode) {
  switch (mode) {
    case ConnectMode::kWarm:
      return "warm";
    case ConnectMode::kCold:
      return "cold";
    case ConnectMode::kResumed:
      return "resumed";
  }
  return "";
}

// What a reader of the figures should know before.
void TellOfViewers(const RunPlan& plan) {
  const double joins = plan.profile.joins();
  const auto viewers = static_cast<double>(plan.viewers);
  if (joins <= viewers) return;
  if (plan.viewers < kRemembered * plan.key_managers.size() * 5 / 4) {
    spdlog::warn(
        "{} viewers join again and again, and replicas remember {} secure spaces each: these are "
        "not joins of strangers; prepare more viewers",
        plan.viewers, kRemembered);
  }
  // Their limit: 20 at once, and one a second (docs/reasons.md, RATE_LIMITED).
  if (joins / viewers > 20 + plan.profile.seconds()) {
    spdlog::warn("each viewer joins {:.0f} times, more often than replicas let it; prepare more",
                 joins / viewers);
  }
}

}  // namespace

absl::StatusOr<LoadRunner> LoadRunner::Create(LoadSettings settings, serve::Signals& signals,
                                              Clock& wall_clock, Random& random) {
  const Timestamp now = wall_clock.Now();
  ASSIGN_OR_RETURN(const v1::NarkFile file,
                   ReadNarkFile(settings.session_path, v1::NarkFile::kSessionDescriptor));
  auto session = VerifiedSession::Verify(file.session_descriptor(), now);
  if (!session.ok()) return Annotate(session.status(), settings.session_path);
  const v1::SessionDescriptor& descriptor = session->descriptor();
  if (settings.key_managers.empty()) {
    settings.key_managers.assign(descriptor.key_managers().begin(),
                                 descriptor.key_managers().end());
  }
  LoadRunner runner(std::move(settings), signals);
  if (runner.settings_.transport == LoadSettings::Transport::kTls) {
    runner.tls_ca_ = ToBytes(AsBytes(descriptor.tls_ca_certificate()));
  }
  ASSIGN_OR_RETURN(runner.viewers_, PreparedViewers::Load(runner.settings_.load_path,
                                                          *std::move(session), now, random));
  return runner;
}

absl::StatusOr<RunReport> LoadRunner::Run(const ArrivalPlan& plan) {
  ASSIGN_OR_RETURN(ArrivalProcess arrivals,
                   ArrivalProcess::Create(plan.profile, plan.spacing, plan.seed));
  RunReport report;
  report.plan = {.pattern = plan.pattern,
                 .profile = plan.profile,
                 .spacing = plan.spacing,
                 .seed = plan.seed,
                 .connect = NameOf(settings_.connect),
                 .connections = settings_.connect == ConnectMode::kWarm ? settings_.connections : 0,
                 .key_managers = settings_.key_managers,
                 .viewers = viewers_->count(),
                 .retries = settings_.loop.retries,
                 .check_percent = 100 * settings_.loop.check_part};
  TellOfViewers(report.plan);
  ASSIGN_OR_RETURN(
      std::unique_ptr<KeyManagers> key_managers,
      MakeGrpcKeyManagers({.endpoints = settings_.key_managers,
                           .tls_ca = tls_ca_,
                           .mode = settings_.connect,
                           .connections = settings_.connections,
                           .threads = settings_.threads,
                           .warn = [](const std::string& line) { spdlog::warn("{}", line); }}));
  ASSIGN_OR_RETURN(const std::vector<ReplicaUsage> usage, ReadUsage(settings_.http));

  SteadyClock clock;
  auto worker = std::make_unique<Worker>();
  OpenLoopOptions options = settings_.loop;
  options.seed = plan.seed;
  const double cpu = CpuSeconds();
  const auto threads = ThreadSeconds();
  OpenLoop loop(options, std::move(arrivals),
                {.clock = clock,
                 .viewers = *viewers_,
                 .key_managers = *key_managers,
                 .check = [&worker](std::function<void()> work) { worker->Do(std::move(work)); }},
                Tally(plan.profile.duration));
  microseconds told{0};
  while (const auto turn = loop.StartDue()) {
    if (settings_.progress && loop.elapsed() >= told) {
      settings_.progress(loop.elapsed(), loop.outstanding());
      told = loop.elapsed() + kTell;
    }
    loop.WaitUntil(std::min(*turn, clock.Now() + kLook));
    if (signals_.Next(milliseconds(0)) == serve::Signals::Event::kShutdown) {
      report.end = RunReport::End::kInterrupted;
      loop.Stop();
    }
  }
  report.generator_cpu_seconds = CpuSeconds() - cpu;
  const double elapsed = std::chrono::duration<double>(loop.elapsed()).count();
  report.generator_busiest_thread = Busiest(threads, ThreadSeconds()) / elapsed;
  report.replicas = Shares(settings_.http, usage);
  // Nothing calls back into the loop any more.
  key_managers.reset();
  worker.reset();
  report.tally = loop.tally();
  report.seconds =
      std::max(report.end == RunReport::End::kInterrupted ? elapsed : plan.profile.seconds(),
               std::chrono::duration<double>(report.tally.last_end()).count());
  return report;
}

}  // namespace nark::load
