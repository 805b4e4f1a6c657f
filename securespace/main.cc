// nark-securespace: sets up an emulated secure space, and runs it as a process.

#include <spdlog/spdlog.h>

#include <cstdio>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>

#include "absl/status/status.h"
#include "common/base/bytes.h"
#include "common/base/clock.h"
#include "common/base/status.h"
#include "common/cli/program.h"
#include "common/crypto/certificate.h"
#include "common/crypto/random.h"
#include "common/crypto/secret_bytes.h"
#include "common/object/session.h"
#include "common/serve/log.h"
#include "common/serve/process.h"
#include "common/serve/ready_file.h"
#include "common/serve/shutdown.h"
#include "securespace/connect.h"
#include "securespace/folder.h"
#include "securespace/hardening.h"
#include "securespace/socket_server.h"

namespace nark::securespace {
namespace {

struct Arguments {
  std::string folder;
  std::string certificate;
  std::string listen;
  std::string tpm;
  std::string ready_file;
  bool json = false;
  bool allow_insecure = false;
};

SystemClock system_clock;
SystemRandom system_random;

absl::Status Initialise(const Arguments& arguments) {
  ASSIGN_OR_RETURN(Digest id, InitialiseFolder(arguments.folder, system_random, arguments.tpm));
  std::printf("Have %s/request.pem certified, then install the certificate.\nSecure space %s\n",
              arguments.folder.c_str(), ToHex(id).c_str());
  return absl::OkStatus();
}

absl::Status Install(const Arguments& arguments) {
  RETURN_IF_ERROR(InstallCertificate(arguments.folder, arguments.certificate));
  std::printf("Installed %s in %s\n", arguments.certificate.c_str(), arguments.folder.c_str());
  return absl::OkStatus();
}

std::string AssuranceName(v1::AssuranceClass assurance) {
  switch (assurance) {
    case v1::ASSURANCE_CLASS_EMULATED:
      return "emulated";
    case v1::ASSURANCE_CLASS_TPM:
      return "tpm";
    case v1::ASSURANCE_CLASS_CARD:
      return "card";
    default:
      return "unknown";
  }
}

absl::StatusOr<nlohmann::ordered_json> Describe(const v1::GetIdentityResponse& identity) {
  nlohmann::ordered_json shown;
  shown["secure_space_id"] = ToHex(AsBytes(identity.secure_space_id()));
  shown["assurance"] = AssuranceName(identity.assurance());
  shown["counter"] = {{"kind", identity.has_tpm_counter() ? "tpm" : "none"}};
  if (identity.has_tpm_counter()) shown["counter"]["value"] = identity.tpm_counter();
  shown["certified"] = !identity.certificates().empty();
  shown["certificate_serial"] = nullptr;
  if (!identity.certificates().empty()) {
    ASSIGN_OR_RETURN(Certificate leaf, Certificate::FromDer(AsBytes(identity.certificates(0))));
    shown["certificate_serial"] = leaf.serial_hex();
  }
  shown["grants"] = nlohmann::ordered_json::array();
  for (const v1::InstalledGrant& grant : identity.grants()) {
    ASSIGN_OR_RETURN(SessionName session, SessionName::FromProto(grant.session()));
    shown["grants"].push_back({{"session", session.ToString()},
                               {"voucher", ToHex(AsBytes(grant.voucher_identity()))},
                               {"grant", ToHex(AsBytes(grant.grant_id()))}});
  }
  return shown;
}

void Print(const nlohmann::ordered_json& shown) {
  const auto text = [&](const char* key) { return shown[key].get<std::string>(); };
  std::printf("Secure space  %s\nAssurance     %s\nCertificate   %s\n",
              text("secure_space_id").c_str(), text("assurance").c_str(),
              shown["certified"].get<bool>() ? text("certificate_serial").c_str() : "none yet");
  if (const auto& counter = shown["counter"]; counter.contains("value")) {
    std::printf("Counter       TPM, at %llu\n",
                static_cast<unsigned long long>(counter["value"].get<uint64_t>()));
  } else {
    std::printf("Counter       none: an old copy of the folder is not noticed\n");
  }
  for (const auto& grant : shown["grants"]) {
    std::printf("Grant         %s for session %s\n", grant["grant"].get<std::string>().c_str(),
                grant["session"].get<std::string>().c_str());
  }
}

absl::Status Show(const Arguments& arguments) {
  ASSIGN_OR_RETURN(Connection connection, Connect(arguments.folder, WhenLocked::kUseItsSocket,
                                                  system_clock, system_random));
  ASSIGN_OR_RETURN(v1::GetIdentityResponse identity, connection.space().GetIdentity());
  ASSIGN_OR_RETURN(nlohmann::ordered_json shown, Describe(identity));
  if (arguments.json) {
    std::printf("%s\n", shown.dump().c_str());
  } else {
    Print(shown);
  }
  return absl::OkStatus();
}

absl::Status Serve(const Arguments& arguments, const cli::LogSettings& log) {
  constexpr std::string_view kScheme = "unix:";
  if (arguments.listen.rfind(kScheme, 0) != 0 || arguments.listen.size() == kScheme.size()) {
    return absl::InvalidArgumentError("--listen takes unix:PATH");
  }
  // Before any thread, so that all of them leave the signals alone.
  ASSIGN_OR_RETURN(std::unique_ptr<serve::Signals> signals, serve::Signals::Take());
  serve::RaiseFileLimit();
  RETURN_IF_ERROR(serve::StartLog("nark-securespace", log.level, log.format));
  ASSIGN_OR_RETURN(std::unique_ptr<Folder> folder,
                   Folder::Open(arguments.folder, system_clock, system_random,
                                arguments.allow_insecure ? InsecureSessions::kAllow
                                                         : InsecureSessions::kRefuse));
  ASSIGN_OR_RETURN(std::unique_ptr<SocketServer> server,
                   SocketServer::Start(folder->space(), arguments.listen.substr(kScheme.size())));
  // Where show, amend and note look for whoever has the folder open.
  std::unique_ptr<SocketServer> beside;
  if (arguments.listen.substr(kScheme.size()) != SocketPath(arguments.folder)) {
    ASSIGN_OR_RETURN(beside, SocketServer::Start(folder->space(), SocketPath(arguments.folder)));
  }
  // Loads what is loaded when first used, while it still may be.
  RETURN_IF_ERROR(folder->space().GetIdentity().status());
  const bool calls_tpm =
      folder->counter() != nullptr && folder->counter()->binding().needs_sockets();
  RETURN_IF_ERROR(ConfineSystemCalls(calls_tpm ? UnixSockets::kMayCall : UnixSockets::kAreCalled));
  if (!SystemCallsAreConfined()) spdlog::warn("built with a sanitizer: system calls are free");
  RETURN_IF_ERROR(serve::AnnounceReady(arguments.ready_file, {{"listen", arguments.listen}}));
  spdlog::info("listening on {}", arguments.listen);
  while (signals->Next(std::chrono::milliseconds(-1)) != serve::Signals::Event::kShutdown) {
  }
  spdlog::info("ending");
  return absl::OkStatus();
}

// Nothing of this program may show its keys.
absl::Status Guarded(absl::Status (*action)(const Arguments&), const Arguments& arguments) {
  RETURN_IF_ERROR(DisableCoreDumps());
  return action(arguments);
}

int Run(int argc, char** argv) {
  Arguments arguments;
  cli::Program program("nark-securespace", "The emulated secure space: set-up, and as a process");
  cli::Command& root = program.command();
  root.Examples(
      "nark-securespace init alice\n"
      "narkctl issuer certify issuer --request alice/request.pem --out alice.pem\n"
      "nark-securespace install alice --certificate alice.pem\n"
      "nark-securespace show alice --json\n"
      "nark-securespace init bob --tpm device:/dev/tpmrm0  # then certify --class tpm\n"
      "nark-securespace serve alice --listen unix:/run/user/1000/alice.socket");
  root.Subcommand("init", "Make keys and a certificate request; the last word printed is the id")
      .Text("DIR", &arguments.folder, "folder to make", cli::Need::kRequired)
      .Text("--tpm", &arguments.tpm,
            "count in this TPM 2.0, so that an old copy of DIR is refused: device:/dev/tpmrm0 or "
            "swtpm:path=SOCKET. Keys stay in software")
      .Action([&] { return Guarded(Initialise, arguments); });
  root.Subcommand("install", "Install the certificate that an issuer made")
      .Text("DIR", &arguments.folder, "folder of the secure space", cli::Need::kRequired)
      .Text("--certificate", &arguments.certificate, "PEM file: its own, then its issuers'",
            cli::Need::kRequired)
      .Action([&] { return Guarded(Install, arguments); });
  root.Subcommand("show", "Show identity and installed grants")
      .Text("DIR", &arguments.folder, "folder of the secure space, or unix:PATH",
            cli::Need::kRequired)
      .Switch("--json", &arguments.json, "as JSON")
      .Action([&] { return Guarded(Show, arguments); });
  root.Subcommand("serve", "Serve the secure space on a Unix socket until SIGINT or SIGTERM")
      .Text("DIR", &arguments.folder, "folder of the secure space", cli::Need::kRequired)
      .Text("--listen", &arguments.listen, "unix:PATH", cli::Need::kRequired)
      .Switch("--allow-insecure", &arguments.allow_insecure,
              "play sessions with an insecure cipher or generator")
      .Text("--ready-file", &arguments.ready_file, "written once it serves, with the address")
      .Action([&]() -> absl::Status {
        RETURN_IF_ERROR(KeepMemoryPrivate());
        absl::Status status = Serve(arguments, program.log());
        serve::StopLog();
        return status;
      });
  return program.Run(argc, argv);
}

}  // namespace
}  // namespace nark::securespace

int main(int argc, char** argv) { return nark::securespace::Run(argc, argv); }
