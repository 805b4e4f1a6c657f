// nark-keymanager: one replica of a provider's pool.

#include <iostream>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "common/base/clock.h"
#include "common/base/status.h"
#include "common/cli/program.h"
#include "common/crypto/random.h"
#include "common/crypto/secret_bytes.h"
#include "common/pkcs11/token_keys.h"
#include "common/serve/log.h"
#include "common/serve/process.h"
#include "common/serve/shutdown.h"
#include "keymanager/check.h"
#include "keymanager/offline.h"
#include "keymanager/replica.h"

namespace nark::keymanager {
namespace {

struct Flags {
  ReplicaOptions options;
  std::chrono::microseconds drain{std::chrono::seconds(5)};
  uint64_t threads = 0;
  uint64_t connections = 0;
  uint64_t queue = 1024;
  std::chrono::microseconds queue_wait{std::chrono::milliseconds(100)};
  bool plaintext = false;
  bool json = false;
  OfflineChallengeSettings challenge;
  OfflineGrantSettings grant;
  std::string pkcs11_module;
  std::string pkcs11_pin_file;
};

void DeclareToken(Flags& flags, cli::Command& command) {
  command
      .Text("--pkcs11-module", &flags.pkcs11_module,
            "the PKCS#11 library of a token that holds keys of the pool")
      .Text("--pkcs11-pin-file", &flags.pkcs11_pin_file,
            "file with its PIN, mode 0600, or a credential of systemd");
}

absl::StatusOr<std::unique_ptr<pkcs11::TokenKeys>> OpenToken(const Flags& flags) {
  return pkcs11::TokenKeys::FromFiles(flags.pkcs11_module, flags.pkcs11_pin_file,
                                      pkcs11::Access::kRead);
}

void Declare(Flags& flags, cli::Command& command) {
  ReplicaOptions& options = flags.options;
  using cli::Need;
  command.Text("--pool", &options.files.pool, "the pool's folder, made by narkctl pool init",
               Need::kRequired);
  command.Texts("--issuer", &options.files.issuers,
                "certificate (PEM) of an issuer of secure spaces; may be repeated",
                Need::kRequired);
  command.Text("--listen", &options.listen, "HOST:PORT to serve on; port 0 chooses one",
               Need::kRequired);
  command.Text("--tls-certificate", &options.files.tls_certificates,
               "TLS certificate chain (PEM) instead of the pool's");
  command.Text("--tls-key", &options.files.tls_key, "file with its key (PEM)");
  DeclareToken(flags, command);
  command.Texts("--crl", &options.files.revocations,
                "an issuer's revocation list (PEM); may be repeated; reloaded when it changes");
  command.Text("--deny", &options.files.deny_list,
               "the provider's deny list; reloaded when it changes");
  command.Text("--http", &options.http,
               "HOST:PORT for /metrics, /livez, /readyz and the program's page");
  command.Switch("--plaintext", &flags.plaintext,
                 "serve without TLS: on loopback, or behind a balancer that ends TLS");
  command.Number("--threads", &flags.threads,
                 "how many requests for grants are decided on at once; 0: one per processor");
  command.Number("--queue", &flags.queue,
                 "how many may wait; when half do, new exchanges are turned away");
  command.Duration("--queue-wait", &flags.queue_wait,
                   "how long one may wait until it is turned away");
  command.Number("--connections", &flags.connections,
                 "how many are held at once; 0: as many as open files and memory suffice for");
  command.Duration("--drain", &flags.drain, "how long calls may go on after SIGTERM");
  command.Text("--ready-file", &options.ready_file,
               "written once it serves: {\"listen\":\"HOST:PORT\",\"http\":\"HOST:PORT\"}");
  command.Examples(
      "nark-keymanager --pool pool --issuer issuer/issuer.pem --listen 0.0.0.0:7443\n"
      "nark-keymanager --pool pool --issuer issuer/issuer.pem --listen 0.0.0.0:7443 "
      "--pkcs11-module /usr/lib/softhsm/libsofthsm2.so --pkcs11-pin-file pin\n"
      "nark-keymanager --pool pool --issuer issuer/issuer.pem --crl issuer/crl.pem "
      "--listen 127.0.0.1:7443 --http 127.0.0.1:7480");
}

void DeclareChallenge(Flags& flags, cli::Command& command) {
  using cli::Need;
  DeclareToken(flags, command);
  OfflineChallengeSettings& challenge = flags.challenge;
  command.Text("--pool", &challenge.pool, "the pool's folder", Need::kRequired)
      .Text("--session", &challenge.session_path, "the session (*.nark)", Need::kRequired)
      .Text("--secure-space", &challenge.secure_space, "its id, 64 hexadecimal digits",
            Need::kRequired)
      .Duration("--expires", &challenge.expires,
                "until when a request that answers it is taken, at most 366 days")
      .Text("--out", &challenge.out, "what to carry to the secure space", Need::kRequired)
      .Examples(
          "nark-keymanager challenge --pool pool --session match.nark --secure-space ID "
          "--expires 10d --out match.challenge");
}

void DeclareGrant(Flags& flags, cli::Command& command) {
  using cli::Need;
  DeclareToken(flags, command);
  OfflineGrantSettings& grant = flags.grant;
  command.Text("--pool", &grant.files.pool, "the pool's folder", Need::kRequired)
      .Texts("--issuer", &grant.files.issuers,
             "certificate (PEM) of an issuer of secure spaces; may be repeated", Need::kRequired)
      .Texts("--crl", &grant.files.revocations,
             "an issuer's revocation list (PEM); may be repeated")
      .Text("--deny", &grant.files.deny_list, "the provider's deny list")
      .Text("--request", &grant.request_path, "as nark-receiver request made it", Need::kRequired)
      .Text("--out", &grant.out, "what to carry back", Need::kRequired)
      .Examples(
          "nark-keymanager grant --pool pool --issuer issuer/issuer.pem --crl issuer/crl.pem "
          "--request match.request --out match.grant");
}

absl::Status Challenge(Flags& flags) {
  RETURN_IF_ERROR(DisableCoreDumps());
  ASSIGN_OR_RETURN(const auto token, OpenToken(flags));
  flags.challenge.token = token.get();
  SystemClock clock;
  SystemRandom random;
  return RunOfflineChallenge(flags.challenge, clock, random);
}

absl::Status Grant(Flags& flags) {
  RETURN_IF_ERROR(DisableCoreDumps());
  ASSIGN_OR_RETURN(const auto token, OpenToken(flags));
  flags.grant.files.token = token.get();
  SystemClock clock;
  SystemRandom random;
  return RunOfflineGrant(flags.grant, clock, random);
}

// What is said about one flag by another, and what a number may be.
absl::Status Complete(Flags& flags) {
  ReplicaOptions& options = flags.options;
  if (options.files.tls_certificates.empty() != options.files.tls_key.empty()) {
    return absl::InvalidArgumentError("--tls-certificate and --tls-key go together");
  }
  if (flags.plaintext) {
    if (!options.files.tls_key.empty()) {
      return absl::InvalidArgumentError("--plaintext leaves no use for --tls-certificate");
    }
    options.transport = Transport::kPlaintext;
  }
  if (flags.drain.count() < 0) return absl::InvalidArgumentError("--drain can not be negative");
  options.drain = std::chrono::duration_cast<std::chrono::milliseconds>(flags.drain);
  serve::WorkQueue::Limits& queue = options.queue;
  if (flags.threads > 1024) return absl::InvalidArgumentError("--threads: want at most 1024");
  if (flags.queue == 0 || flags.queue > 1'000'000) {
    return absl::InvalidArgumentError("--queue: want 1 to 1000000");
  }
  if (flags.queue_wait.count() <= 0) {
    return absl::InvalidArgumentError("--queue-wait: want more than nothing");
  }
  flags.options.connections = flags.connections;
  if (flags.threads != 0) queue.threads = flags.threads;
  queue.length = flags.queue;
  queue.wait = flags.queue_wait;
  return absl::OkStatus();
}

absl::Status Check(Flags& flags) {
  RETURN_IF_ERROR(DisableCoreDumps());
  const ReplicaFiles& files = flags.options.files;
  for (const auto& [flag, missing] : {std::pair("--pool", files.pool.empty()),
                                      {"--issuer", files.issuers.empty()},
                                      {"--listen", flags.options.listen.empty()}}) {
    if (missing) return absl::InvalidArgumentError(absl::StrCat(flag, " is missing; see --help"));
  }
  RETURN_IF_ERROR(Complete(flags));
  ASSIGN_OR_RETURN(const auto token, OpenToken(flags));
  flags.options.files.token = token.get();
  serve::RaiseFileLimit();
  SystemClock clock;
  SystemRandom random;
  const std::vector<Finding> findings = CheckReplica(flags.options, clock, random);
  std::cout << (flags.json ? ShowJson(findings) : ShowText(findings));
  if (AllServes(findings)) return absl::OkStatus();
  return absl::FailedPreconditionError("a replica would not serve so: see what is bad above");
}

absl::Status Run(Flags& flags, const cli::LogSettings& log) {
  RETURN_IF_ERROR(DisableCoreDumps());
  RETURN_IF_ERROR(Complete(flags));
  // Before any thread is made, so that all of them have the signals blocked.
  ASSIGN_OR_RETURN(const auto signals, serve::Signals::Take());
  // Of the token's module too.
  ASSIGN_OR_RETURN(const auto token, OpenToken(flags));
  RETURN_IF_ERROR(serve::StartLog("nark-keymanager", log.level, log.format));
  serve::RaiseFileLimit();
  flags.options.files.token = token.get();
  const absl::Status status = RunReplica(flags.options, *signals);
  serve::StopLog();
  return status;
}

}  // namespace
}  // namespace nark::keymanager

int main(int argc, char** argv) {
  nark::cli::Program program("nark-keymanager",
                             "Checks evidence and vouchers, and issues grants: one replica of a "
                             "provider's pool.");
  nark::keymanager::Flags flags;
  nark::keymanager::Declare(flags, program.command());
  program.command().Action([&] { return nark::keymanager::Run(flags, program.log()); });
  program.command()
      .Subcommand("check",
                  "look at all that a replica with the flags above would use, and start nothing; "
                  "exits 1 where it would not serve")
      .Switch("--json", &flags.json, "as JSON")
      .Examples(
          "nark-keymanager --config /etc/nark/keymanager.toml check\n"
          "nark-keymanager check --pool pool --issuer issuer/issuer.pem --listen 0.0.0.0:7443")
      .Action([&] { return nark::keymanager::Check(flags); });
  nark::cli::Command& challenge = program.command().Subcommand(
      "challenge", "a challenge as a file, for a join without a network");
  nark::keymanager::DeclareChallenge(flags, challenge);
  challenge.Action([&] { return nark::keymanager::Challenge(flags); });
  nark::cli::Command& grant =
      program.command().Subcommand("grant", "decide on the request in a file, and write the grant");
  nark::keymanager::DeclareGrant(flags, grant);
  grant.Action([&] { return nark::keymanager::Grant(flags); });
  return program.Run(argc, argv);
}
