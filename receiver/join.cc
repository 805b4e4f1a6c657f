#include "receiver/join.h"

#include <spdlog/spdlog.h>

#include <array>
#include <atomic>
#include <cstdio>
#include <memory>
#include <optional>
#include <set>
#include <span>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_join.h"
#include "common/base/bytes.h"
#include "common/base/status.h"
#include "common/base/steady_clock.h"
#include "common/base/storage.h"
#include "common/base/version.h"
#include "common/net/transport.h"
#include "common/serve/http.h"
#include "common/serve/ready_file.h"
#include "receiver/block_progress.h"
#include "receiver/driver.h"
#include "receiver/grant_wait.h"
#include "receiver/join_outputs.h"
#include "receiver/metrics.h"
#include "receiver/output.h"
#include "receiver/renewal_rule.h"
#include "receiver/session_file.h"
#include "receiver/session_sources.h"
#include "receiver/statistics.h"
#include "relay/client/source.h"
#include "securespace/connect.h"
#include "securespace/socket_server.h"

namespace nark::receiver {
namespace {

using std::chrono::microseconds;

// How long flushing may take at the end.
constexpr microseconds kFlushTime = std::chrono::seconds(3);
constexpr microseconds kPublishEvery = std::chrono::milliseconds(200);

void Warn(const std::string& line) { spdlog::warn(line); }

// One run of `join`. The order of its members is the order of dependence.
class JoinRun {
 public:
  JoinRun(const JoinSettings& settings, serve::Signals& signals, Clock& clock, Random& random)
      : settings_(settings),
        signals_(signals),
        clock_(clock),
        random_(random),
        block_cache_(settings.cache) {}

  absl::Status Run();

 private:
  // Everything that can be wrong on this side.
  absl::Status CheckLocally();
  absl::Status Bind();
  absl::StatusOr<std::unique_ptr<net::DatagramSource>> OpenSource(const std::string& uri);
  absl::Status OpenSideDoors();
  absl::Status Play();
  absl::Status OnJoined();
  absl::Status TakeBlock();
  // A lapsed lease, or an order to contact: asks a key manager for a newer grant, in
  // the background, as often as it takes.
  absl::Status Renew();
  absl::Status StartRenewal(Timestamp now);
  // A later descriptor in the session file: its senders are heard, its transports and
  // key managers used from now on.
  void TakeLaterSession();
  absl::Status Adopt(VerifiedSession later);
  // `ended`: what the program will say itself.
  void Watch(const absl::Status& ended);
  bool Idle() const;
  absl::Status Report(absl::Status status);
  Statistics Numbers() const;

  const JoinSettings& settings_;
  serve::Signals& signals_;
  Clock& clock_;
  Random& random_;
  SteadyClock steady_clock_;  // of the subscription to a relay

  std::optional<Purchase> purchase_;
  std::optional<securespace::Connection> connection_;
  std::unique_ptr<securespace::SocketServer> socket_server_;
  KeyManagers key_managers_;
  const BlockCache block_cache_;
  std::optional<Joiner> joiner_;
  JoinOutputs outputs_;
  std::optional<SessionFile> session_file_;
  SessionSources sources_;
  std::unique_ptr<Reception> reception_;
  std::optional<Driver> driver_;
  std::optional<GrantWait> grant_wait_;
  serve::Metrics metrics_;
  std::optional<ReceiverMetrics> receiver_metrics_;
  std::unique_ptr<serve::HttpServer> http_;
  std::unique_ptr<JoinThread> join_thread_;
  RenewalRule renewal_rule_{random_};

  std::atomic<bool> playing_{false};
  absl::Status first_output_error_;
  std::set<v1::RefusalReason> reasons_told_;
  Timestamp published_;
  uint64_t last_received_ = 0;
  Timestamp last_progress_;
};

absl::Status JoinRun::Run() {
  RETURN_IF_ERROR(CheckLocally());
  RETURN_IF_ERROR(outputs_.Open(settings_.outputs, settings_.playout_delay, Warn));
  RETURN_IF_ERROR(Bind());
  RETURN_IF_ERROR(OpenSideDoors());
  return Report(Play());
}

absl::Status JoinRun::CheckLocally() {
  session_file_.emplace(settings_.session_path);
  ASSIGN_OR_RETURN(purchase_,
                   Purchase::Load(settings_.session_path, settings_.voucher_path, clock_.Now()));
  ASSIGN_OR_RETURN(connection_,
                   securespace::Connect(settings_.secure_space, securespace::WhenLocked::kFail,
                                        clock_, random_, settings_.insecure));
  ASSIGN_OR_RETURN(key_managers_, KeyManagers::Connect(purchase_->session, settings_.key_managers,
                                                       settings_.transport, random_));
  joiner_.emplace(purchase_->session, purchase_->voucher, purchase_->verified_voucher,
                  connection_->space(), key_managers_.endpoints);
  JoinOptions options;
  options.timeout = settings_.timeout;
  options.spread = key_managers_.spread;
  options.cache = &block_cache_;
  options.block_progress = TellBlockProgress();
  options.warn = Warn;
  joiner_->Start(options, clock_.Now());
  // The first step asks the secure space only.
  joiner_->Step(clock_.Now());
  if (!joiner_->result().ok()) return Annotate(joiner_->result(), settings_.secure_space);
  if (connection_->folder != nullptr) {
    ASSIGN_OR_RETURN(socket_server_,
                     securespace::SocketServer::Start(
                         connection_->space(), securespace::SocketPath(settings_.secure_space)));
  }
  return absl::OkStatus();
}

absl::Status JoinRun::Bind() {
  ReceptionOptions options;
  options.sub_sessions = outputs_.sub_sessions;
  options.play_out.delay = settings_.playout_delay - outputs_.spread;
  options.range = settings_.range;
  ASSIGN_OR_RETURN(reception_, Reception::Create(purchase_->session, connection_->space(),
                                                 outputs_.set, options));
  ASSIGN_OR_RETURN(
      sources_, SessionSources::Open(purchase_->session, outputs_.sub_sessions, settings_.input,
                                     [this](const std::string& uri) { return OpenSource(uri); }));
  driver_.emplace(sources_.borrowed(), *reception_, outputs_.set, clock_);
  grant_wait_.emplace(*driver_, *reception_);
  for (const std::string& uri : sources_.uris) {
    spdlog::info("session {} {}: receiving from {}", purchase_->session.name().ToString(),
                 purchase_->session.terms().title(), uri);
  }
  return absl::OkStatus();
}

absl::StatusOr<std::unique_ptr<net::DatagramSource>> JoinRun::OpenSource(const std::string& uri) {
  if (!relay::RelayAddress::Matches(uri) || !settings_.range.everything()) {
    return net::OpenSource(uri, Warn, settings_.range);
  }
  relay::SourceOptions options;
  for (const uint32_t sub_session : outputs_.sub_sessions) {
    options.tags.push_back(SessionTag(SessionContext(purchase_->session.name(), sub_session)));
  }
  options.timeout = settings_.timeout;
  options.tell = [](const std::string& line) { spdlog::warn(line); };
  return relay::OpenRelaySource(uri, std::move(options), steady_clock_, random_);
}

absl::Status JoinRun::OpenSideDoors() {
  receiver_metrics_.emplace(metrics_);
  if (settings_.http.empty()) return absl::OkStatus();
  serve::HttpOptions options;
  options.listen = settings_.http;
  options.program = "nark-receiver";
  options.version = kProgramVersion;
  // By value: a later descriptor may take the session's place meanwhile.
  options.state = [this, name = purchase_->session.name().ToString(),
                   title = purchase_->session.terms().title()]()
      -> std::vector<std::pair<std::string, std::string>> {
    return {{"session", name}, {"title", title}, {"state", playing_ ? "playing" : "joining"}};
  };
  options.ready = [this] {
    return playing_ ? absl::OkStatus() : absl::UnavailableError("no grant is installed yet");
  };
  ASSIGN_OR_RETURN(http_, serve::HttpServer::Start(std::move(options), &metrics_));
  spdlog::info("serving http://{}", http_->address());
  return absl::OkStatus();
}

absl::Status JoinRun::Play() {
  ASSIGN_OR_RETURN(join_thread_, JoinThread::Start(*joiner_, clock_));
  for (;;) {
    std::array<int, 2> wake = {signals_.fd(), join_thread_ != nullptr ? join_thread_->fd() : -1};
    const auto wanted = std::span<const int>(wake).first(join_thread_ != nullptr ? 2 : 1);
    auto turn = driver_->Turn(wanted, kPublishEvery);
    Watch(turn.status());
    RETURN_IF_ERROR(turn.status());
    if (!playing_ && join_thread_->done()) RETURN_IF_ERROR(OnJoined());
    if (playing_) {
      TakeLaterSession();
      RETURN_IF_ERROR(Renew());
    }
    const bool told =
        signals_.Next(std::chrono::milliseconds(0)) == serve::Signals::Event::kShutdown;
    if (told || *turn == Driver::Source::kEnded || Idle()) break;
  }
  grant_wait_->End();
  RETURN_IF_ERROR(driver_->Finish(kFlushTime));
  return grant_wait_->LeftOut();
}

absl::Status JoinRun::OnJoined() {
  RETURN_IF_ERROR(join_thread_->result());
  join_thread_.reset();
  RETURN_IF_ERROR(TakeBlock());
  driver_->StartPlaying();
  grant_wait_->Begin();
  playing_ = true;
  last_progress_ = clock_.Now();
  if (joiner_->used_installed_grant()) {
    spdlog::info("the grant is installed already");
  } else {
    spdlog::info("joined; key managers know it as request {}", key_managers_.request_id);
  }
  std::vector<std::pair<std::string, std::string>> addresses;
  if (http_ != nullptr) addresses.emplace_back("http", http_->address());
  return serve::AnnounceReady(settings_.ready_file, addresses);
}

absl::Status JoinRun::TakeBlock() {
  if (joiner_->block_origin() == Joiner::BlockOrigin::kKeyManager) {
    spdlog::info("the marked block was fetched");
  }
  return reception_->SetBlock(joiner_->block());
}

absl::Status JoinRun::Renew() {
  const PlayOutStatistics adus = reception_->adus();
  const RenewalRule::Counts counts{adus.refusals(), adus.delivered};
  const Digest& descriptor = purchase_->session.descriptor_identity();
  if (join_thread_ != nullptr) {
    if (!join_thread_->done()) return absl::OkStatus();
    const absl::Status result = join_thread_->result();
    join_thread_.reset();
    // Why it went wrong once says little of the next time: only the viewer ends it.
    if (result.ok()) {
      spdlog::info("the grant is renewed");
      renewal_rule_.OnRenewed(counts, descriptor);
    } else {
      const std::string reason = ReasonOf(result);
      spdlog::warn("the grant is not renewed yet: {}{}; request {}", std::string(result.message()),
                   reason.empty() ? "" : " (" + reason + ")", key_managers_.request_id);
      renewal_rule_.OnFailed();
    }
    grant_wait_->OnRenewed(result);
  }
  grant_wait_->AfterTurn();
  const Timestamp now = clock_.Now();
  ASSIGN_OR_RETURN(const bool due, renewal_rule_.Due(counts, descriptor, now));
  return due ? StartRenewal(now) : absl::OkStatus();
}

absl::Status JoinRun::StartRenewal(Timestamp now) {
  joiner_.emplace(purchase_->session, purchase_->voucher, purchase_->verified_voucher,
                  connection_->space(), key_managers_.endpoints);
  JoinOptions options;
  options.timeout = settings_.timeout;
  options.spread = key_managers_.spread;
  options.installed = JoinOptions::Installed::kRenew;
  options.block = JoinOptions::Block::kHave;
  joiner_->Start(options, now);
  ASSIGN_OR_RETURN(join_thread_, JoinThread::Start(*joiner_, clock_));
  return absl::OkStatus();
}

void JoinRun::TakeLaterSession() {
  // A renewal reads the session in its own thread.
  if (join_thread_ != nullptr) return;
  const Timestamp now = clock_.Now();
  auto later = session_file_->Poll(purchase_->session, now);
  absl::Status status = later.status();
  if (status.ok() && later->has_value()) {
    status = Adopt(**std::move(later));
    if (!status.ok()) session_file_->TryAgain(now);
  }
  if (!status.ok()) spdlog::warn("{}", std::string(status.message()));
}

absl::Status JoinRun::Adopt(VerifiedSession later) {
  SessionSources moved;
  const bool moves =
      SessionSources::UrisOf(later, outputs_.sub_sessions, settings_.input) != sources_.uris;
  if (moves) {
    ASSIGN_OR_RETURN(
        moved, SessionSources::Open(later, outputs_.sub_sessions, settings_.input,
                                    [this](const std::string& uri) { return OpenSource(uri); }));
  }
  ASSIGN_OR_RETURN(KeyManagers managers, KeyManagers::Connect(later, settings_.key_managers,
                                                              settings_.transport, random_));
  if (moves) {
    driver_->SetSources(moved.borrowed());
    sources_ = std::move(moved);
    grant_wait_->Begin();
  }
  key_managers_ = std::move(managers);
  // In place: reassembly and play-out look at it by reference.
  purchase_->session = std::move(later);
  spdlog::info("a later session file is in force: senders {}",
               std::string(absl::StrJoin(purchase_->session.sender_ids(), ", ")));
  return absl::OkStatus();
}

// Tells what people should know at once, each thing once.
void JoinRun::Watch(const absl::Status& ended) {
  for (const absl::Status& error : outputs_.set.TakeErrors()) {
    if (error != ended) spdlog::error("{}", std::string(error.message()));
    if (first_output_error_.ok()) first_output_error_ = error;
  }
  const PlayOutStatistics adus = reception_->adus();
  for (const auto& [reason, count] : adus.refusals()) {
    if (!reasons_told_.insert(reason).second) continue;
    const bool went_back =
        reason == v1::REFUSAL_REASON_LATE && absl::StartsWith(settings_.input, "file:");
    spdlog::warn("the secure space refuses keys: {}{}", ReasonName(reason),
                 went_back ? ": a live session's recording is played forwards only; sessions to "
                             "seek in are made with --timeliness none"
                           : "");
  }
  const Timestamp now = clock_.Now();
  if (adus.received != last_received_ || driver_->waits_for_grant()) {
    last_received_ = adus.received;
    last_progress_ = now;
  }
  if (now - published_ >= kPublishEvery || now < published_) {
    published_ = now;
    receiver_metrics_->Publish(Numbers());
  }
}

Statistics JoinRun::Numbers() const {
  Statistics statistics = Statistics::Of(*reception_);
  statistics.socket_drops = sources_.lost();
  return statistics;
}

bool JoinRun::Idle() const {
  return settings_.stop_after_idle.count() > 0 && playing_ && last_received_ > 0 &&
         clock_.Now() - last_progress_ >= settings_.stop_after_idle;
}

absl::Status JoinRun::Report(absl::Status status) {
  if (!playing_) return status;
  Watch(status);
  const Statistics statistics = Numbers();
  receiver_metrics_->Publish(statistics);
  if (status.ok() && statistics.datagrams.used == 0 && absl::StartsWith(settings_.input, "file:")) {
    spdlog::warn("nothing in {} is of this session{}", settings_.input,
                 settings_.range.everything() ? "" : " and of the range");
  }
  if (settings_.report == JoinSettings::Report::kJson) {
    std::FILE* to = StandardOutputIsMedia(settings_.outputs) ? stderr : stdout;
    std::fprintf(to, "%s\n", statistics.ToJson().c_str());
    std::fflush(to);
  } else {
    std::fprintf(stderr, "nark-receiver: %s\n", statistics.ToText().c_str());
  }
  if (status.ok()) status = first_output_error_;
  if (!settings_.statistics_file.empty()) {
    const absl::Status written =
        WriteFile(settings_.statistics_file, AsBytes(statistics.ToJson()), FileMode::kPublic);
    if (status.ok()) status = written;
  }
  return status;
}

}  // namespace

absl::Status RunJoin(const JoinSettings& settings, serve::Signals& signals, Clock& clock,
                     Random& random) {
  return JoinRun(settings, signals, clock, random).Run();
}

}  // namespace nark::receiver
