// nark-sender: encrypts a stream and multicasts it.

#include <spdlog/spdlog.h>
#include <unistd.h>

#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "common/base/status.h"
#include "common/base/storage.h"
#include "common/base/version.h"
#include "common/cli/program.h"
#include "common/crypto/secret_bytes.h"
#include "common/net/transport.h"
#include "common/object/file.h"
#include "common/object/sender_file.h"
#include "common/serve/http.h"
#include "common/serve/log.h"
#include "common/serve/process.h"
#include "common/serve/ready_file.h"
#include "common/serve/shutdown.h"
#include "sender/control_server.h"
#include "sender/expel.h"
#include "sender/index.h"
#include "sender/marking.h"
#include "sender/order_book.h"
#include "sender/reporter.h"
#include "sender/signal_waiter.h"
#include "sender/station.h"

namespace nark::sender {
namespace {

struct Flags {
  std::string session;
  std::string input;
  std::string output;
  std::string control;
  std::string http;
  std::string pace;
  std::string state;
  std::string ready_file;
  std::string index;
  std::string encrypt = "all";
  std::string encrypt_first;
  std::optional<uint64_t> first_adu;
  uint64_t sub_session = 0;
  uint64_t fec_percent = 0;
  Batching batching;
};

void Declare(Flags& flags, cli::Command& command) {
  using cli::Need;
  command.Text("--session", &flags.session,
               "the sender's file, made by narkctl session create --sender-out", Need::kRequired);
  command.Text("--input", &flags.input,
               "- (stdin), a path, file:PATH, or a transport stream in UDP or RTP: "
               "udp://[SOURCE@]GROUP:PORT?adapter=IFACE, udp://ADDRESS:PORT; in a session with an "
               "audit trail a WAV file of 16-bit PCM",
               Need::kRequired);
  command.Text("--output", &flags.output,
               "instead of the session's transport: file:PATH, or udp://[SOURCE@]GROUP:PORT with "
               "?adapter=IFACE&ttl=N&dscp=EF&loop=0&sndbuf=BYTES&mtu=BYTES");
  command.Text("--control", &flags.control,
               "HOST:PORT where the provider's control role may expel and readmit members");
  command.Text("--http", &flags.http,
               "HOST:PORT for /metrics, /livez, /readyz and the program's page");
  command.Number("--first-adu", &flags.first_adu,
                 "id of the first ADU, not below any that was used; default: the next one");
  command.Choice("--encrypt", &flags.encrypt, {"all", "video"},
                 "what of every ADU; video: of a transport stream, what packets of video carry; "
                 "all else stays readable for everybody, and authenticated");
  command.Text("--encrypt-first", &flags.encrypt_first,
               "encrypt the first so many bytes of every ADU only, such as 64KiB");
  command.Number("--fec", &flags.fec_percent,
                 "parity of each ADU in percent, 0 to 100; headers are repeated to match");
  command.Number("--batch-adus", &flags.batching.adus,
                 "at most so many ADUs share a signature; 1: each has its own");
  command.Duration("--batch-time", &flags.batching.time,
                   "an ADU waits at most so long to share one, and only in a faster stream");
  command.Text("--pace", &flags.pace,
               "pcr, max, or bits per second such as 20M; default: pcr where the input has PCRs");
  command.Text(
      "--state", &flags.state,
      "file with the ids used so far; default: the session file's name, a sub-session's id if "
      "any, and .state; orders "
      "of the provider are kept beside it, in the same name and .orders");
  command.Number("--sub-session", &flags.sub_session,
                 "id of the sub-session to send in [0, the main stream]");
  command.Text("--index", &flags.index,
               "file to list every ADU in: its id, and where it began in the input");
  command.Text("--ready-file", &flags.ready_file,
               "written once it sends: {\"output\":\"URI\",\"control\":\"HOST:PORT\",...}");
  command.Examples(
      "nark-sender --session film.sender --input film.ts\n"
      "ffmpeg -re -i film.mp4 -c copy -f mpegts - | nark-sender --session film.sender --input -\n"
      "nark-sender --session film.sender --input film.ts --output file:film.dvd --pace max\n"
      "nark-sender --session film.sender --input film.ts --fec 20\n"
      "nark-sender --session film.sender --input film.ts --encrypt video\n"
      "nark-sender --session film.sender --input film.ts --control 127.0.0.1:7700\n"
      "ffmpeg -i INPUT -c:a pcm_s16le -f wav - | nark-sender --session concert.sender --input -\n"
      "nark-sender --session tv.sender --input 'udp://239.0.0.1:1234?adapter=eth0' \\\n"
      "    --output 'udp://10.0.0.7@232.1.2.3:5004?adapter=eth1&ttl=16&dscp=AF41'");
}

void DeclareOrder(ExpelSettings& settings, cli::Command& command) {
  using cli::Need;
  command.Texts("--control", &settings.controls,
                "HOST:PORT of a sender's --control; repeatable: to several senders at once",
                Need::kRequired);
  command.Text("--provider", &settings.provider,
               "the provider's folder; its root and TLS certificates and its control folder are "
               "read",
               Need::kRequired);
  command.Text("--member", &settings.member,
               "a secure space's id, or a group's that vouchers name, in hexadecimal");
  command.Text("--group", &settings.group, "a group's id, instead of --member");
  command.Duration("--timeout", &settings.timeout, "how long to wait for the sender");
}

void Warn(const std::string& line) { spdlog::warn(line); }

// A path as folder and name.
struct StatePath {
  std::string folder;
  std::string name;
};

StatePath Split(const std::string& path) {
  size_t slash = path.rfind('/');
  if (slash == std::string::npos) return {".", path};
  return {slash == 0 ? "/" : path.substr(0, slash), path.substr(slash + 1)};
}

absl::StatusOr<OpenedSenderFile> LoadSenderFile(const std::string& path, Timestamp now) {
  ASSIGN_OR_RETURN(v1::NarkFile file, ReadNarkFile(path, v1::NarkFile::kSender));
  absl::StatusOr<OpenedSenderFile> sender = OpenSenderFile(file.sender(), now);
  if (!sender.ok()) return Annotate(sender.status(), path);
  return sender;
}

// Empty where the session has no such sub-session.
std::string TransportOf(const v1::SessionDescriptor& descriptor, uint32_t sub_session) {
  for (const v1::Transport& transport : descriptor.transports()) {
    if (transport.sub_session() == sub_session) return transport.uri();
  }
  return {};
}

absl::StatusOr<uint32_t> SubSessionOf(const Flags& flags, const OpenedSenderFile& sender) {
  const auto id = static_cast<uint32_t>(flags.sub_session);
  if (id != flags.sub_session || TransportOf(sender.session.descriptor(), id).empty()) {
    return absl::InvalidArgumentError(
        absl::StrCat("--sub-session ", flags.sub_session, ": the session has none of this id"));
  }
  return id;
}

// Beside the session file; each sub-session has ids of its own.
std::string StatePathOf(const Flags& flags) {
  if (!flags.state.empty()) return flags.state;
  if (flags.sub_session == 0) return flags.session + ".state";
  return absl::StrCat(flags.session, ".", flags.sub_session, ".state");
}

absl::StatusOr<std::unique_ptr<Reservation>> OpenReservation(Storage& storage,
                                                             const std::string& path,
                                                             const OpenedSenderFile& sender,
                                                             uint32_t sub_session,
                                                             std::optional<uint64_t> first) {
  absl::StatusOr<std::unique_ptr<Reservation>> reservation =
      Reservation::Open(storage, Split(path).name, Broadcaster::OwnerOf(sender, sub_session));
  if (!reservation.ok()) return Annotate(reservation.status(), path);
  if (first.has_value()) {
    absl::Status status = (*reservation)->SkipTo(*first);
    if (!status.ok()) return Annotate(status, path);
  }
  return reservation;
}

// /metrics and its page, where asked for.
absl::StatusOr<std::unique_ptr<serve::HttpServer>> StartHttp(const Flags& flags,
                                                             const OpenedSenderFile& sender,
                                                             const std::string& output,
                                                             serve::Metrics& metrics) {
  if (flags.http.empty()) return nullptr;
  std::vector<std::pair<std::string, std::string>> state = {
      {"session", sender.session.name().ToString()},
      {"title", sender.session.terms().title()},
      {"sender", absl::StrCat(sender.sender_id)},
      {"output", output}};
  return serve::HttpServer::Start({.listen = flags.http,
                                   .program = "nark-sender",
                                   .version = kProgramVersion,
                                   .state = [state] { return state; },
                                   .ready = nullptr},
                                  &metrics);
}

// What the segmenter says is of the input.
absl::Status NamingInput(const Flags& flags, const Segmenter& segmenter,
                         const absl::Status& status) {
  if (segmenter.status().ok()) return status;
  return Annotate(status, flags.input == "-" ? "stdin" : flags.input);
}

absl::Status Broadcast(const Flags& flags, serve::Signals& signals) {
  SystemClock clock;
  SystemRandom random;
  ASSIGN_OR_RETURN(Pace pace, Pace::Parse(flags.pace));
  ASSIGN_OR_RETURN(OpenedSenderFile sender, LoadSenderFile(flags.session, clock.Now()));
  ASSIGN_OR_RETURN(CutRule rule, CutRule::FromTerms(sender.session.terms()));
  RETURN_IF_ERROR(CheckFlags(rule.marking, flags.input, flags.encrypt, flags.encrypt_first));
  ASSIGN_OR_RETURN(std::unique_ptr<ClearPolicy> clear,
                   MakeClearPolicy(flags.encrypt, flags.encrypt_first));
  ASSIGN_OR_RETURN(std::unique_ptr<Input> input, OpenInput(flags.input, Warn));
  Segmenter segmenter(rule);
  SignalWaiter waiter(signals);
  if (rule.marking != Marking::kNone) {
    RETURN_IF_ERROR(NamingInput(flags, segmenter, Recognise(*input, segmenter, waiter)));
    // Told to end, with nothing open that would stay behind.
    if (!segmenter.Recognise()) return absl::OkStatus();
  }
  ASSIGN_OR_RETURN(const uint32_t sub_session, SubSessionOf(flags, sender));
  const std::string state = StatePathOf(flags);
  ASSIGN_OR_RETURN(StateLock lock, StateLock::Acquire(state));
  FolderStorage storage(Split(state).folder);
  ASSIGN_OR_RETURN(std::unique_ptr<Reservation> reservation,
                   OpenReservation(storage, state, sender, sub_session, flags.first_adu));
  std::string output =
      flags.output.empty() ? TransportOf(sender.session.descriptor(), sub_session) : flags.output;
  ASSIGN_OR_RETURN(net::OpenedSink opened, net::OpenSink(output, Warn));
  PacedSink sink(*opened.sink, waiter);
  FolderStorage order_storage(Split(state).folder);  // of the control server's threads
  ASSIGN_OR_RETURN(std::unique_ptr<OrderBook> orders,
                   OrderBook::Open({.session = sender.session,
                                    .sender_id = sender.sender_id,
                                    .storage = order_storage,
                                    .name = Split(state).name + ".orders",
                                    .random = random}));
  ASSIGN_OR_RETURN(std::unique_ptr<Broadcaster> broadcaster,
                   Broadcaster::Create(sender, {sink, clock, random, *reservation, orders.get()},
                                       {.sub_session = sub_session,
                                        .datagram_bytes = opened.datagram_bytes,
                                        .fec_percent = static_cast<uint32_t>(flags.fec_percent)}));
  Position position;
  position.sub_session = sub_session;
  position.next_adu_id = reservation->next_id();
  std::unique_ptr<ControlServer> control;
  if (!flags.control.empty()) {
    ASSIGN_OR_RETURN(control,
                     ControlServer::Start(flags.control, sender, *orders, position, clock));
  }
  serve::Metrics metrics;
  Reporter reporter(metrics, *broadcaster, *reservation, sink, *input);
  ASSIGN_OR_RETURN(std::unique_ptr<serve::HttpServer> http,
                   StartHttp(flags, sender, output, metrics));
  std::vector<std::pair<std::string, std::string>> addresses = {{"output", output}};
  if (http != nullptr) addresses.emplace_back("http", http->address());
  if (control != nullptr) {
    addresses.emplace_back("control", control->address());
    spdlog::info("control on {}", control->address());
  }
  if (orders->active() > 0) spdlog::info("{} orders are on the air", orders->active());
  RETURN_IF_ERROR(serve::AnnounceReady(flags.ready_file, addresses));

  spdlog::info("sending {} to {} from ADU {} on", flags.input, output, reservation->next_id());
  ASSIGN_OR_RETURN(Index index, Index::Create(flags.index));
  bool terminal = ::isatty(STDERR_FILENO) == 1;
  reporter.Start(waiter.Now());
  Station station({*input, segmenter, *broadcaster, sink, waiter, clear.get()}, pace,
                  flags.batching,
                  {.warn = Warn, .sent = [&](uint64_t first_id, std::span<const OutgoingAdu> adus) {
                     reporter.Update();
                     position.next_adu_id = first_id + adus.size();
                     position.adus_sent += adus.size();
                     std::string line = terminal ? reporter.Progress(waiter.Now()) : "";
                     if (!line.empty()) spdlog::info(line);
                     return index.Add(first_id, adus);
                   }});
  absl::Status status = NamingInput(flags, segmenter, station.Run());
  absl::Status closed = reservation->Close();
  reporter.Update();
  spdlog::info(reporter.Summary(waiter.Now()));
  return status.ok() ? closed : status;
}

absl::Status Run(const Flags& flags, const cli::LogSettings& log) {
  RETURN_IF_ERROR(DisableCoreDumps());
  if (flags.fec_percent > 100) {
    return absl::InvalidArgumentError(
        absl::StrCat("--fec ", flags.fec_percent, ": want a percentage, 0 to 100"));
  }
  RETURN_IF_ERROR(flags.batching.Check());
  // Before any thread is made, so that all of them have the signals blocked.
  ASSIGN_OR_RETURN(std::unique_ptr<serve::Signals> signals, serve::Signals::Take());
  RETURN_IF_ERROR(serve::StartLog("nark-sender", log.level, log.format));
  // Who connects to --control or --http must not take the descriptors that state is kept with.
  serve::RaiseFileLimit();
  absl::Status status = Broadcast(flags, *signals);
  serve::StopLog();
  return status;
}

}  // namespace
}  // namespace nark::sender

int main(int argc, char** argv) {
  nark::cli::Program program("nark-sender", "Encrypts a stream and multicasts it.");
  nark::sender::Flags flags;
  nark::sender::Declare(flags, program.command());
  program.command().Action([&] { return nark::sender::Run(flags, program.log()); });
  nark::sender::ExpelSettings order;
  std::string action = "stop";
  nark::SystemClock clock;
  nark::cli::Command& expel =
      program.command().Subcommand("expel", "Stops a member or group, or makes it ask again.");
  nark::sender::DeclareOrder(order, expel);
  expel.Choice("--action", &action, {"stop", "contact"},
               "stop: kills what was bought until now; contact: a key manager must be asked again");
  expel.Examples("nark-sender expel --control 127.0.0.1:7700 --provider provider --member ID");
  expel.Action([&] {
    order.action =
        action == "stop" ? nark::v1::CONTROL_ACTION_STOP : nark::v1::CONTROL_ACTION_CONTACT;
    return nark::sender::RunExpel(order, clock);
  });
  nark::cli::Command& readmit =
      program.command().Subcommand("readmit", "Takes the orders about a member off the air.");
  nark::sender::DeclareOrder(order, readmit);
  readmit.Examples("nark-sender readmit --control 127.0.0.1:7700 --provider provider --member ID");
  readmit.Action([&] {
    order.action = nark::v1::CONTROL_ACTION_WITHDRAW;
    return nark::sender::RunExpel(order, clock);
  });
  return program.Run(argc, argv);
}
