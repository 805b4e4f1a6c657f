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
using Ranges = google::protobuf::RepeatedPtrField<v1::AduRange>;

absl::Status Bad(const std::string& message) { return absl::InvalidArgumentError(message); }

// Ranges of ADUs as last id by first id, sorted and disjoint.
using RangeSet = std::map<uint64_t, uint64_t>;

void Insert(RangeSet& set, uint64_t first, uint64_t last) {
  auto next = set.upper_bound(last);
  while (next != set.begin()) {
    auto before = std::prev(next);
    if (before->second < first) break;
    first = std::min(first, before->first);
    last = std::max(last, before->second);
    next = set.erase(before);
  }
  set[first] = last;
}

uint64_t SizeOf(const RangeSet& set) {
  uint64_t size = 0;
  for (const auto& [first, last] : set) size += last - first + 1;
  return size;
}

uint64_t SizeOf(const Ranges& ranges) {
  uint64_t size = 0;
  for (const v1::AduRange& range : ranges) size += range.last() - range.first() + 1;
  return size;
}

absl::Status CheckRanges(const Ranges& ranges) {
  uint64_t next = 0;
  for (const v1::AduRange& range : ranges) {
    if (range.first() > range.last() || range.first() < next || range.last() >> 63 != 0) {
      return Bad("the note's ranges are not sorted and disjoint");
    }
    next = range.last() + 2;  // adjacent ranges would be one
  }
  return absl::OkStatus();
}

absl::Status CheckReceipts(const v1::DeliveryNote& note) {
  std::set<std::pair<uint32_t, uint32_t>> seen;
  for (const v1::SenderReceipts& receipts : note.receipts()) {
    RETURN_IF_ERROR(CheckRanges(receipts.delivered()));
    RETURN_IF_ERROR(CheckRanges(receipts.late()));
    if (!seen.emplace(receipts.sender_id(), receipts.sub_session()).second) {
      return Bad(absl::StrCat("the note names sender ", receipts.sender_id(), " twice"));
    }
  }
  for (const v1::RefusalCount& refusal : note.refusals()) {
    if (!v1::RefusalReason_IsValid(refusal.reason()) ||
        refusal.reason() == v1::REFUSAL_REASON_UNSPECIFIED) {
      return Bad("the note counts refusals without a reason");
    }
  }
  if (!v1::NoteStatus_IsValid(note.status()) || note.status() == v1::NOTE_STATUS_UNSPECIFIED) {
    return Bad("the note is neither INTERIM nor FINAL");
  }
  return absl::OkStatus();
}

// The certificate beside the note; its keys must be the note's secure space.
absl::StatusOr<Certificate> SecureSpaceOf(const v1::NoteFile& file,
                                          const std::optional<Certificate>& issuer) {
  ASSIGN_OR_RETURN(std::vector<Certificate> chain,
                   ParseCertificates(file.secure_space_certificates()));
  const Certificate leaf = chain.front();
  if (leaf.role() != CertificateRole::kSecureSpace || !leaf.secure_space_scope().has_value()) {
    return absl::UnauthenticatedError("the note's certificate is not of a secure space");
  }
  if (issuer.has_value()) {
    absl::Status issued =
        VerifyChain(chain, *issuer,
                    {.at = std::nullopt, .leaf_role = CertificateRole::kSecureSpace})
            .status();
    if (!issued.ok()) return Annotate(issued, "the note's certificate");
  }
  return leaf;
}

absl::Status CheckBelongs(const v1::DeliveryNote& note, const VerifiedSession& session,
                          const Certificate& leaf) {
  const SecureSpaceScope& scope = *leaf.secure_space_scope();
  ASSIGN_OR_RETURN(SessionName name, SessionName::FromProto(note.session()));
  if (name != session.name() || !Equal(AsBytes(note.terms_identity()), session.terms_identity())) {
    return Bad("the note is of another session than the descriptor beside it");
  }
  if (!Equal(AsBytes(note.secure_space_id()),
             SecureSpaceId(leaf.public_key().spki(), scope.note_spki)) ||
      note.assurance() != scope.assurance) {
    return Bad("the note is of another secure space than the certificate beside it");
  }
  return absl::OkStatus();
}

std::vector<uint32_t> SendersOf(const v1::Policy& policy, const v1::Terms& terms) {
  std::vector<uint32_t> ids(policy.sender_ids().begin(), policy.sender_ids().end());
  if (ids.empty()) {
    for (const v1::PermittedSender& sender : terms.senders()) ids.push_back(sender.sender_id());
  }
  return ids;
}

std::vector<v1::AduRange> ToVector(const Ranges& ranges) { return {ranges.begin(), ranges.end()}; }

Json RangesJson(const Ranges& ranges) {
  Json json = Json::array();
  for (const v1::AduRange& range : ranges) json.push_back({range.first(), range.last()});
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

Totals TotalsOf(const VerifiedNote& verified) {
  Totals totals;
  totals.bought = AdusBought(verified);
  for (const v1::SenderReceipts& receipts : verified.note.receipts()) {
    totals.delivered += SizeOf(receipts.delivered());
    totals.late += SizeOf(receipts.late());
  }
  totals.missing = totals.bought - std::min(totals.bought, totals.delivered);
  return totals;
}

Json JsonOf(const VerifiedNote& verified, const Totals& totals) {
  const v1::DeliveryNote& note = verified.note;
  Json senders = Json::array();
  for (const v1::SenderReceipts& receipts : note.receipts()) {
    senders.push_back({{"id", receipts.sender_id()},
                       {"sub_session", receipts.sub_session()},
                       {"delivered_ranges", RangesJson(receipts.delivered())},
                       {"late_ranges", RangesJson(receipts.late())},
                       {"highest_signed_time", FormatTime(receipts.highest_signed_time_us())}});
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
          {"session_id", ToHex(verified.session.name().session_id)},
          {"provider", ToHex(verified.session.name().provider)},
          {"secure_space_id", ToHex(AsBytes(note.secure_space_id()))},
          {"assurance", EnumWord(v1::AssuranceClass_Name(note.assurance()), "ASSURANCE_CLASS_")},
          {"counter", note.counter()},
          {"issuer_verified", verified.issuer.has_value()}};
}

}  // namespace

absl::StatusOr<VerifiedNote> VerifyNote(const v1::NoteFile& file,
                                        const std::optional<Certificate>& issuer, Timestamp now) {
  ASSIGN_OR_RETURN(VerifiedSession session,
                   VerifiedSession::Verify(file.session_descriptor(), now));
  ASSIGN_OR_RETURN(Certificate leaf, SecureSpaceOf(file, issuer));
  ASSIGN_OR_RETURN(PublicKey note_key, PublicKey::FromSpki(leaf.secure_space_scope()->note_spki));
  absl::Status verified = VerifyEnvelope(file.note(), payload_type::kDeliveryNote, note_key);
  if (!verified.ok()) return Annotate(verified, "the delivery note");
  ASSIGN_OR_RETURN(v1::DeliveryNote note,
                   PayloadOf<v1::DeliveryNote>(file.note(), "the delivery note"));
  RETURN_IF_ERROR(CheckBelongs(note, session, leaf));
  RETURN_IF_ERROR(CheckReceipts(note));
  std::vector<VerifiedVoucher> vouchers;
  for (const v1::SignedEnvelope& envelope : note.vouchers()) {
    ASSIGN_OR_RETURN(VerifiedVoucher voucher, VerifyVoucher(envelope, session, now));
    vouchers.push_back(std::move(voucher));
  }
  return VerifiedNote{.session = std::move(session),
                      .note = std::move(note),
                      .vouchers = std::move(vouchers),
                      .issuer = issuer};
}

uint64_t AdusBought(const VerifiedNote& note) {
  std::map<uint32_t, RangeSet> ranges;
  std::map<uint32_t, RangeSet> countable;
  std::map<uint32_t, uint64_t> counts;
  for (const VerifiedVoucher& voucher : note.vouchers) {
    const v1::Policy& policy = voucher.voucher.policy();
    for (uint32_t sender : SendersOf(policy, note.session.terms())) {
      RangeSet& set = policy.count() == 0 ? ranges[sender] : countable[sender];
      Insert(set, policy.range().first(), policy.range().last());
      counts[sender] += policy.count();
    }
  }
  uint64_t bought = 0;
  for (const auto& [sender, count] : counts) {
    // A count is spent only where no range covers the ADU.
    RangeSet all = ranges[sender];
    for (const auto& [first, last] : countable[sender]) Insert(all, first, last);
    const uint64_t covered = SizeOf(ranges[sender]);
    bought += covered + std::min(count, SizeOf(all) - covered);
  }
  return bought;
}

Shown ShowNote(const VerifiedNote& verified) {
  const v1::DeliveryNote& note = verified.note;
  const Totals totals = TotalsOf(verified);
  Shown shown;
  shown.json = JsonOf(verified, totals);
  shown.lines = {{"Session", ToHex(verified.session.name().session_id)},
                 {"Secure space", ToHex(AsBytes(note.secure_space_id()))},
                 {"Status", StatusWord(note.status())},
                 {"Bought", absl::StrCat(totals.bought)},
                 {"Delivered", absl::StrCat(totals.delivered)},
                 {"Late", absl::StrCat(totals.late)},
                 {"Missing", absl::StrCat(totals.missing)}};
  for (const v1::RefusalCount& refusal : note.refusals()) {
    shown.lines.emplace_back(absl::StrCat("Refused ", ReasonWord(refusal.reason())),
                             absl::StrCat(refusal.count()));
  }
  for (const v1::SenderReceipts& receipts : note.receipts()) {
    shown.lines.emplace_back(absl::StrCat("Sender ", receipts.sender_id()),
                             FormatRanges(ToVector(receipts.delivered())));
  }
  shown.lines.emplace_back(
      "Verified",
      verified.issuer.has_value() ? "yes" : "signatures; name --issuer to verify the secure space");
  return shown;
}

}  // namespace nark::narkctl
