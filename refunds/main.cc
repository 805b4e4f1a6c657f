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
  std::chrono::microseconds pay_timeout{std::chrono::seconds(30)};
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
  command.Text("--https", &options.https,
               "HOST:PORT for the same desk as JSON over HTTPS: POST /v1/refunds");
  command.Text("--pay-command", &options.pay_command,
               "program that pays what is owed, run once a payment with the order as JSON on its "
               "stdin; exit status 0 says that it was taken");
  command.Text("--pay-url", &options.pay_url,
               "https:// address that each payment is POSTed to instead, with Idempotency-Key; "
               "any 2xx says that it was taken");
  command.Text("--pay-ca", &options.pay_ca,
               "certificates (PEM) of the authorities that --pay-url is trusted by; default: the "
               "system's");
  command.Duration("--pay-timeout", &flags.pay_timeout, "how long one payment may take");
  command.Switch("--plaintext", &flags.plaintext,
                 "serve without TLS: on loopback, or behind a balancer that ends TLS");
  command.Duration("--drain", &flags.drain, "how long calls may go on after SIGTERM");
  command.Text("--ready-file", &options.ready_file,
               "written once it serves: {\"listen\":\"HOST:PORT\",\"http\":\"HOST:PORT\",...}");
  command.Examples(
      "nark-refunds --provider provider --issuer issuer/issuer.pem --ledger sqlite:ledger.db "
      "--listen 0.0.0.0:7500\n"
      "nark-refunds --provider provider --issuer issuer/issuer.pem --crl issuer/crl.pem "
      "--ledger postgresql://desk@db/ledger --listen 0.0.0.0:7500 --https 0.0.0.0:7543 "
      "--http 127.0.0.1:7580 --pay-url https://payments.example/refunds");
}

absl::Status Run(Flags& flags, const cli::LogSettings& log) {
  RETURN_IF_ERROR(DisableCoreDumps());
  DeskOptions& options = flags.options;
  if (flags.plaintext) options.transport = Transport::kPlaintext;
  if (flags.drain.count() < 0) return absl::InvalidArgumentError("--drain can not be negative");
  if (flags.pay_timeout < std::chrono::milliseconds(1) ||
      flags.pay_timeout > std::chrono::hours(1)) {
    return absl::InvalidArgumentError("--pay-timeout: from 1ms to 1h");
  }
  options.pay_timeout = std::chrono::duration_cast<std::chrono::milliseconds>(flags.pay_timeout);
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
