#include "refunds/desk_server.h"

#include <spdlog/spdlog.h>

#include <atomic>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "common/base/status.h"
#include "common/base/version.h"
#include "common/rpc/server.h"
#include "common/rpc/watchdog.h"
#include "common/serve/http.h"
#include "common/serve/metrics.h"
#include "common/serve/ready_file.h"
#include "refunds/postgres_ledger.h"
#include "refunds/service.h"
#include "refunds/sqlite_ledger.h"

namespace nark::refunds {
namespace {

absl::StatusOr<std::unique_ptr<Ledger>> OpenLedger(const std::string& name) {
  absl::string_view path = name;
  if (absl::ConsumePrefix(&path, "sqlite:") && !path.empty()) {
    return OpenSqliteLedger(std::string(path));
  }
  if (name.rfind("postgresql://", 0) == 0) return OpenPostgresLedger(name);
  return absl::InvalidArgumentError(
      absl::StrCat("--ledger ", name, ": write sqlite:PATH or postgresql://..."));
}

// Counts answers, and knows whether the ledger works.
class Watch final : public DeskObserver {
 public:
  explicit Watch(serve::Metrics& metrics) : metrics_(metrics) {}

  void OnReceipt(v1::RefundStatus status) override {
    const char* name = status == v1::REFUND_STATUS_PAID      ? "paid"
                       : status == v1::REFUND_STATUS_REFUSED ? "refused"
                                                             : "conflict";
    metrics_
        .AddCounter("nark_refunds_receipts_total", "Receipts answered, repeats among them.",
                    {{"status", name}})
        .Increment();
  }
  void OnRefusal(const absl::Status& refusal) override {
    const std::string reason = ReasonOf(refusal);
    if (reason == "LEDGER_UNAVAILABLE") ledger_works_ = false;
    metrics_
        .AddCounter("nark_refunds_refusals_total", "Requests refused, by reason.",
                    {{"reason", reason}})
        .Increment();
  }
  // True where it changed.
  bool SetLedger(const absl::Status& probed) {
    return ledger_works_.exchange(probed.ok()) != probed.ok();
  }
  absl::Status CheckLedger() const {
    return ledger_works_ ? absl::OkStatus() : LedgerUnavailable("it takes no write");
  }

 private:
  serve::Metrics& metrics_;
  std::atomic<bool> ledger_works_{true};
};

// The parts of a running desk, in the order in which they must go.
class DeskServer {
 public:
  explicit DeskServer(const DeskOptions& options) : options_(options) {}

  absl::Status Start() {
    ASSIGN_OR_RETURN(ledger_, OpenLedger(options_.ledger));
    files_version_ = FilesVersion(options_.files);
    ASSIGN_OR_RETURN(LoadedDesk loaded, LoadDesk(options_.files, clock_, *ledger_));
    service_.emplace(std::move(loaded.desk), watch_);
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
    if (server_->port() != 0) watchdog_.emplace(server_->address(), std::chrono::seconds(10));
    spdlog::info("listening on {}{}", server_->address(),
                 options_.transport == Transport::kTls ? "" : " in plaintext");
    if (http_) spdlog::info("HTTP on {}", http_->address());
    return serve::WriteReadyFile(options_.ready_file, addresses);
  }

  absl::Status Serve(serve::Signals& signals) {
    for (;;) {
      const auto event = signals.Next(options_.interval);
      if (event == serve::Signals::Event::kShutdown) break;
      if (watchdog_ && watchdog_->wedged()) {
        return absl::UnavailableError(server_->address() +
                                      ": takes no connections any more; restart it");
      }
      ProbeLedger();
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
  void ProbeLedger() {
    const absl::Status probed = ledger_->Probe();
    if (watch_.SetLedger(probed)) {
      if (probed.ok()) {
        spdlog::info("the ledger works again");
      } else {
        spdlog::error("{}", Std(probed.message()));
      }
    }
    server_->SetHealth(probed.ok() ? rpc::Server::Health::kServing
                                   : rpc::Server::Health::kNotServing);
  }

  void Reload(uint64_t version) {
    files_version_ = version;
    absl::StatusOr<LoadedDesk> loaded = LoadDesk(options_.files, clock_, *ledger_);
    if (!loaded.ok()) {
      reload_failures_.Increment();
      spdlog::error("issuers and lists stay as they are: {}", Std(loaded.status().message()));
      return;
    }
    service_->Replace(std::move(loaded->desk));
    reloads_.Increment();
    spdlog::info("issuers and lists were reloaded");
  }

  serve::HttpOptions SideDoor() {
    serve::HttpOptions http;
    http.listen = options_.http;
    http.program = "nark-refunds";
    http.version = kProgramVersion;
    http.ready = [this]() -> absl::Status {
      RETURN_IF_ERROR(service_->desk()->CheckLists());
      return watch_.CheckLedger();
    };
    http.state = [this]() -> std::vector<std::pair<std::string, std::string>> {
      return {{"gRPC", server_->address()},
              {"transport", options_.transport == Transport::kTls ? "TLS 1.3" : "plaintext"},
              {"provider", ToHex(service_->desk()->provider())}};
    };
    return http;
  }

  const DeskOptions& options_;
  SystemClock clock_;
  serve::Metrics metrics_;
  Watch watch_{metrics_};
  serve::Counter& reloads_ = metrics_.AddCounter("nark_refunds_reloads_total",
                                                 "Times that issuers and lists were reloaded.");
  serve::Counter& reload_failures_ = metrics_.AddCounter(
      "nark_refunds_reload_failures_total", "Times that changed files could not be loaded.");
  uint64_t files_version_ = 0;
  // Before the server, which waits for answers that the ledger gives.
  std::unique_ptr<Ledger> ledger_;
  std::optional<RefundDeskService> service_;
  std::unique_ptr<rpc::Server> server_;
  std::unique_ptr<serve::HttpServer> http_;
  std::optional<rpc::Watchdog> watchdog_;
};

}  // namespace

absl::Status RunDesk(const DeskOptions& options, serve::Signals& signals) {
  DeskServer server(options);
  RETURN_IF_ERROR(server.Start());
  return server.Serve(signals);
}

}  // namespace nark::refunds
