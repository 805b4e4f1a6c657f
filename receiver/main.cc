// nark-receiver: the receiver host.

#include <string>

#include "absl/status/status.h"
#include "common/base/clock.h"
#include "common/base/status.h"
#include "common/cli/program.h"
#include "common/crypto/random.h"
#include "common/crypto/secret_bytes.h"
#include "common/serve/log.h"
#include "common/serve/shutdown.h"
#include "receiver/amend.h"
#include "receiver/block_cache.h"
#include "receiver/join.h"
#include "receiver/note.h"
#include "receiver/play_range.h"
#include "receiver/preview.h"
#include "receiver/refund.h"
#include "receiver/request.h"

namespace nark::receiver {
namespace {

struct Flags {
  JoinSettings join;
  bool plaintext = false;
  bool json = false;
  NoteSettings note;
  bool final_note = false;
  AmendSettings amend;
  RangeFlags range;
  PreviewSettings preview;
  bool allow_insecure = false;
  RefundSettings refund;
  RequestSettings request;
  InstallSettings install;
};

constexpr char kAllowInsecure[] =
    "have a secure space in DIR play sessions with an insecure cipher or generator";

constexpr char kCache[] =
    "folder that keeps marked blocks between runs [the first that is set: $CACHE_DIRECTORY, "
    "$XDG_CACHE_HOME/nark, ~/.cache/nark]";

void DeclareJoin(Flags& flags, cli::Command& command) {
  using cli::Need;
  JoinSettings& join = flags.join;
  command.Text("FILE", &join.session_path, "the session (*.nark)", Need::kRequired)
      .Text("--secure-space", &join.secure_space, "DIR or unix:PATH", Need::kRequired)
      .Text("--voucher", &join.voucher_path, "what was bought", Need::kRequired)
      .Switch("--allow-insecure", &flags.allow_insecure, kAllowInsecure)
      .Texts("--output", &join.outputs,
             "-, file:PATH, udp://HOST:PORT or http://HOST:PORT/PATH; may be repeated [-]; with "
             "#sender=ID or #sub-session=ID behind, that stream alone")
      .Text("--input", &join.input,
            "instead of the session's transport: file:PATH, relay://HOST:PORT?token=FILE, or "
            "udp://[SOURCE@]GROUP:PORT with ?adapter=IFACE[,IFACE]&rcvbuf=BYTES")
      .Number("--from-adu", &flags.range.from_adu, "of a recording, the first ADU to play")
      .Number("--to-adu", &flags.range.to_adu, "and the last")
      .Text("--from-time", &flags.range.from_time,
            "of a recording, from when: +90s from its beginning, or a time as 2026-11-26T20:00:00Z")
      .Text("--to-time", &flags.range.to_time, "and until when")
      .Duration("--playout-delay", &join.playout_delay,
                "how long an ADU that is complete may wait for earlier ones")
      .Duration("--timeout", &join.timeout,
                "for getting a grant; a marked block that has to be fetched may take a minute more")
      .Texts("--key-manager", &join.key_managers, "HOST:PORT instead of the session's")
      .Switch("--plaintext", &flags.plaintext, "no TLS to key managers: for loopback only")
      .Text("--http", &join.http, "HOST:PORT to serve /metrics, /livez and /readyz")
      .Text("--cache", &join.cache, kCache)
      .Text("--ready-file", &join.ready_file, "written (JSON) once the grant is installed")
      .Text("--statistics", &join.statistics_file, "written (JSON) at the end")
      .Duration("--stop-after-idle", &join.stop_after_idle,
                "end when no ADU has come for so long after the first; 0s never")
      .Switch("--json", &flags.json, "show the final statistics as JSON")
      .Examples(
          "nark-receiver join match.nark --secure-space card --voucher mine.voucher | ffplay -\n"
          "nark-receiver join match.nark --secure-space card --voucher mine.voucher \\\n"
          "    --output file:match.ts --output udp://127.0.0.1:1234\n"
          "nark-receiver join match.nark --secure-space card --voucher mine.voucher \\\n"
          "    --input 'udp://10.0.0.7@232.1.2.3:5004?adapter=eth1' --output file:match.ts\n"
          "nark-receiver join match.nark --secure-space card --voucher mine.voucher \\\n"
          "    --input file:match.nadu --from-time +45m --output file:second-half.ts");
}

void DeclareNote(Flags& flags, cli::Command& command) {
  using cli::Need;
  NoteSettings& note = flags.note;
  command.Text("FILE", &note.session_path, "the session (*.nark)", Need::kRequired)
      .Text("--secure-space", &note.secure_space, "DIR or unix:PATH", Need::kRequired)
      .Text("--out", &note.out, "where the note goes", Need::kRequired)
      .Switch("--final", &flags.final_note, "close the session for good")
      .Texts("--voucher", &note.voucher_paths,
             "with --final: what was bought and never granted; may be repeated")
      .Examples(
          "nark-receiver note match.nark --secure-space card --out match.note\n"
          "nark-receiver note match.nark --secure-space card --final --out match.note");
}

void DeclareAmend(Flags& flags, cli::Command& command) {
  using cli::Need;
  AmendSettings& amend = flags.amend;
  command.Text("FILE", &amend.session_path, "the session (*.nark)", Need::kRequired)
      .Text("--secure-space", &amend.secure_space, "DIR or unix:PATH", Need::kRequired)
      .Text("--voucher", &amend.voucher_path, "what was bought besides", Need::kRequired)
      .Switch("--allow-insecure", &flags.allow_insecure, kAllowInsecure)
      .Duration("--timeout", &amend.timeout, "for getting the grant")
      .Texts("--key-manager", &amend.key_managers, "HOST:PORT instead of the session's")
      .Switch("--plaintext", &flags.plaintext, "no TLS to key managers: for loopback only")
      .Examples("nark-receiver amend match.nark --secure-space card --voucher extra-time.voucher");
}

void DeclareRequest(Flags& flags, cli::Command& command) {
  using cli::Need;
  RequestSettings& request = flags.request;
  command.Text("FILE", &request.session_path, "the session (*.nark)", Need::kRequired)
      .Text("--secure-space", &request.secure_space, "DIR or unix:PATH", Need::kRequired)
      .Text("--voucher", &request.voucher_path, "what was bought", Need::kRequired)
      .Text("--challenge", &request.challenge_path, "as nark-keymanager challenge made it",
            Need::kRequired)
      .Text("--out", &request.out, "what to carry to the key manager", Need::kRequired)
      .Switch("--allow-insecure", &flags.allow_insecure, kAllowInsecure)
      .Examples(
          "nark-receiver request match.nark --secure-space card --voucher mine.voucher "
          "--challenge match.challenge --out match.request");
}

void DeclareInstall(Flags& flags, cli::Command& command) {
  using cli::Need;
  InstallSettings& install = flags.install;
  command.Text("FILE", &install.grant_path, "as nark-keymanager grant made it", Need::kRequired)
      .Text("--secure-space", &install.secure_space, "DIR or unix:PATH, as of the request",
            Need::kRequired)
      .Text("--cache", &install.cache, kCache)
      .Switch("--allow-insecure", &flags.allow_insecure, kAllowInsecure)
      .Examples("nark-receiver install match.grant --secure-space card");
}

void DeclarePreview(Flags& flags, cli::Command& command) {
  PreviewSettings& preview = flags.preview;
  command.Text("FILE", &preview.session_path, "the session (*.nark)", cli::Need::kRequired)
      .Texts("--output", &preview.outputs, "as of join; may be repeated [-]")
      .Text("--input", &preview.input, "udp://... or file:PATH instead of the session's transport")
      .Duration("--playout-delay", &preview.playout_delay,
                "how long an ADU that is complete may wait for earlier ones")
      .Duration("--stop-after-idle", &preview.stop_after_idle,
                "end when no ADU has come for so long after the first; 0s never")
      .Examples("nark-receiver preview match.nark | ffplay -");
}

void DeclareRefund(Flags& flags, cli::Command& command) {
  using cli::Need;
  RefundSettings& refund = flags.refund;
  command.Text("NOTE", &refund.note_path, "a FINAL delivery note", Need::kRequired)
      .Text("--refunds", &refund.refunds, "HOST:PORT instead of the desk that the session names")
      .Text("--out", &refund.out, "where the desk's signed answer goes")
      .Duration("--timeout", &refund.timeout, "for the desk's answer")
      .Switch("--plaintext", &flags.plaintext, "no TLS to the desk: for loopback only")
      .Switch("--json", &flags.json, "show the answer as JSON")
      .Examples("nark-receiver refund match.note --json");
}

absl::Status Join(Flags& flags, const cli::LogSettings& log) {
  RETURN_IF_ERROR(DisableCoreDumps());
  JoinSettings& join = flags.join;
  if (join.playout_delay.count() < 0 || join.timeout.count() < 0) {
    return absl::InvalidArgumentError("--playout-delay and --timeout can not be negative");
  }
  ASSIGN_OR_RETURN(join.range, ParseRange(flags.range));
  if (join.cache.empty()) join.cache = DefaultCacheFolder();
  if (flags.plaintext) join.transport = KeyManagerTransport::kPlaintext;
  if (flags.json) join.report = JoinSettings::Report::kJson;
  if (flags.allow_insecure) join.insecure = securespace::InsecureSessions::kAllow;
  // Before any thread is made, so that all of them have the signals blocked.
  ASSIGN_OR_RETURN(const auto signals, serve::Signals::Take());
  RETURN_IF_ERROR(serve::StartLog("nark-receiver", log.level, log.format));
  SystemClock clock;
  SystemRandom random;
  const absl::Status status = RunJoin(join, *signals, clock, random);
  serve::StopLog();
  return status;
}

absl::Status CheckTimeout(std::chrono::microseconds timeout) {
  if (timeout.count() > 0) return absl::OkStatus();
  return absl::InvalidArgumentError("--timeout must be more than nothing");
}

absl::Status Amend(Flags& flags) {
  RETURN_IF_ERROR(DisableCoreDumps());
  RETURN_IF_ERROR(CheckTimeout(flags.amend.timeout));
  if (flags.plaintext) flags.amend.transport = KeyManagerTransport::kPlaintext;
  if (flags.allow_insecure) flags.amend.insecure = securespace::InsecureSessions::kAllow;
  SystemClock clock;
  SystemRandom random;
  return RunAmend(flags.amend, clock, random);
}

absl::Status Request(Flags& flags) {
  RETURN_IF_ERROR(DisableCoreDumps());
  if (flags.allow_insecure) flags.request.insecure = securespace::InsecureSessions::kAllow;
  SystemClock clock;
  SystemRandom random;
  return RunRequest(flags.request, clock, random);
}

absl::Status Install(Flags& flags) {
  RETURN_IF_ERROR(DisableCoreDumps());
  if (flags.install.cache.empty()) flags.install.cache = DefaultCacheFolder();
  if (flags.allow_insecure) flags.install.insecure = securespace::InsecureSessions::kAllow;
  SystemClock clock;
  SystemRandom random;
  return RunInstall(flags.install, clock, random);
}

absl::Status Refund(Flags& flags) {
  RETURN_IF_ERROR(CheckTimeout(flags.refund.timeout));
  if (flags.plaintext) flags.refund.transport = KeyManagerTransport::kPlaintext;
  if (flags.json) flags.refund.report = RefundSettings::Report::kJson;
  SystemClock clock;
  return RunRefund(flags.refund, clock);
}

absl::Status Preview(Flags& flags, const cli::LogSettings& log) {
  if (flags.preview.playout_delay.count() < 0) {
    return absl::InvalidArgumentError("--playout-delay can not be negative");
  }
  ASSIGN_OR_RETURN(const auto signals, serve::Signals::Take());
  RETURN_IF_ERROR(serve::StartLog("nark-receiver", log.level, log.format));
  SystemClock clock;
  const absl::Status status = RunPreview(flags.preview, *signals, clock);
  serve::StopLog();
  return status;
}

absl::Status Note(Flags& flags) {
  RETURN_IF_ERROR(DisableCoreDumps());
  if (flags.final_note) flags.note.status = v1::NOTE_STATUS_FINAL;
  if (!flags.final_note && !flags.note.voucher_paths.empty()) {
    return absl::InvalidArgumentError("--voucher is for FINAL notes: add --final");
  }
  SystemClock clock;
  SystemRandom random;
  return RunNote(flags.note, clock, random);
}

}  // namespace
}  // namespace nark::receiver

int main(int argc, char** argv) {
  using nark::receiver::Flags;
  nark::cli::Program program("nark-receiver", "Joins a session and plays what was bought.");
  Flags flags;
  program.command().Examples(
      "nark-receiver join match.nark --secure-space card --voucher mine.voucher | ffplay -\n"
      "nark-receiver amend match.nark --secure-space card --voucher extra-time.voucher\n"
      "nark-receiver note match.nark --secure-space card --final --out match.note\n"
      "nark-receiver refund match.note");
  nark::cli::Command& join =
      program.command().Subcommand("join", "get a grant, receive, decrypt and write");
  nark::receiver::DeclareJoin(flags, join);
  join.Action([&] { return nark::receiver::Join(flags, program.log()); });
  nark::cli::Command& note =
      program.command().Subcommand("note", "the signed account of what was delivered");
  nark::receiver::DeclareNote(flags, note);
  note.Action([&] { return nark::receiver::Note(flags); });
  nark::cli::Command& amend = program.command().Subcommand(
      "amend", "add what another voucher bought, while playing or not");
  nark::receiver::DeclareAmend(flags, amend);
  amend.Action([&] { return nark::receiver::Amend(flags); });
  nark::cli::Command& request = program.command().Subcommand(
      "request", "ask for a grant by a file that is carried to a key manager");
  nark::receiver::DeclareRequest(flags, request);
  request.Action([&] { return nark::receiver::Request(flags); });
  nark::cli::Command& install =
      program.command().Subcommand("install", "install the grant that came back");
  nark::receiver::DeclareInstall(flags, install);
  install.Action([&] { return nark::receiver::Install(flags); });
  nark::cli::Command& preview = program.command().Subcommand(
      "preview", "write what everybody may see; needs no secure space and no voucher");
  nark::receiver::DeclarePreview(flags, preview);
  preview.Action([&] { return nark::receiver::Preview(flags, program.log()); });
  nark::cli::Command& refund =
      program.command().Subcommand("refund", "ask the refund desk for what was not delivered");
  nark::receiver::DeclareRefund(flags, refund);
  refund.Action([&] { return nark::receiver::Refund(flags); });
  return program.Run(argc, argv);
}
