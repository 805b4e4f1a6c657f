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
#include "receiver/join.h"
#include "receiver/note.h"

namespace nark::receiver {
namespace {

struct Flags {
  JoinSettings join;
  bool plaintext = false;
  bool json = false;
  NoteSettings note;
  bool final_note = false;
};

void DeclareJoin(Flags& flags, cli::Command& command) {
  using cli::Need;
  JoinSettings& join = flags.join;
  command.Text("FILE", &join.session_path, "the session (*.nark)", Need::kRequired)
      .Text("--secure-space", &join.secure_space, "DIR or unix:PATH", Need::kRequired)
      .Text("--voucher", &join.voucher_path, "what was bought", Need::kRequired)
      .Texts("--output", &join.outputs,
             "-, file:PATH, udp://HOST:PORT or http://HOST:PORT/PATH; may be repeated [-]")
      .Text("--input", &join.input, "udp://... or file:PATH instead of the session's transport")
      .Duration("--playout-delay", &join.playout_delay,
                "how long an ADU that is complete may wait for earlier ones")
      .Duration("--timeout", &join.timeout, "for getting a grant")
      .Texts("--key-manager", &join.key_managers, "HOST:PORT instead of the session's")
      .Switch("--plaintext", &flags.plaintext, "no TLS to key managers: for loopback only")
      .Text("--http", &join.http, "HOST:PORT to serve /metrics, /livez and /readyz")
      .Text("--ready-file", &join.ready_file, "written (JSON) once the grant is installed")
      .Text("--statistics", &join.statistics_file, "written (JSON) at the end")
      .Duration("--stop-after-idle", &join.stop_after_idle,
                "end when no ADU has come for so long after the first; 0s never")
      .Switch("--json", &flags.json, "show the final statistics as JSON")
      .Examples(
          "nark-receiver join match.nark --secure-space card --voucher mine.voucher | ffplay -\n"
          "nark-receiver join match.nark --secure-space card --voucher mine.voucher \\\n"
          "    --output file:match.ts --output udp://127.0.0.1:1234");
}

void DeclareNote(Flags& flags, cli::Command& command) {
  using cli::Need;
  NoteSettings& note = flags.note;
  command.Text("FILE", &note.session_path, "the session (*.nark)", Need::kRequired)
      .Text("--secure-space", &note.secure_space, "DIR or unix:PATH", Need::kRequired)
      .Text("--out", &note.out, "where the note goes", Need::kRequired)
      .Switch("--final", &flags.final_note, "close the session for good")
      .Examples("nark-receiver note match.nark --secure-space card --out match.note");
}

absl::Status Join(Flags& flags, const cli::LogSettings& log) {
  RETURN_IF_ERROR(DisableCoreDumps());
  JoinSettings& join = flags.join;
  if (join.playout_delay.count() < 0 || join.timeout.count() < 0) {
    return absl::InvalidArgumentError("--playout-delay and --timeout can not be negative");
  }
  if (flags.plaintext) join.transport = KeyManagerTransport::kPlaintext;
  if (flags.json) join.report = JoinSettings::Report::kJson;
  // Before any thread is made, so that all of them have the signals blocked.
  ASSIGN_OR_RETURN(const auto signals, serve::Signals::Take());
  RETURN_IF_ERROR(serve::StartLog("nark-receiver", log.level, log.format));
  SystemClock clock;
  SystemRandom random;
  const absl::Status status = RunJoin(join, *signals, clock, random);
  serve::StopLog();
  return status;
}

absl::Status Note(Flags& flags) {
  RETURN_IF_ERROR(DisableCoreDumps());
  if (flags.final_note) flags.note.status = v1::NOTE_STATUS_FINAL;
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
      "nark-receiver note match.nark --secure-space card --out match.note");
  nark::cli::Command& join =
      program.command().Subcommand("join", "get a grant, receive, decrypt and write");
  nark::receiver::DeclareJoin(flags, join);
  join.Action([&] { return nark::receiver::Join(flags, program.log()); });
  nark::cli::Command& note =
      program.command().Subcommand("note", "the signed account of what was delivered");
  nark::receiver::DeclareNote(flags, note);
  note.Action([&] { return nark::receiver::Note(flags); });
  return program.Run(argc, argv);
}
