#include "narkctl/note.h"

#include <algorithm>
#include <map>
#include <set>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "common/base/status.h"
#include "common/object/envelope.h"

namespace nark::narkctl {
namespace {

using Json = nlohmann::ordered_json;
// The certificate beside the note.
absl::StatusOr<Certificate> SecureSpaceOf(const v1::NoteFile& file,
                                          const std::optional<Certificate>& issuer) {
  ASSIGN_OR_RETURN(std::vector<Certificate> chain,
                   ParseCertificates(file.secure_space_certificates()));
  const Certificate leaf = chain.front();
  if (issuer.has_value()) {
    absl::Status issued =
        VerifyChain(chain, *issuer,
                    {.at = std::nullopt, .leaf_role = CertificateRole::kSecureSpace})
            .status();
    if (!issued.ok()) return Annotate(issued, "the note's certificate");
  }
  return leaf;
}

// Last ids by first ids, as everybody shows ranges.
std::vector<v1::AduRange> ToVector(const IdSet& ids) {
  std::vector<v1::AduRange> ranges;
  for (const auto& [first, last] : ids.ranges()) {
    v1::AduRange& range = ranges.emplace_back();
    range.set_first(first);
    range.set_last(last);
  }
  return ranges;
}

Json RangesJson(const IdSet& ids) {
  Json json = Json::array();
  for (const auto& [first, last] : ids.ranges()) json.push_back({first, last});
  return json;
}

// "RANGE" for REFUSAL_REASON_RANGE.
std::string ReasonWord(v1::RefusalReason reason) {
  return v1::RefusalReason_Name(reason).substr(std::string_view("REFUSAL_REASON_").size());
}

std::string StatusWord(v1::NoteStatus status) {
  return v1::NoteStatus_Name(status).substr(std::string_view("NOTE_STATUS_").size());
}

struct Totals {
  uint64_t bought = 0;
  uint64_t delivered = 0;
  uint64_t late = 0;
  uint64_t missing = 0;
};

Totals TotalsOf(const CheckedNote& note) {
  Totals totals;
  totals.bought = AdusBought(note);
  for (const NotedStream& stream : note.verified.streams) {
    totals.delivered += stream.delivered.size();
    totals.late += stream.late.size();
  }
  totals.missing = totals.bought - std::min(totals.bought, totals.delivered);
  return totals;
}

// Vouchers that were bought, and never granted.
int NotGranted(const CheckedNote& note) {
  return static_cast<int>(
      std::count_if(note.verified.vouchers.begin(), note.verified.vouchers.end(),
                    [](const NotedVoucher& voucher) { return !voucher.granted; }));
}

Json JsonOf(const CheckedNote& checked, const Totals& totals) {
  const v1::DeliveryNote& note = checked.verified.note;
  Json senders = Json::array();
  for (const NotedStream& stream : checked.verified.streams) {
    senders.push_back({{"id", stream.sender_id},
                       {"sub_session", stream.sub_session},
                       {"delivered_ranges", RangesJson(stream.delivered)},
                       {"late_ranges", RangesJson(stream.late)},
                       {"proved_ranges", RangesJson(stream.proved)},
                       {"highest_signed_time", FormatTime(stream.highest_signed_time_us)}});
  }
  Json refused = Json::object();
  for (const v1::RefusalCount& refusal : note.refusals()) {
    refused[ReasonWord(refusal.reason())] = refusal.count();
  }
  return {{"status", StatusWord(note.status())},
          {"bought", totals.bought},
          {"delivered", totals.delivered},
          {"late", totals.late},
          {"missing", totals.missing},
          {"refused", refused},
          {"senders", senders},
          {"vouchers", note.vouchers_size()},
          {"vouchers_not_granted", NotGranted(checked)},
          {"session_id", ToHex(checked.session.name().session_id)},
          {"provider", ToHex(checked.session.name().provider)},
          {"secure_space_id", ToHex(AsBytes(note.secure_space_id()))},
          {"assurance", EnumWord(v1::AssuranceClass_Name(note.assurance()), "ASSURANCE_CLASS_")},
          {"counter", note.counter()},
          {"issuer_verified", checked.issuer.has_value()}};
}

}  // namespace

absl::StatusOr<CheckedNote> CheckNote(const v1::NoteFile& file,
                                      const std::optional<Certificate>& issuer, Timestamp now) {
  ASSIGN_OR_RETURN(VerifiedSession session,
                   VerifiedSession::VerifyIssued(file.session_descriptor(), now));
  ASSIGN_OR_RETURN(Certificate leaf, SecureSpaceOf(file, issuer));
  ASSIGN_OR_RETURN(NoteSigner signer, NoteSigner::Of(leaf));
  SignerCache tills;
  ASSIGN_OR_RETURN(VerifiedNote verified, VerifyNote(file.note(), session, signer, tills, now));
  return CheckedNote{
      .session = std::move(session), .verified = std::move(verified), .issuer = issuer};
}

uint64_t AdusBought(const CheckedNote& note) {
  std::map<std::pair<uint32_t, uint32_t>, IdSet> ranges;     // by stream
  std::map<std::pair<uint32_t, uint32_t>, IdSet> countable;  // with those of counts
  std::map<uint32_t, uint64_t> counts;                       // by sender
  for (const NotedVoucher& voucher : note.verified.vouchers) {
    const v1::Policy& policy = voucher.bought.voucher.policy();
    std::set<uint32_t> senders;
    for (const auto& stream : StreamsOf(policy, note.session.terms())) {
      countable[stream].Insert(policy.range().first(), policy.range().last());
      if (policy.count() == 0) ranges[stream].Insert(policy.range().first(), policy.range().last());
      senders.insert(stream.second);
    }
    for (uint32_t sender : senders) counts[sender] += policy.count();
  }
  uint64_t bought = 0;
  for (const auto& [sender, count] : counts) {
    // A count is spent only where no range covers the ADU.
    uint64_t free = 0, all = 0;
    for (const auto& [stream, ids] : countable) {
      if (stream.second != sender) continue;
      all += ids.size();
      free += ranges[stream].size();
    }
    bought += free + std::min(count, all - free);
  }
  return bought;
}

Shown ShowNote(const CheckedNote& checked) {
  const v1::DeliveryNote& note = checked.verified.note;
  const Totals totals = TotalsOf(checked);
  Shown shown;
  shown.json = JsonOf(checked, totals);
  shown.lines = {{"Session", ToHex(checked.session.name().session_id)},
                 {"Secure space", ToHex(AsBytes(note.secure_space_id()))},
                 {"Status", StatusWord(note.status())},
                 {"Bought", absl::StrCat(totals.bought)},
                 {"Delivered", absl::StrCat(totals.delivered)},
                 {"Late", absl::StrCat(totals.late)},
                 {"Missing", absl::StrCat(totals.missing)}};
  if (const int not_granted = NotGranted(checked); not_granted > 0) {
    shown.lines.emplace_back("Vouchers not granted", absl::StrCat(not_granted));
  }
  for (const v1::RefusalCount& refusal : note.refusals()) {
    shown.lines.emplace_back(absl::StrCat("Refused ", ReasonWord(refusal.reason())),
                             absl::StrCat(refusal.count()));
  }
  for (const NotedStream& stream : checked.verified.streams) {
    const std::string name =
        stream.sub_session == 0
            ? absl::StrCat("Sender ", stream.sender_id)
            : absl::StrCat("Sender ", stream.sender_id, ", sub-session ", stream.sub_session);
    shown.lines.emplace_back(name, FormatRanges(ToVector(stream.delivered)));
    if (stream.proved.size() == 0) continue;
    shown.lines.emplace_back(name + ", proved", FormatRanges(ToVector(stream.proved)));
  }
  shown.lines.emplace_back(
      "Verified",
      checked.issuer.has_value() ? "yes" : "signatures; name --issuer to verify the secure space");
  return shown;
}

}  // namespace nark::narkctl
