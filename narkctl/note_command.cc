#include <iostream>
#include <memory>
#include <optional>
#include <string>

#include "common/base/status.h"
#include "common/object/file.h"
#include "narkctl/commands.h"
#include "narkctl/folder.h"
#include "narkctl/note.h"

namespace nark::narkctl {
namespace {

using cli::Need;

struct Flags {
  std::string file;
  std::string issuer;
  bool json = false;
};

absl::StatusOr<Shown> Show(const Flags& flags, Timestamp now) {
  ASSIGN_OR_RETURN(v1::NarkFile file, ReadNarkFile(flags.file, v1::NarkFile::kNote));
  std::optional<Certificate> issuer;
  if (!flags.issuer.empty()) {
    ASSIGN_OR_RETURN(issuer, ReadRoot(flags.issuer, CertificateRole::kIssuerRoot));
  }
  absl::StatusOr<CheckedNote> note = CheckNote(file.note(), issuer, now);
  if (!note.ok()) return Annotate(note.status(), flags.file);
  return ShowNote(*note);
}

}  // namespace

void AddNoteCommands(cli::Command& program) {
  cli::Command& note = program.Subcommand("note", "Show delivery notes.");
  auto flags = std::make_shared<Flags>();
  note.Subcommand("show", "Verifies a delivery note and shows what it says.")
      .Text("FILE", &flags->file, "the note file", Need::kRequired)
      .Text("--issuer", &flags->issuer, "issuer.pem, to verify the secure space too")
      .Switch("--json", &flags->json, "for programs")
      .Examples("narkctl note show alice.note --json")
      .Action([flags]() -> absl::Status {
        ASSIGN_OR_RETURN(Shown shown, Show(*flags, SystemClock().Now()));
        std::cout << (flags->json ? shown.ToJson() : shown.ToText());
        return absl::OkStatus();
      });
}

}  // namespace nark::narkctl
