// nark-refunds: a provider's refund desk.

#include <string>

#include "absl/status/status.h"
#include "common/base/status.h"
#include "common/cli/program.h"
#include "common/crypto/secret_bytes.h"
#include "common/serve/log.h"
#include "common/serve/process.h"
#include "common/serve/shutdown.h"
#include "refunds/desk_server.h"

namespace nark::refunds {
namespace {

struct Flags {
  DeskOptions options;
  std::chrono::microseconds drain{std::chrono::seconds(5)};
  bool plaintext = false;
};

void Declare(Flags& flags, cli::Command& command) {
  DeskOptions& options = flags.options;
  using cli::Need;
  command.Text("--provider", &options.files.provider,
               "the provider's folder; only its root certificate and its refunds folder are read",
               Need::kRequired);
  command.Texts("--issuer", &options.files.issuers,
                "certificate (PEM) of an issuer of secure spaces; may be repeated",
                Need::kRequired);
  command.Text("--ledger", &options.ledger,
               "sqlite:PATH for one desk, postgresql://... for several; a password belongs into "
               "~/.pgpass",
               Need::kRequired);
  command.Text("--listen", &options.listen, "HOST:PORT to serve on; port 0 chooses one",
               Need::kRequired);
  command.Texts("--crl", &options.files.revocations,
                "an issuer's revocation list (PEM); may be repeated; reloaded when it changes");
  command.Text("--http", &options.http,
               "HOST:PORT for /metrics, /livez, /readyz and the program's page");
  command.Switch("--plaintext", &flags.plaintext,
                 "serve without TLS: on loopback, or behind a balancer that ends TLS");
  command.Duration("--drain", &flags.drain, "how long calls may go on after SIGTERM");
  command.Text("--ready-file", &options.ready_file,
               "written once it serves: {\"listen\":\"HOST:PORT\",\"http\":\"HOST:PORT\"}");
  command.Examples(
      "nark-refunds --provider provider --issuer issuer/issuer.pem --ledger sqlite:ledger.db "
      "--listen 0.0.0.0:7500\n"
      "nark-refunds --provider provider --issuer issuer/issuer.pem --crl issuer/crl.pem "
      "--ledger postgresql://desk@db/ledger --listen 127.0.0.1:7500 --http 127.0.0.1:7580");
}

absl::Status Run(Flags& flags, const cli::LogSettings& log) {
  RETURN_IF_ERROR(DisableCoreDumps());
  DeskOptions& options = flags.options;
  if (flags.plaintext) options.transport = Transport::kPlaintext;
  if (flags.drain.count() < 0) return absl::InvalidArgumentError("--drain can not be negative");
  options.drain = std::chrono::duration_cast<std::chrono::milliseconds>(flags.drain);
  // Before any thread is made, so that all of them have the signals blocked.
  ASSIGN_OR_RETURN(const auto signals, serve::Signals::Take());
  RETURN_IF_ERROR(serve::StartLog("nark-refunds", log.level, log.format));
  serve::RaiseFileLimit();
  const absl::Status status = RunDesk(options, *signals);
  serve::StopLog();
  return status;
}

}  // namespace
}  // namespace nark::refunds

int main(int argc, char** argv) {
  nark::cli::Program program("nark-refunds",
                             "Pays for what provably was not delivered: a provider's refund desk.");
  nark::refunds::Flags flags;
  nark::refunds::Declare(flags, program.command());
  program.command().Action([&] { return nark::refunds::Run(flags, program.log()); });
  return program.Run(argc, argv);
}
