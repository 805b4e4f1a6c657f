#include <iostream>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/base/status.h"
#include "common/schedule/generator.h"
#include "common/wire/cipher.h"
#include "narkctl/commands.h"
#include "narkctl/session.h"
#include "narkctl/show.h"
#include "narkctl/token_flags.h"

namespace nark::narkctl {
namespace {

using cli::Need;

// The flags that are switches and choices on the command line.
struct CreateFlags {
  SessionFlags session;
  TokenFlags token;
  std::string may_control = "yes";
  std::string refund_unspent = "no";
  bool allow_unbounded_grants = false;
  bool open_to_senders = false;
  bool allow_insecure = false;
  bool force = false;
};

// Of a registry.
std::string Listed(const std::vector<std::string_view>& ids) {
  std::string listed;
  for (std::string_view id : ids) {
    absl::StrAppend(&listed, listed.empty() ? "" : ", ", std::string(id));
  }
  return listed;
}

void AddTermsFlags(cli::Command& create, CreateFlags& flags) {
  SessionFlags& session = flags.session;
  create.Text("--title", &session.title, "for people")
      .Text("--generator", &session.generator,
            absl::StrCat("key generator: ", Listed(schedule::GeneratorIds()), " [marks]"))
      .Switch("--allow-unbounded-grants", &flags.allow_unbounded_grants,
              "take a generator that cannot grant a range alone")
      .Number("--depth", &session.depth,
              "ADU ids are below 2^DEPTH [32, or the most that the generator has]")
      .Text("--cipher", &session.cipher, absl::StrCat(Listed(wire::CipherIds()), " [aes-128-gcm]"))
      .Number("--colluders", &session.audit.colluders,
              "with --cipher chameleon: receivers who may put their copies together and be found "
              "[8, or as many as the block suffices for]")
      .Text("--false-accusation", &session.audit.false_accusation,
            "with --cipher chameleon: the probability that a trace accuses an innocent [1e-6]")
      .Text("--audit-block", &session.audit.block,
            "with --cipher chameleon: size of receivers' marked blocks, 8KiB to 512KiB [512KiB]")
      .Text("--audit-family", &session.audit.family,
            "with --cipher chameleon: the block id of an earlier session, whose marked blocks are "
            "used again, or new [the only one there is]")
      .Switch("--allow-insecure", &flags.allow_insecure,
              "take a cipher or generator that protects nothing; who plays it has to say so too")
      .Choice("--receipts", &session.receipts, {"ordered", "bitmap", "tree"},
              "how secure spaces keep receipts")
      .Text("--adu", &session.adu, "how ADUs are cut: gop, a duration or a size as 64KiB [1s]")
      .Choice("--timeliness", &session.timeliness, {"live", "none"},
              "whether late ADUs are refused")
      .Duration("--deadline", &session.deadline, "from an ADU's time to its deadline, when live")
      .Choice("--release", &session.release, {"key", "plaintext"}, "what leaves the secure space")
      .Number("--refund-cap", &session.refund_cap,
              "most that is refunded, percent of the price [100]")
      .Number("--emulated-refund-cap", &session.emulated_refund_cap,
              "the same for secure spaces in software, whose folder can be copied [--refund-cap]")
      .Number("--refund-tolerance", &session.refund_tolerance,
              "undelivered ADUs of every thousand bought that earn nothing [0]")
      .Number("--refund-minimum", &session.refund_minimum,
              "refunds smaller than so many minor units (cents) are not paid [0]")
      .Choice("--refund-unspent-counts", &flags.refund_unspent, {"yes", "no"},
              "whether the unspent part of a count is refunded")
      .Text("--price-per-adu", &session.price_per_adu, "list price, such as 0.05")
      .Text("--currency", &session.currency, "of the price, such as EUR");
}

absl::Status RunCreate(CreateFlags& flags) {
  flags.session.sender.set_may_control(flags.may_control == "yes");
  if (flags.allow_unbounded_grants) flags.session.unbounded_grants = UnboundedGrants::kAllow;
  if (flags.allow_insecure) flags.session.insecure_parts = InsecureParts::kAllow;
  if (flags.refund_unspent == "yes") flags.session.unspent_counts = UnspentCounts::kRefund;
  if (flags.open_to_senders) flags.session.open_to_senders = OpenToSenders::kYes;
  if (flags.force) flags.session.existing = ExistingFiles::kReplace;
  SystemRandom random;
  ASSIGN_OR_RETURN(const auto keys, OpenToken(flags.token, pkcs11::Access::kRead));
  flags.session.token = keys.get();
  ASSIGN_OR_RETURN(const VerifiedSession made,
                   CreateSession(flags.session, SystemClock().Now(), random));
  if (made.terms().has_audit()) {
    std::cerr << "audit trail: " << DescribeAudit(made.terms().audit()) << "\n";
  }
  std::cout << ToHex(made.name().session_id) << "\n";
  return absl::OkStatus();
}

void AddCreate(cli::Command& group) {
  auto flags = std::make_shared<CreateFlags>();
  SessionFlags& session = flags->session;
  cli::Command& create =
      group.Subcommand("create",
                       "Makes a session: a public file for receivers, a secret one for its sender. "
                       "Prints the session's id.");
  create.Text("--provider", &session.provider, "the provider's folder", Need::kRequired)
      .Text("--pool", &session.pool, "the key-manager pool's folder", Need::kRequired)
      .Text("--transport", &session.transport,
            "udp://[SOURCE@]GROUP:PORT?adapter=IFACE&ttl=N, or file:PATH", Need::kRequired)
      .Text("--out", &session.out, "the session file, FILE.nark", Need::kRequired)
      .Texts("--sender-out", &session.sender_outs,
             "the sender's file, secret; repeatable, one a sender", Need::kRequired);
  DeclareToken(flags->token, create);
  AddTermsFlags(create, *flags);
  create.Texts("--key-manager", &session.key_managers, "HOST:PORT; repeatable, tried in order")
      .Text("--refunds", &session.refunds, "HOST:PORT of the refund desk")
      .Texts("--sender-id", &session.sender_ids,
             "id of the sender; repeatable, in the order of --sender-out [1, 2, ...]")
      .Choice("--sender-may-control", &flags->may_control, {"yes", "no"},
              "whether its control blocks are obeyed")
      .Switch("--open-to-senders", &flags->open_to_senders,
              "senders of other ids may be certified later, by session add-sender")
      .Texts("--sub-session", &session.sub_sessions,
             "ID=TITLE of a stream besides the main one, with purchases of its own; repeatable")
      .Texts("--sub-session-transport", &session.sub_session_transports,
             "ID=URI, where it does not share the main stream's; repeatable")
      .Texts("--demand-digest", &session.demanded_digests,
             "id of a sub-session, as of adverts, where the next key takes the digest of the ADU "
             "decrypted before; repeatable")
      .Switch("--force", &flags->force, "replace existing files")
      .Examples(
          "narkctl session create --provider provider --pool pool --title News \\\n"
          "    --transport 'udp://239.255.10.1:5004?adapter=lo' --adu gop \\\n"
          "    --key-manager 127.0.0.1:7443 --price-per-adu 0.05 --currency EUR \\\n"
          "    --out news.nark --sender-out news.sender")
      .Action([flags] { return RunCreate(*flags); });
}

void AddAddSender(cli::Command& group) {
  struct Flags {
    AddSenderFlags sender;
    TokenFlags token;
    bool force = false;
  };
  auto flags = std::make_shared<Flags>();
  AddSenderFlags& sender = flags->sender;
  cli::Command& add = group.Subcommand(
      "add-sender",
      "Certifies one more sender while the session runs: writes its file and a later "
      "session file, which receivers take instead of theirs. Prints the sender's id.");
  DeclareToken(flags->token, add);
  add.Text("FILE", &sender.session, "the session file; replaced unless --out is given",
           Need::kRequired)
      .Text("--provider", &sender.provider, "the provider's folder", Need::kRequired)
      .Text("--pool", &sender.pool, "the key-manager pool's folder, to open the session's seed",
            Need::kRequired)
      .Text("--sender-id", &sender.sender_id, "id of the sender", Need::kRequired)
      .Text("--sender-out", &sender.sender_out, "the sender's file; secret", Need::kRequired)
      .Text("--out", &sender.out, "the later session file, instead of FILE")
      .Switch("--force", &flags->force, "replace existing files")
      .Examples(
          "narkctl session add-sender news.nark --provider provider --pool pool --sender-id 7 \\\n"
          "    --sender-out reporter.sender")
      .Action([flags]() -> absl::Status {
        if (flags->force) flags->sender.existing = ExistingFiles::kReplace;
        ASSIGN_OR_RETURN(const auto keys, OpenToken(flags->token, pkcs11::Access::kRead));
        flags->sender.token = keys.get();
        ASSIGN_OR_RETURN(const uint32_t id, AddSenderTo(flags->sender, SystemClock().Now()));
        std::cout << id << "\n";
        return absl::OkStatus();
      });
}

struct ShowFlags {
  std::string file;
  bool json = false;
};

void AddShow(cli::Command& group) {
  auto flags = std::make_shared<ShowFlags>();
  group.Subcommand("show", "Verifies a session file and shows what it says.")
      .Text("FILE", &flags->file, "the session file", Need::kRequired)
      .Switch("--json", &flags->json, "for programs")
      .Examples("narkctl session show news.nark --json")
      .Action([flags]() -> absl::Status {
        ASSIGN_OR_RETURN(VerifiedSession session, ReadSession(flags->file, SystemClock().Now()));
        const Shown shown = ShowSession(session);
        std::cout << (flags->json ? shown.ToJson() : shown.ToText());
        return absl::OkStatus();
      });
}

}  // namespace

void AddSessionCommands(cli::Command& program) {
  cli::Command& session = program.Subcommand("session", "Make and show sessions.");
  AddCreate(session);
  AddAddSender(session);
  AddShow(session);
}

}  // namespace nark::narkctl
