#include "keymanager/replica.h"

#include <spdlog/spdlog.h>

#include <array>
#include <chrono>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "common/base/status.h"
#include "common/base/version.h"
#include "common/rpc/server.h"
#include "common/rpc/watchdog.h"
#include "common/serve/http.h"
#include "common/serve/metrics.h"
#include "common/serve/ready_file.h"
#include "keymanager/service.h"

namespace nark::keymanager {
namespace {

constexpr int kRefusalLinesPerSecond = 20;

// Counts every refusal, and logs as many as a person could read.
class LoggedRefusals final : public RefusalLog {
 public:
  explicit LoggedRefusals(serve::Metrics& metrics) {
    for (int i = 0; i < kCauses; ++i) {
      counters_[i] = &metrics.AddCounter(
          "nark_keymanager_refusals_total", "Requests refused, by what was wrong.",
          {{"detail", std::string(CauseName(static_cast<Cause>(i)))}});
    }
  }

  void OnRefusal(Cause cause, std::string_view detail) override {
    counters_[static_cast<int>(cause)]->Increment();
    if (!MayLog()) return;
    if (cause == Cause::kInternal) {
      spdlog::error("a join failed: {}", detail);
    } else {
      spdlog::info("refused ({}): {}", CauseName(cause), detail);
    }
  }

 private:
  bool MayLog() {
    const auto now = std::chrono::steady_clock::now();
    absl::MutexLock lock(&mutex_);
    if (now - second_ >= std::chrono::seconds(1)) {
      if (lines_ > kRefusalLinesPerSecond) {
        spdlog::warn("{} more refusals were not logged; see nark_keymanager_refusals_total",
                     lines_ - kRefusalLinesPerSecond);
      }
      second_ = now;
      lines_ = 0;
    }
    return ++lines_ <= kRefusalLinesPerSecond;
  }

  std::array<serve::Counter*, kCauses> counters_{};
  absl::Mutex mutex_;
  std::chrono::steady_clock::time_point second_ ABSL_GUARDED_BY(mutex_);
  int lines_ ABSL_GUARDED_BY(mutex_) = 0;
};

std::string ShowTime(Timestamp t) {
  if (t == Timestamp::max()) return "never";
  return std::string(
      absl::FormatTime("%Y-%m-%d %H:%M:%S UTC", absl::FromChrono(t), absl::UTCTimeZone()));
}

// The parts of a running replica, in the order in which they must go.
class Replica {
 public:
  explicit Replica(const ReplicaOptions& options) : options_(options), refusals_(metrics_) {}

  absl::Status Start() {
    files_version_ = FilesVersion(options_.files);
    ASSIGN_OR_RETURN(LoadedReplica loaded, LoadReplica(options_.files, world_));
    service_.emplace(std::move(loaded.authority), metrics_);
    rpc::ServerOptions server;
    server.listen = options_.listen;
    if (options_.transport == Transport::kTls) {
      server.tls = rpc::TlsIdentity{.certificates = std::move(loaded.tls_certificates_pem),
                                    .key = std::move(loaded.tls_key_pem)};
    }
    ASSIGN_OR_RETURN(server_, rpc::Server::Start(std::move(server), {&*service_}));
    std::vector<std::pair<std::string, std::string>> addresses = {{"listen", server_->address()}};
    if (!options_.http.empty()) {
      ASSIGN_OR_RETURN(http_, serve::HttpServer::Start(SideDoor(), &metrics_));
      addresses.emplace_back("http", http_->address());
    }
    if (server_->port() != 0) {
      watchdog_.emplace(server_->address(), std::chrono::seconds(10));
    }
    spdlog::info("listening on {}{}", server_->address(),
                 options_.transport == Transport::kTls ? "" : " in plaintext");
    if (http_) spdlog::info("HTTP on {}", http_->address());
    return serve::WriteReadyFile(options_.ready_file, addresses);
  }

  absl::Status Serve(serve::Signals& signals) {
    for (;;) {
      const auto event = signals.Next(options_.reload_interval);
      if (event == serve::Signals::Event::kShutdown) break;
      if (watchdog_ && watchdog_->wedged()) {
        return absl::UnavailableError(server_->address() +
                                      ": takes no connections any more; restart it");
      }
      const uint64_t version = FilesVersion(options_.files);
      if (event == serve::Signals::Event::kReload || version != files_version_) Reload(version);
    }
    spdlog::info("draining for at most {} ms", options_.drain.count());
    if (http_) http_->SetDraining();
    watchdog_.reset();
    server_->Drain(options_.drain);
    return absl::OkStatus();
  }

 private:
  void Reload(uint64_t version) {
    files_version_ = version;
    absl::StatusOr<LoadedReplica> loaded = LoadReplica(options_.files, world_);
    if (!loaded.ok()) {
      reload_failures_.Increment();
      spdlog::error("keys and lists stay as they are: {}", Std(loaded.status().message()));
      return;
    }
    service_->Replace(std::move(loaded->authority));
    reloads_.Increment();
    spdlog::info("keys and lists were reloaded");
  }

  serve::HttpOptions SideDoor() {
    serve::HttpOptions http;
    http.listen = options_.http;
    http.program = "nark-keymanager";
    http.version = kProgramVersion;
    http.ready = [this] { return service_->authority()->CheckReady(); };
    http.state = [this]() -> std::vector<std::pair<std::string, std::string>> {
      const auto authority = service_->authority();
      return {{"gRPC", server_->address()},
              {"transport", options_.transport == Transport::kTls ? "TLS 1.3" : "plaintext"},
              {"provider", ToHex(authority->provider())},
              {"lists valid until", ShowTime(authority->lists_next_update())}};
    };
    return http;
  }

  const ReplicaOptions& options_;
  SystemClock clock_;
  SystemRandom random_;
  serve::Metrics metrics_;
  LoggedRefusals refusals_;
  const World world_{.clock = clock_, .random = random_, .refusals = refusals_};
  serve::Counter& reloads_ = metrics_.AddCounter("nark_keymanager_reloads_total",
                                                 "Times that keys and lists were reloaded.");
  serve::Counter& reload_failures_ = metrics_.AddCounter(
      "nark_keymanager_reload_failures_total", "Times that changed files could not be loaded.");
  uint64_t files_version_ = 0;
  std::optional<KeyManagerService> service_;
  std::unique_ptr<rpc::Server> server_;
  std::unique_ptr<serve::HttpServer> http_;
  std::optional<rpc::Watchdog> watchdog_;
};

}  // namespace

absl::Status RunReplica(const ReplicaOptions& options, serve::Signals& signals) {
  Replica replica(options);
  RETURN_IF_ERROR(replica.Start());
  return replica.Serve(signals);
}

}  // namespace nark::keymanager
