#include "keymanager/replica.h"

#include <spdlog/spdlog.h>

#include <algorithm>
#include <array>
#include <atomic>
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
#include "common/serve/periodic.h"
#include "common/serve/ready_file.h"
#include "keymanager/logged_refusals.h"
#include "keymanager/service.h"

namespace nark::keymanager {
namespace {

std::string ShowTime(Timestamp t) {
  if (t == Timestamp::max()) return "no --crl and no --deny";
  return std::string(
      absl::FormatTime("%Y-%m-%d %H:%M:%S UTC", absl::FromChrono(t), absl::UTCTimeZone()));
}

// Requests are a few kilobytes, of which a thousand may wait.
constexpr size_t kBufferBytes = 64 << 20;
// For one answer of a token.
constexpr std::chrono::seconds kPatience{5};

// The parts of a running replica, in the order in which they must go.
class Replica {
 public:
  explicit Replica(const ReplicaOptions& options) : options_(options), refusals_(metrics_) {
    for (int i = 0; i < kParts; ++i) {
      reload_failures_[i] = &metrics_.AddCounter(
          "nark_keymanager_reload_failures_total",
          "Attempts to take over a file that failed, so that what was in force stayed: one when it "
          "changed, and one every 10 s for as long as it fails.",
          {{"part", std::string(PartName(static_cast<Part>(i)))}});
    }
  }

  absl::Status Start() {
    ASSIGN_OR_RETURN(source_, ReplicaSource::Load(options_.files, world_));
    last_reload_success_.Set(1);
    NoteDates();
    service_.emplace(source_->authority(), metrics_, refusals_, options_.queue,
                     KeyManagerService::BlockLimits());
    metrics_.OnCollect([this] { Collect(); });
    rpc::ServerOptions server;
    server.listen = options_.listen;
    server.connections.connections = options_.connections;
    server.memory_quota_bytes = kBufferBytes;
    if (options_.transport == Transport::kTls) {
      server.tls = TlsInForce();
      tls_shown_ = TlsInForce();
    }
    ASSIGN_OR_RETURN(server_, rpc::Server::Start(std::move(server), {&*service_}));
    LookWhetherReady();
    readiness_.emplace(options_.reload_interval, [this] { LookWhetherReady(); });
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
    return serve::AnnounceReady(options_.ready_file, addresses);
  }

  absl::Status Serve(serve::Signals& signals) {
    for (;;) {
      const auto event = signals.Next(options_.reload_interval);
      if (event == serve::Signals::Event::kShutdown) break;
      if (watchdog_ && watchdog_->wedged()) {
        return absl::UnavailableError(server_->address() +
                                      ": takes no connections any more; restart it");
      }
      const bool retry = retry_at_ && std::chrono::steady_clock::now() >= *retry_at_;
      if (event == serve::Signals::Event::kReload || retry || source_->changed()) Reload();
    }
    readiness_.reset();
    spdlog::info("draining for at most {} ms", options_.drain.count());
    if (http_) http_->SetDraining();
    watchdog_.reset();
    server_->Drain(options_.drain);
    return absl::OkStatus();
  }

 private:
  rpc::TlsIdentity TlsInForce() const {
    return {.certificates = source_->tls_certificates_pem(), .key = source_->tls_key_pem().Clone()};
  }

  void Collect() {
    queue_length_.Set(static_cast<double>(service_->queue_length()));
    if (server_ == nullptr) return;
    const rpc::ConnectionCounts now = server_->connections();
    connections_.Set(static_cast<double>(now.held));
    accepted_.Add(static_cast<double>(now.accepted - counted_.accepted));
    evicted_.Add(static_cast<double>(now.evicted - counted_.evicted));
    turned_away_.Add(static_cast<double>(now.turned_away - counted_.turned_away));
    counted_ = now;
  }

  void Reload() {
    std::vector<RefusedPart> refused = source_->Reload();
    service_->Replace(source_->authority());
    if (absl::Status tls = ShowTlsInForce(); !tls.ok()) refused.push_back({Part::kTls, tls});
    NoteReload(refused);
    retry_at_.reset();
    if (!refused.empty()) retry_at_ = std::chrono::steady_clock::now() + options_.retry_interval;
    if (refused.empty()) spdlog::info("keys and lists were reloaded");
  }

  // The same again would void what clients keep to resume their sessions.
  absl::Status ShowTlsInForce() {
    if (options_.transport != Transport::kTls) return absl::OkStatus();
    if (source_->tls_certificates_pem() == tls_shown_.certificates &&
        source_->tls_key_pem() == tls_shown_.key) {
      return absl::OkStatus();
    }
    RETURN_IF_ERROR(server_->ReplaceTls(TlsInForce()));
    tls_shown_ = TlsInForce();
    return absl::OkStatus();
  }

  void NoteReload(const std::vector<RefusedPart>& refused) {
    // Before what is counted: who sees that grow looks here.
    last_reload_success_.Set(refused.empty() ? 1 : 0);
    for (const RefusedPart& one : refused) {
      reload_failures_[static_cast<int>(one.part)]->Increment();
      // Once, however often it is tried.
      if (std::ranges::count(refused_, one) > 0) continue;
      spdlog::error("the {} part stays as it was: {}", PartName(one.part), Std(one.why.message()));
    }
    refused_ = refused;
    NoteDates();
    signing_key_revoked_ = source_->signing_key_revoked();
    if (refused.empty()) reloads_.Increment();
  }

  void NoteDates() {
    {
      absl::MutexLock lock(&mutex_);
      tls_validity_ = source_->tls_validity();
    }
    const ReplicaDates dates = source_->dates();
    const auto set = [](serve::Gauge& gauge, Timestamp t) {
      gauge.Set(std::chrono::duration<double>(t.time_since_epoch()).count());
    };
    set(Made("hpke"), dates.hpke_key_made);
    set(Made("challenge"), dates.challenge_key_made);
    set(Made("signing"), dates.signing_certificate_made);
    set(NotAfter("root"), dates.root_ends);
    set(NotAfter("signing"), dates.signing_certificate_ends);
    set(NotAfter("tls"), dates.tls_certificate_ends);
    set(NotAfter("issuer"), dates.issuer_ends);
    const Timestamp lists = source_->authority()->lists_next_update();
    if (lists != Timestamp::max()) set(ListsNextUpdate(), lists);
  }

  serve::Gauge& Made(const std::string& key) {
    return metrics_.AddGauge("nark_keymanager_key_made_timestamp_seconds",
                             "When the newest key of its kind in force was made.", {{"key", key}});
  }
  serve::Gauge& NotAfter(const std::string& certificate) {
    return metrics_.AddGauge("nark_keymanager_not_after_timestamp_seconds",
                             "When the first certificate of its kind in force ends.",
                             {{"certificate", certificate}});
  }
  serve::Gauge& ListsNextUpdate() {
    return metrics_.AddGauge("nark_keymanager_lists_next_update_timestamp_seconds",
                             "When the first of the lists in force is out of date: from then on "
                             "every join is refused.");
  }

  // In a thread of its own: a token may hang.
  void LookWhetherReady() {
    absl::Status ready = CheckReady();
    server_->SetHealth(ready.ok() ? rpc::Server::Health::kServing
                                  : rpc::Server::Health::kNotServing);
    absl::MutexLock lock(&mutex_);
    ready_ = std::move(ready);
    looked_at_ = std::chrono::steady_clock::now();
  }
  // As it was when it was last looked at; thread-safe.
  absl::Status LastReady() const {
    absl::MutexLock lock(&mutex_);
    const auto since = std::chrono::steady_clock::now() - looked_at_;
    if (since < options_.reload_interval + kPatience) return ready_;
    return absl::UnavailableError("the token that holds the pool's keys does not answer");
  }

  // Thread-safe.
  absl::Status CheckReady() const {
    if (signing_key_revoked_) {
      return absl::FailedPreconditionError(
          absl::StrCat(options_.files.pool,
                       " revokes the key that this replica signs with; replace the folder"));
    }
    if (options_.transport == Transport::kTls) {
      absl::MutexLock lock(&mutex_);
      RETURN_IF_ERROR(CheckTlsValidity(tls_validity_, world_.clock.Now(), source_->tls_source()));
    }
    return service_->authority()->CheckReady();
  }

  serve::HttpOptions SideDoor() {
    serve::HttpOptions http;
    http.listen = options_.http;
    http.program = "nark-keymanager";
    http.version = kProgramVersion;
    http.ready = [this] { return LastReady(); };
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
  const World world_{.clock = options_.clock != nullptr ? *options_.clock : clock_,
                     .random = random_,
                     .refusals = refusals_};
  serve::Counter& reloads_ = metrics_.AddCounter("nark_keymanager_reloads_total",
                                                 "Times that keys and lists were reloaded.");
  serve::Gauge& last_reload_success_ =
      metrics_.AddGauge("nark_keymanager_last_reload_success",
                        "1 where all files are in force as they lie there, else 0.");
  std::array<serve::Counter*, kParts> reload_failures_{};
  std::vector<RefusedPart> refused_;  // by the last reload
  std::optional<std::chrono::steady_clock::time_point> retry_at_;
  serve::Gauge& connections_ =
      metrics_.AddGauge("nark_keymanager_connections", "Connections that are open, at most.");
  serve::Counter& accepted_ =
      metrics_.AddCounter("nark_keymanager_connections_accepted_total", "Connections taken in.");
  serve::Counter& evicted_ = metrics_.AddCounter(
      "nark_keymanager_connections_evicted_total",
      "Connections closed because their peer was silent and another wanted in, was too slow to "
      "say who it is, or took too much.");
  serve::Counter& turned_away_ = metrics_.AddCounter("nark_keymanager_connections_refused_total",
                                                     "Connections that there was no room for.");
  rpc::ConnectionCounts counted_;
  std::atomic<bool> signing_key_revoked_ = false;
  mutable absl::Mutex mutex_;
  Validity tls_validity_ ABSL_GUARDED_BY(mutex_);
  absl::Status ready_ ABSL_GUARDED_BY(mutex_);
  std::chrono::steady_clock::time_point looked_at_ ABSL_GUARDED_BY(mutex_);
  serve::Gauge& queue_length_ = metrics_.AddGauge("nark_keymanager_queue_length",
                                                  "Requests for grants that wait for a thread.");
  std::unique_ptr<ReplicaSource> source_;
  rpc::TlsIdentity tls_shown_;  // by the server, where it is one of TLS
  std::optional<KeyManagerService> service_;
  std::unique_ptr<rpc::Server> server_;
  std::unique_ptr<serve::HttpServer> http_;
  std::optional<rpc::Watchdog> watchdog_;
  std::optional<serve::Periodic> readiness_;
};

}  // namespace

absl::Status RunReplica(const ReplicaOptions& options, serve::Signals& signals) {
  Replica replica(options);
  RETURN_IF_ERROR(replica.Start());
  return replica.Serve(signals);
}

}  // namespace nark::keymanager
