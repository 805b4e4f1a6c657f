#include "refunds/desk_server.h"

#include <spdlog/spdlog.h>

#include <algorithm>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "common/base/status.h"
#include "common/base/storage.h"
#include "common/base/version.h"
#include "common/crypto/random.h"
#include "common/rpc/server.h"
#include "common/rpc/watchdog.h"
#include "common/serve/api_server.h"
#include "common/serve/http.h"
#include "common/serve/metrics.h"
#include "common/serve/periodic.h"
#include "common/serve/ready_file.h"
#include "refunds/command_payer.h"
#include "refunds/desk_watch.h"
#include "refunds/http_payer.h"
#include "refunds/json_service.h"
#include "refunds/payout.h"
#include "refunds/postgres_ledger.h"
#include "refunds/service.h"
#include "refunds/sqlite_ledger.h"

namespace nark::refunds {
namespace {

// A note file of the 2 MiB that gRPC takes, in base64.
constexpr size_t kMostJsonBytes = 3 << 20;
constexpr int kJsonThreads = 16;

absl::StatusOr<std::unique_ptr<Ledger>> OpenLedger(const std::string& name) {
  absl::string_view path = name;
  if (absl::ConsumePrefix(&path, "sqlite:") && !path.empty()) {
    return OpenSqliteLedger(std::string(path));
  }
  if (name.rfind("postgresql://", 0) == 0) return OpenPostgresLedger(name);
  return absl::InvalidArgumentError(
      absl::StrCat("--ledger ", name, ": write sqlite:PATH or postgresql://..."));
}

// Null where nothing is paid out from here.
absl::StatusOr<std::unique_ptr<Payer>> MakePayer(const DeskOptions& options) {
  if (!options.pay_command.empty() && !options.pay_url.empty()) {
    return absl::InvalidArgumentError("give --pay-command or --pay-url, not both");
  }
  if (!options.pay_ca.empty()) {
    if (options.pay_url.empty()) return absl::InvalidArgumentError("--pay-ca is for --pay-url");
    // Else every payment would fail, each by itself.
    const absl::Status readable = ReadFile(options.pay_ca).status();
    if (!readable.ok()) return Annotate(readable, "--pay-ca");
  }
  if (!options.pay_command.empty()) {
    auto payer = MakeCommandPayer(options.pay_command, options.pay_timeout);
    return payer.ok() ? std::move(payer) : Annotate(payer.status(), "--pay-command");
  }
  if (options.pay_url.empty()) return nullptr;
  auto payer = MakeHttpPayer(
      {.url = options.pay_url, .ca_file = options.pay_ca, .timeout = options.pay_timeout});
  return payer.ok() ? std::move(payer) : Annotate(payer.status(), "--pay-url");
}

// The parts of a running desk, in the order in which they must go.
class DeskServer {
 public:
  explicit DeskServer(const DeskOptions& options) : options_(options) {}

  absl::Status Start() {
    ASSIGN_OR_RETURN(payer_, MakePayer(options_));
    ASSIGN_OR_RETURN(ledger_, OpenLedger(options_.ledger));
    watch_.emplace(metrics_, *ledger_);
    seen_ = StampsOf(options_.files);
    ASSIGN_OR_RETURN(LoadedDesk loaded, LoadDesk(options_.files, clock_, *ledger_));
    service_.emplace(std::move(loaded.desk), *watch_);
    NoteLists();
    RETURN_IF_ERROR(StartServers(loaded));
    if (server_->port() != 0) watchdog_.emplace(server_->address(), std::chrono::seconds(10));
    probe_.emplace(options_.interval, [this] {
      const absl::Status ledger = ledger_->Probe();
      watch_->OnProbe(ledger);
      server_->SetHealth(ledger.ok() ? rpc::Server::Health::kServing
                                     : rpc::Server::Health::kNotServing);
    });
    if (payer_) {
      payout_.emplace(*ledger_, *payer_, clock_, random_, *watch_, PayoutOptions());
      payout_->Start();
    }
    const char* const how = options_.transport == Transport::kTls ? "" : " in plaintext";
    std::vector<std::pair<std::string, std::string>> addresses = {{"listen", server_->address()}};
    spdlog::info("listening on {}{}", server_->address(), how);
    if (json_) {
      addresses.emplace_back("https", json_->address());
      spdlog::info("JSON on {}{}", json_->address(), how);
    }
    if (http_) {
      addresses.emplace_back("http", http_->address());
      spdlog::info("HTTP on {}", http_->address());
    }
    return serve::AnnounceReady(options_.ready_file, addresses);
  }

  absl::Status Serve(serve::Signals& signals) {
    for (;;) {
      const auto event = signals.Next(options_.interval);
      if (event == serve::Signals::Event::kShutdown) break;
      if (watchdog_ && watchdog_->wedged()) {
        return absl::UnavailableError(server_->address() +
                                      ": takes no connections any more; restart it");
      }
      // Where the ledger hangs, so does its probe, and says nothing.
      if (!watch_->CheckLedger().ok()) server_->SetHealth(rpc::Server::Health::kNotServing);
      const std::vector<FileStamp> stamps = StampsOf(options_.files);
      if (event == serve::Signals::Event::kReload || stamps != seen_) Reload(stamps);
    }
    spdlog::info("draining for at most {} ms", options_.drain.count());
    if (http_) http_->SetDraining();
    watchdog_.reset();
    const auto end = std::chrono::steady_clock::now() + options_.drain;
    const auto left = [end] {
      return std::max(std::chrono::milliseconds(0), std::chrono::ceil<std::chrono::milliseconds>(
                                                        end - std::chrono::steady_clock::now()));
    };
    // What still waits for the ledger is answered, whichever way it came.
    server_->Drain(options_.drain);
    if (json_) json_->Drain();
    if (payout_) payout_->Stop(left());
    return absl::OkStatus();
  }

 private:
  absl::Status StartServers(LoadedDesk& loaded) {
    rpc::ServerOptions server;
    server.listen = options_.listen;
    serve::ApiOptions json;
    json.listen = options_.https;
    json.max_body_bytes = kMostJsonBytes;
    json.threads = kJsonThreads;
    json.handle = [this](const serve::ApiRequest& request) {
      return json_service_->Handle(request);
    };
    if (options_.transport == Transport::kTls) {
      json.tls = serve::ApiOptions::Tls{loaded.tls_certificates_pem, loaded.tls_key_pem.Clone()};
      server.tls = rpc::TlsIdentity{.certificates = std::move(loaded.tls_certificates_pem),
                                    .key = std::move(loaded.tls_key_pem)};
    }
    ASSIGN_OR_RETURN(server_, rpc::Server::Start(std::move(server), {&*service_}));
    if (!options_.https.empty()) {
      json_service_.emplace([this] { return service_->desk(); }, *watch_);
      ASSIGN_OR_RETURN(json_, serve::ApiServer::Start(std::move(json)));
    }
    if (!options_.http.empty()) {
      ASSIGN_OR_RETURN(http_, serve::HttpServer::Start(SideDoor(), &metrics_));
    }
    return absl::OkStatus();
  }

  void Reload(const std::vector<FileStamp>& stamps) {
    seen_ = stamps;
    absl::StatusOr<LoadedDesk> loaded = LoadDesk(options_.files, clock_, *ledger_);
    if (!loaded.ok()) {
      reload_failures_.Increment();
      spdlog::error("issuers and lists stay as they are: {}", Std(loaded.status().message()));
      return;
    }
    service_->Replace(std::move(loaded->desk));
    NoteLists();
    reloads_.Increment();
    spdlog::info("issuers and lists were reloaded");
  }

  void NoteLists() {
    const Timestamp end = service_->desk()->lists_next_update();
    if (end == Timestamp::max()) return;
    metrics_
        .AddGauge("nark_refunds_lists_next_update_timestamp_seconds",
                  "When the first of the lists in force is out of date: from then on no note is "
                  "taken.")
        .Set(std::chrono::duration<double>(end.time_since_epoch()).count());
  }

  serve::HttpOptions SideDoor() {
    serve::HttpOptions http;
    http.listen = options_.http;
    http.program = "nark-refunds";
    http.version = kProgramVersion;
    http.ready = [this]() -> absl::Status {
      RETURN_IF_ERROR(service_->desk()->CheckLists());
      return watch_->CheckLedger();
    };
    http.state = [this]() -> std::vector<std::pair<std::string, std::string>> {
      return {{"gRPC", server_->address()},
              {"transport", options_.transport == Transport::kTls ? "TLS 1.3" : "plaintext"},
              {"JSON", json_ ? json_->address() : "no"},
              {"pays out", !options_.pay_command.empty() ? "by command"
                           : !options_.pay_url.empty()   ? "by URL"
                                                         : "no"},
              {"provider", ToHex(service_->desk()->provider())}};
    };
    http.tables = [this] { return watch_->Tables(); };
    return http;
  }

  const DeskOptions& options_;
  SystemClock clock_;
  serve::Metrics metrics_;
  serve::Counter& reloads_ = metrics_.AddCounter("nark_refunds_reloads_total",
                                                 "Times that issuers and lists were reloaded.");
  serve::Counter& reload_failures_ = metrics_.AddCounter(
      "nark_refunds_reload_failures_total", "Times that changed files could not be loaded.");
  std::vector<FileStamp> seen_;
  SystemRandom random_;
  std::unique_ptr<Payer> payer_;
  // Before the servers, which wait for answers that the ledger gives.
  std::unique_ptr<Ledger> ledger_;
  std::optional<DeskWatch> watch_;
  std::optional<RefundDeskService> service_;
  std::optional<JsonService> json_service_;
  std::unique_ptr<rpc::Server> server_;
  std::unique_ptr<serve::ApiServer> json_;
  std::unique_ptr<serve::HttpServer> http_;
  std::optional<rpc::Watchdog> watchdog_;
  std::optional<serve::Periodic> probe_;
  std::optional<Payout> payout_;
};

}  // namespace

absl::Status RunDesk(const DeskOptions& options, serve::Signals& signals) {
  DeskServer server(options);
  RETURN_IF_ERROR(server.Start());
  return server.Serve(signals);
}

}  // namespace nark::refunds
