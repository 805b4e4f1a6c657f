#include "relay/service.h"

#include <poll.h>
#include <spdlog/spdlog.h>

#include <algorithm>
#include <filesystem>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/base/status.h"
#include "common/base/version.h"
#include "common/net/datagram_io.h"
#include "common/net/transport.h"
#include "common/object/file.h"
#include "common/object/session.h"
#include "common/serve/http.h"
#include "common/serve/ready_file.h"
#include "relay/client/source.h"
#include "relay/desk.h"
#include "relay/forwarder.h"
#include "relay/metrics.h"
#include "relay/udp_port.h"

namespace nark::relay {
namespace {

using std::chrono::microseconds;
using std::chrono::milliseconds;

constexpr size_t kBatch = 256;
// Messages a turn, so that a flood of them holds no stream up.
constexpr size_t kMessagesATurn = 256;
constexpr microseconds kTick = milliseconds(200);
constexpr microseconds kWarnEvery = std::chrono::minutes(1);
constexpr size_t kMostRows = 200;

struct Input {
  std::string uri;
  std::unique_ptr<net::DatagramSource> source;
  bool ended = false;
};

// What the sessions' descriptors say.
struct Served {
  std::vector<uint64_t> tags;
  std::vector<std::string> transports;
};

absl::StatusOr<Served> LoadSessions(const std::vector<std::string>& paths, Timestamp now) {
  std::set<uint64_t> tags;
  std::set<std::string> transports;
  for (const std::string& path : paths) {
    ASSIGN_OR_RETURN(v1::NarkFile file, ReadNarkFile(path, v1::NarkFile::kSessionDescriptor));
    const auto session = VerifiedSession::Verify(file.session_descriptor(), now);
    if (!session.ok()) return Annotate(session.status(), path);
    for (const v1::Transport& transport : session->descriptor().transports()) {
      tags.insert(SessionTag(SessionContext(session->name(), transport.sub_session())));
      transports.insert(transport.uri());
    }
  }
  return Served{{tags.begin(), tags.end()}, {transports.begin(), transports.end()}};
}

// "GROUP:PORT" of a UDP URI; empty for others.
std::string GroupOf(const std::string& uri) {
  const auto address = net::UdpAddress::Parse(uri);
  return address.ok() ? address->HostPort() : "";
}

// One run. The order of its members is the order of dependence.
class Relay {
 public:
  Relay(const RelayOptions& options, serve::Signals& signals, Clock& clock, Clock& wall,
        Random& random)
      : options_(options), signals_(signals), clock_(clock), wall_(wall), random_(random) {}

  absl::Status Start();
  absl::Status Run();

 private:
  absl::Status OpenInputs(const Served& served);
  absl::Status OpenOutputs();
  absl::Status OpenSideDoors();
  absl::Status Turn();
  absl::Status TakeInputs(Timestamp now);
  absl::Status TakeMessages(Timestamp now);
  void Tick(Timestamp now);
  void Wait();
  void Reload();
  Snapshot Now(Timestamp now) const;

  const RelayOptions& options_;
  serve::Signals& signals_;
  Clock& clock_;
  Clock& wall_;
  Random& random_;

  std::unique_ptr<Desk> desk_;
  std::unique_ptr<UdpPort> port_;
  std::vector<Input> inputs_;
  std::vector<std::unique_ptr<net::DatagramSink>> outputs_;
  size_t datagram_bytes_ = 0;
  std::optional<Forwarder> forwarder_;
  std::array<uint64_t, kVerdicts> messages_{};
  std::array<uint64_t, kAnswerStatuses> refused_{};
  serve::Metrics metrics_;
  RelayMetrics relay_metrics_{metrics_};
  std::unique_ptr<serve::HttpServer> http_;
  std::vector<pollfd> polls_;
  Bytes arena_;               // the datagrams of one turn
  std::vector<size_t> ends_;  // where each ends
  bool more_ = false;         // a source may hold more than was taken
  Timestamp ticked_{};
  Timestamp warned_{};
  uint64_t repeated_ = 0;
};

absl::Status Relay::Start() {
  ASSIGN_OR_RETURN(const Served served, LoadSessions(options_.sessions, wall_.Now()));
  DeskOptions desk;
  desk.tags = served.tags;
  desk.lease = options_.lease;
  desk.subscribers = options_.subscribers;
  desk.per_address = options_.per_address;
  desk.per_credential = options_.per_token;
  ASSIGN_OR_RETURN(desk_, Desk::Create(std::move(desk), random_));
  if (!options_.listen.empty()) {
    ASSIGN_OR_RETURN(std::vector<Token> tokens, LoadTokens(options_.tokens));
    desk_->SetTokens(std::move(tokens), clock_.Now());
    ASSIGN_OR_RETURN(port_, UdpPort::Open(options_.listen));
  }
  RETURN_IF_ERROR(OpenOutputs());
  RETURN_IF_ERROR(OpenInputs(served));
  std::vector<net::DatagramSink*> sinks;
  for (const auto& output : outputs_) sinks.push_back(output.get());
  ForwarderOptions forwarding;
  forwarding.datagram_bytes = datagram_bytes_;
  forwarding.bytes_per_second = static_cast<double>(options_.bits_per_second) / 8;
  forwarder_.emplace(forwarding, *desk_, port_.get(), std::move(sinks));
  return OpenSideDoors();
}

absl::Status Relay::OpenOutputs() {
  for (const std::string& uri : options_.outputs) {
    ASSIGN_OR_RETURN(net::OpenedSink opened, net::OpenSink(uri));
    outputs_.push_back(std::move(opened.sink));
  }
  return absl::OkStatus();
}

absl::Status Relay::OpenInputs(const Served& served) {
  const auto& uris = options_.inputs.empty() ? served.transports : options_.inputs;
  if (uris.empty()) return absl::InvalidArgumentError("the sessions name no transport: --input");
  for (const std::string& uri : uris) {
    Input input{.uri = uri, .source = nullptr};
    int bytes = net::UdpAddress().datagram_bytes;
    if (RelayAddress::Matches(uri)) {
      ASSIGN_OR_RETURN(const RelayAddress address, RelayAddress::Parse(uri));
      bytes = address.udp.datagram_bytes;
      const auto tell = [](const std::string& line) { spdlog::warn(line); };
      ASSIGN_OR_RETURN(input.source, OpenRelaySource(uri, {served.tags, options_.timeout, tell},
                                                     clock_, random_));
    } else {
      const std::string group = GroupOf(uri);
      for (const std::string& output : options_.outputs) {
        if (group.empty() || group != GroupOf(output)) continue;
        return absl::InvalidArgumentError(
            absl::StrCat(output, " is the input too: the relay would feed itself"));
      }
      if (const auto address = net::UdpAddress::Parse(uri); address.ok()) {
        bytes = address->datagram_bytes;
      }
      ASSIGN_OR_RETURN(input.source, net::OpenSource(uri));
    }
    datagram_bytes_ = std::max(datagram_bytes_, static_cast<size_t>(bytes));
    spdlog::info("relaying from {}", uri);
    inputs_.push_back(std::move(input));
  }
  return absl::OkStatus();
}

absl::Status Relay::OpenSideDoors() {
  std::vector<std::pair<std::string, std::string>> addresses;
  if (port_ != nullptr) {
    addresses.emplace_back("listen", port_->address());
    spdlog::info("subscribers at {}", port_->address());
  }
  if (!options_.http.empty()) {
    serve::HttpOptions http;
    http.listen = options_.http;
    http.program = "nark-relay";
    http.version = kProgramVersion;
    http.state = [this] { return relay_metrics_.State(); };
    http.tables = [this] { return relay_metrics_.Tables(); };
    ASSIGN_OR_RETURN(http_, serve::HttpServer::Start(std::move(http), &metrics_));
    addresses.emplace_back("http", http_->address());
    spdlog::info("HTTP on {}", http_->address());
  }
  return serve::AnnounceReady(options_.ready_file, addresses);
}

absl::Status Relay::Run() {
  std::optional<Timestamp> ends;
  for (;;) {
    RETURN_IF_ERROR(Turn());
    const auto event = signals_.Next(milliseconds(0));
    if (event == serve::Signals::Event::kReload) Reload();
    if (event == serve::Signals::Event::kShutdown) {
      if (ends) break;  // a second one does not wait
      ends = clock_.Now() + options_.drain;
      desk_->SetEnding();
      if (http_ != nullptr) http_->SetDraining();
      spdlog::info("takes no more subscribers; ends once the {} that it has are gone",
                   desk_->size());
    }
    if (ends && (desk_->size() == 0 || clock_.Now() >= *ends)) break;
    const bool over =
        std::all_of(inputs_.begin(), inputs_.end(), [](const Input& input) { return input.ended; });
    if (over) break;  // files, read to their ends
  }
  Tick(clock_.Now());
  return absl::OkStatus();
}

absl::Status Relay::Turn() {
  Wait();
  const Timestamp now = clock_.Now();
  if (port_ != nullptr) {
    port_->TakeUnreachable([&](const Endpoint& endpoint) { desk_->OnUnreachable(endpoint, now); });
    RETURN_IF_ERROR(TakeMessages(now));
  }
  RETURN_IF_ERROR(TakeInputs(now));
  if (now - ticked_ >= kTick) Tick(now);
  return absl::OkStatus();
}

void Relay::Wait() {
  polls_.clear();
  // What a source holds already, poll() does not see.
  bool waits = !more_;
  for (const Input& input : inputs_) {
    if (input.ended) continue;
    if (input.source->more()) waits = false;
    polls_.push_back({input.source->descriptor(), POLLIN, 0});
  }
  if (port_ != nullptr) polls_.push_back({port_->descriptor(), POLLIN, 0});
  polls_.push_back({signals_.fd(), POLLIN, 0});
  const auto longest = std::chrono::duration_cast<milliseconds>(kTick).count();
  ::poll(polls_.data(), polls_.size(), waits ? static_cast<int>(longest) : 0);
}

absl::Status Relay::TakeMessages(Timestamp now) {
  std::vector<std::pair<Endpoint, Bytes>> answers;
  const absl::StatusOr<size_t> taken =
      port_->Receive(kMessagesATurn, [&](const Endpoint& from, ByteView message) {
        Desk::Reply reply = desk_->OnMessage(message, from, now);
        ++messages_[static_cast<size_t>(reply.verdict)];
        if (reply.verdict == Verdict::kRefused) {
          ++refused_[static_cast<size_t>(reply.status)];
        }
        if (reply.message) answers.emplace_back(from, *std::move(reply.message));
      });
  RETURN_IF_ERROR(taken.status());
  for (const auto& [to, answer] : answers) {
    const ByteView one[] = {answer};
    RETURN_IF_ERROR(port_->Send(std::span(&to, 1), one));
  }
  return absl::OkStatus();
}

absl::Status Relay::TakeInputs(Timestamp now) {
  more_ = false;
  for (Input& input : inputs_) {
    if (input.ended) continue;
    // Views are valid during the call only.
    arena_.clear();
    ends_.clear();
    ASSIGN_OR_RETURN(const size_t taken, input.source->Receive(kBatch, [&](ByteView datagram) {
      arena_.insert(arena_.end(), datagram.begin(), datagram.end());
      ends_.push_back(arena_.size());
    }));
    size_t begin = 0;
    for (const size_t end : ends_) {
      forwarder_->Add(ByteView(arena_).subspan(begin, end - begin), now);
      begin = end;
    }
    RETURN_IF_ERROR(forwarder_->Flush(now));
    more_ = more_ || taken == kBatch;
    if (input.source->exhausted()) input.ended = true;
  }
  return absl::OkStatus();
}

void Relay::Tick(Timestamp now) {
  ticked_ = now;
  desk_->Advance(now);
  relay_metrics_.Publish(Now(now));
  const uint64_t repeated = forwarder_->statistics().stopped[static_cast<size_t>(Stop::kRepeated)];
  if (repeated > repeated_ && now - warned_ >= kWarnEvery) {
    spdlog::warn(
        "{} datagrams came back more than {} times: do relays feed each other in a "
        "circle?",
        repeated - repeated_, RepeatGuard::kMost);
    warned_ = now;
    repeated_ = repeated;
  }
}

void Relay::Reload() {
  if (port_ == nullptr) return;
  absl::StatusOr<std::vector<Token>> tokens = LoadTokens(options_.tokens);
  if (!tokens.ok()) {
    spdlog::error("the tokens stay as they are: {}", Std(tokens.status().message()));
    return;
  }
  spdlog::info("{} tokens were read again", tokens->size());
  desk_->SetTokens(*std::move(tokens), clock_.Now());
}

Snapshot Relay::Now(Timestamp now) const {
  Snapshot snapshot;
  snapshot.forwarded = forwarder_->statistics();
  snapshot.messages = messages_;
  snapshot.refused = refused_;
  snapshot.subscribers = desk_->size();
  snapshot.unreachable = desk_->unreachable();
  for (const Input& input : inputs_) snapshot.lost_in += input.source->lost();
  for (const auto& output : outputs_) snapshot.outputs_lost += output->lost();
  if (port_ != nullptr) snapshot.lost_out = port_->lost();
  snapshot.table.title = "Subscribers";
  snapshot.table.columns = {"site", "address", "seconds", "lease left", "datagrams", "bytes"};
  const auto seconds = [](auto duration) {
    return absl::StrCat(std::chrono::duration_cast<std::chrono::seconds>(duration).count());
  };
  for (const Subscriber* one : desk_->Subscribers()) {
    if (snapshot.table.rows.size() >= kMostRows) break;
    snapshot.table.rows.push_back({one->site, one->endpoint.ToString(), seconds(now - one->since),
                                   seconds(one->lease_end - now), absl::StrCat(one->datagrams),
                                   absl::StrCat(one->bytes)});
  }
  return snapshot;
}

}  // namespace

absl::StatusOr<std::vector<Token>> LoadTokens(const std::vector<std::string>& paths) {
  std::vector<std::string> files;
  for (const std::string& path : paths) {
    std::error_code error;
    if (!std::filesystem::is_directory(path, error)) {
      files.push_back(path);
      continue;
    }
    std::filesystem::directory_iterator folder(path, error);
    if (error) {
      return absl::PermissionDeniedError(absl::StrCat("cannot read ", path, ": ", error.message()));
    }
    for (const auto& entry : folder) {
      if (entry.path().extension() == ".token") files.push_back(entry.path());
    }
  }
  std::sort(files.begin(), files.end());
  std::vector<Token> tokens;
  for (const std::string& file : files) {
    ASSIGN_OR_RETURN(Token token, Token::Load(file));
    tokens.push_back(std::move(token));
  }
  return tokens;
}

absl::Status RunRelay(const RelayOptions& options, serve::Signals& signals, Clock& clock,
                      Clock& wall, Random& random) {
  Relay relay(options, signals, clock, wall, random);
  RETURN_IF_ERROR(relay.Start());
  return relay.Run();
}

}  // namespace nark::relay
