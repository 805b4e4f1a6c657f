// nark-relay: carries sessions to where their multicast does not reach.

#include <string>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "common/base/status.h"
#include "common/base/steady_clock.h"
#include "common/base/storage.h"
#include "common/cli/program.h"
#include "common/cli/units.h"
#include "common/crypto/random.h"
#include "common/crypto/secret_bytes.h"
#include "common/serve/log.h"
#include "common/serve/process.h"
#include "common/serve/shutdown.h"
#include "relay/client/token.h"
#include "relay/service.h"

namespace nark::relay {
namespace {

struct Flags {
  RelayOptions options;
  std::chrono::microseconds lease{std::chrono::seconds(30)};
  std::string rate;
};

struct TokenFlags {
  std::string name;
  std::string out;
};

void Declare(Flags& flags, cli::Command& command) {
  RelayOptions& options = flags.options;
  using cli::Need;
  command.Texts("--session", &options.sessions,
                "session file (*.nark) that is relayed; may be repeated", Need::kRequired);
  command.Texts("--input", &options.inputs,
                "udp://GROUP:PORT, file:PATH or relay://HOST:PORT?token=FILE instead of the "
                "sessions' transports; may be repeated");
  command.Texts("--output", &options.outputs,
                "udp://GROUP:PORT?adapter=IFACE to multicast to as well; may be repeated");
  command.Text("--listen", &options.listen,
               "HOST:PORT (UDP) where hosts may subscribe; port 0 chooses one");
  command.Texts("--tokens", &options.tokens,
                "token of a site that may subscribe, or a folder of *.token; may be repeated; read "
                "again on SIGHUP");
  command.Duration("--lease", &flags.lease,
                   "how long a subscription lasts unless it is renewed, 5s to 600s");
  command.Number("--subscribers", &options.subscribers, "the most at a time");
  command.Number("--per-address", &options.per_address,
                 "the most of one address (IPv6: of one /64)");
  command.Number("--per-token", &options.per_token, "the most of one token");
  command.Text("--rate", &flags.rate,
               "the most that each is sent, in bits per second such as 20M; default: no limit");
  command.Duration("--timeout", &options.timeout, "how long a relay:// input may take to accept");
  command.Duration("--drain", &options.drain, "how long subscribers are served after SIGTERM");
  command.Text("--http", &options.http,
               "HOST:PORT for /metrics, /livez, /readyz and the program's page");
  command.Text("--ready-file", &options.ready_file,
               "written once it relays: {\"listen\":\"HOST:PORT\",\"http\":\"HOST:PORT\"}");
  command.Examples(
      "nark-relay --session film.nark --listen 0.0.0.0:7600 --tokens tokens\n"
      "nark-relay --session film.nark --input 'relay://relay.example:7600?token=site.token' "
      "--output 'udp://239.1.1.1:5004?adapter=eth1'\n"
      "nark-relay token --name site --out tokens/site.token");
}

absl::Status Check(Flags& flags) {
  RelayOptions& options = flags.options;
  if (options.listen.empty() && options.outputs.empty()) {
    return absl::InvalidArgumentError("it would relay to nobody: give --listen or --output");
  }
  if (!options.listen.empty() && options.tokens.empty()) {
    return absl::InvalidArgumentError(
        "--listen needs --tokens: who may subscribe; `nark-relay token` makes one");
  }
  if (flags.lease < std::chrono::seconds(5) || flags.lease > std::chrono::seconds(600)) {
    return absl::InvalidArgumentError("--lease takes 5s to 600s");
  }
  options.lease = std::chrono::duration_cast<std::chrono::seconds>(flags.lease);
  if (options.drain.count() < 0) return absl::InvalidArgumentError("--drain can not be negative");
  for (const uint64_t most : {options.subscribers, options.per_address, options.per_token}) {
    if (most < 1 || most > 100000) {
      return absl::InvalidArgumentError(
          "--subscribers, --per-address and --per-token take 1 to 100000");
    }
  }
  if (!flags.rate.empty()) {
    absl::StatusOr<uint64_t> rate = cli::ParseRate(flags.rate);
    if (!rate.ok()) return Annotate(rate.status(), "--rate");
    // A second's worth must hold a datagram.
    if (*rate < 1000000) return absl::InvalidArgumentError("--rate takes 1M or more");
    options.bits_per_second = *rate;
  }
  return absl::OkStatus();
}

absl::Status Run(Flags& flags, const cli::LogSettings& log) {
  RETURN_IF_ERROR(DisableCoreDumps());
  RETURN_IF_ERROR(Check(flags));
  // Before any thread is made, so that all of them have the signals blocked.
  ASSIGN_OR_RETURN(const auto signals, serve::Signals::Take());
  RETURN_IF_ERROR(serve::StartLog("nark-relay", log.level, log.format));
  serve::RaiseFileLimit();
  SteadyClock clock;
  SystemClock wall;
  SystemRandom random;
  const absl::Status status = RunRelay(flags.options, *signals, clock, wall, random);
  serve::StopLog();
  return status;
}

absl::Status MakeToken(const TokenFlags& flags) {
  RETURN_IF_ERROR(DisableCoreDumps());
  SystemRandom random;
  ASSIGN_OR_RETURN(const SecretBytes token, Token::Make(flags.name, random));
  // Never in place of one that a site holds already.
  FileOperations& files = PosixFileOperations();
  ASSIGN_OR_RETURN(const int file, files.Create(flags.out, FileMode::kSecret));
  files.Close(file);
  return WriteFile(flags.out, token.Reveal(), FileMode::kSecret);
}

}  // namespace
}  // namespace nark::relay

int main(int argc, char** argv) {
  nark::cli::Program program("nark-relay",
                             "Carries sessions, encrypted as they are, to where their multicast "
                             "does not reach: to hosts that subscribe, and to other groups.");
  nark::relay::Flags flags;
  nark::relay::Declare(flags, program.command());
  program.command().Action([&] { return nark::relay::Run(flags, program.log()); });
  nark::relay::TokenFlags token_flags;
  nark::cli::Command& token =
      program.command().Subcommand("token", "Makes a token: what lets one site subscribe.");
  token.Text("--name", &token_flags.name, "the site, for logs and pages",
             nark::cli::Need::kRequired);
  token.Text("--out", &token_flags.out, "file to write, mode 0600; must not exist",
             nark::cli::Need::kRequired);
  token.Examples("nark-relay token --name cinema --out tokens/cinema.token");
  token.Action([&] { return nark::relay::MakeToken(token_flags); });
  return program.Run(argc, argv);
}
