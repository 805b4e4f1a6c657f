#include <iostream>
#include <memory>
#include <string>

#include "common/base/status.h"
#include "common/object/envelope.h"
#include "common/object/file.h"
#include "narkctl/commands.h"
#include "narkctl/session.h"
#include "narkctl/show.h"
#include "narkctl/voucher.h"

namespace nark::narkctl {
namespace {

using cli::Need;

void AddIssue(cli::Command& group) {
  auto flags = std::make_shared<VoucherFlags>();
  cli::Command& issue =
      group.Subcommand("issue", "Sells: a voucher for one secure space. Prints the voucher's id.");
  issue.Text("--provider", &flags->provider, "the provider's folder", Need::kRequired)
      .Text("--session", &flags->session, "the session file", Need::kRequired)
      .Text("--secure-space", &flags->secure_space, "id of the buyer's secure space",
            Need::kRequired)
      .Text("--range", &flags->range, "ADU ids FIRST-LAST, both included", Need::kRequired)
      .Text("--out", &flags->out, "the voucher", Need::kRequired)
      .Number("--count", &flags->count, "at most this many ADUs of the range")
      .Texts("--sender", &flags->senders,
             "id of a sender; repeatable; all that the terms name unless given")
      .Texts("--sub-session", &flags->sub_sessions,
             "id of a sub-session; repeatable; the main stream, 0, unless given")
      .Texts("--group", &flags->groups,
             "hexadecimal id of a group that the buyer joins; repeatable")
      .Duration("--expires", &flags->expires, "from now, after which later ADUs are refused")
      .Duration("--lease", &flags->lease, "longest time without an ADU")
      .Text("--price", &flags->price, "paid; the list price of all ADUs bought unless given")
      .Text("--currency", &flags->currency, "of --price; the session's unless given")
      .Text("--payer", &flags->payer, "your own reference to the payer")
      .Examples(
          "narkctl voucher issue --provider provider --session news.nark --secure-space ID \\\n"
          "    --range 0-3599 --out alice.voucher")
      .Action([flags]() -> absl::Status {
        SystemRandom random;
        ASSIGN_OR_RETURN(v1::Voucher voucher, IssueVoucher(*flags, SystemClock().Now(), random));
        std::cout << ToHex(AsBytes(voucher.voucher_id())) << "\n";
        return absl::OkStatus();
      });
}

struct ShowFlags {
  std::string file;
  std::string session;
  bool json = false;
};

absl::StatusOr<Shown> Show(const ShowFlags& flags, Timestamp now) {
  ASSIGN_OR_RETURN(v1::NarkFile file, ReadNarkFile(flags.file, v1::NarkFile::kVoucher));
  if (flags.session.empty()) return ShowVoucherAlone(file.voucher(), flags.file);
  ASSIGN_OR_RETURN(VerifiedSession session, ReadSession(flags.session, now));
  absl::StatusOr<VerifiedVoucher> voucher = VerifyVoucher(file.voucher(), session, now);
  if (!voucher.ok()) return Annotate(voucher.status(), flags.file);
  return ShowVoucher(voucher->voucher, voucher->identity, VoucherTrust::kVerified);
}

void AddShow(cli::Command& group) {
  auto flags = std::make_shared<ShowFlags>();
  group.Subcommand("show", "Shows what a voucher says.")
      .Text("FILE", &flags->file, "the voucher", Need::kRequired)
      .Text("--session", &flags->session, "its session file, to verify who sold it")
      .Switch("--json", &flags->json, "for programs")
      .Examples("narkctl voucher show alice.voucher --session news.nark")
      .Action([flags]() -> absl::Status {
        ASSIGN_OR_RETURN(Shown shown, Show(*flags, SystemClock().Now()));
        std::cout << (flags->json ? shown.ToJson() : shown.ToText());
        return absl::OkStatus();
      });
}

}  // namespace

void AddVoucherCommands(cli::Command& program) {
  cli::Command& voucher = program.Subcommand("voucher", "Sell, and show what was sold.");
  AddIssue(voucher);
  AddShow(voucher);
}

}  // namespace nark::narkctl
