#include "refunds/desk.h"

#include <algorithm>
#include <limits>
#include <optional>
#include <set>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/base/status.h"
#include "common/crypto/hash.h"
#include "common/object/envelope.h"
#include "refunds/owed.h"

namespace nark::refunds {
namespace {

constexpr size_t kMostSessions = 256;
// A cached descriptor is verified again, as all that is cached should be now and then.
constexpr std::chrono::hours kSessionLife{1};
constexpr int kListsRetrySeconds = 60;
// What the databases' integers hold.
constexpr uint64_t kMostMinor = std::numeric_limits<int64_t>::max();

absl::Status Malformed(std::string_view what) {
  return Refusal(absl::StatusCode::kInvalidArgument, "NOTE_MALFORMED", what);
}

v1::RefundReceipt ReceiptOf(const Refund& refund) {
  v1::RefundReceipt receipt;
  receipt.set_status(refund.reason.empty() ? v1::REFUND_STATUS_PAID : v1::REFUND_STATUS_REFUSED);
  receipt.set_note_identity(ToText(refund.note_identity));
  *receipt.mutable_session() = SessionName{refund.key.provider, refund.session_id}.ToProto();
  receipt.set_voucher_id(ToText(refund.key.voucher_id));
  receipt.set_adus_bought(refund.bought);
  receipt.set_adus_delivered(refund.delivered);
  receipt.set_adus_owed(refund.owed);
  if (!refund.currency.empty()) {
    receipt.mutable_amount()->set_amount_minor(refund.amount_minor);
    receipt.mutable_amount()->set_currency(refund.currency);
  }
  receipt.set_ledger_id(refund.ledger_id);
  receipt.set_reason(refund.reason);
  receipt.set_decision_time_us(ToMicros(refund.decided));
  return receipt;
}

absl::Status Busy() {
  absl::Status busy = Refusal(absl::StatusCode::kResourceExhausted, "DESK_BUSY",
                              "too many large notes are judged just now; repeat");
  SetRetryAfterSeconds(busy, 1);
  return busy;
}

// Known before anything is unpacked.
size_t MostRangesOf(const v1::NoteFile& file) {
  return std::min(kMaxNoteRanges, file.note().payload().size() * kMaxRangesAByte);
}

absl::Status Damaged() {
  return Refusal(absl::StatusCode::kInternal, "INTERNAL", "an entry of the ledger does not parse");
}

}  // namespace

std::string LedgerId(const RefundKey& key) {
  const Digest hash = LabelledHash("nark ledger id v1", {key.provider, key.voucher_id});
  return ToHex(ByteView(hash).first(16));
}

absl::StatusOr<std::unique_ptr<Desk>> Desk::Create(DeskKeys keys, Trust trust, Clock& clock,
                                                   Ledger& ledger) {
  RETURN_IF_ERROR(CheckRoot(keys.root, CertificateRole::kProviderRoot));
  RETURN_IF_ERROR(VerifyChain(keys.signing.Chain(), keys.root,
                              {.at = clock.Now(), .leaf_role = CertificateRole::kRefunds})
                      .status());
  return std::unique_ptr<Desk>(new Desk(std::move(keys), std::move(trust), clock, ledger));
}

absl::Status Desk::CheckLists() const {
  const absl::Status lists = trust_.CheckLists(clock_.Now());
  if (lists.ok()) return lists;
  absl::Status refusal =
      Refusal(absl::StatusCode::kUnavailable, "LISTS_EXPIRED", Std(lists.message()));
  SetRetryAfterSeconds(refusal, kListsRetrySeconds);
  return refusal;
}

void Desk::Submit(const v1::NoteFile& file, Answer answer) {
  const size_t ranges = MostRangesOf(file);
  Admission::Pass pass = (ranges <= kFewRanges ? deciding_small_ : deciding_).Enter(ranges);
  if (!pass) return answer(Busy());
  const Timestamp now = clock_.Now();
  absl::StatusOr<std::vector<Refund>> decided = Decide(file, now);
  pass.reset();
  if (!decided.ok()) return answer(decided.status());
  std::vector<Refund> wanted = *decided;
  ledger_.Enter(*std::move(decided),
                [this, now, wanted = std::move(wanted),
                 answer = std::move(answer)](absl::StatusOr<std::vector<Refund>> standing) {
                  if (!standing.ok()) return answer(standing.status());
                  answer(Respond(wanted, *standing, now));
                });
}

absl::StatusOr<v1::GetRefundResponse> Desk::Find(const v1::GetRefundRequest& request) {
  RefundKey key;
  if (request.provider().size() != key.provider.size() ||
      request.voucher_id().size() != key.voucher_id.size()) {
    return Refusal(absl::StatusCode::kInvalidArgument, "MALFORMED",
                   "a provider has 32 bytes, a voucher's id 16");
  }
  std::ranges::copy(AsBytes(request.provider()), key.provider.begin());
  std::ranges::copy(AsBytes(request.voucher_id()), key.voucher_id.begin());
  ASSIGN_OR_RETURN(const std::optional<Refund> found, ledger_.Find(key));
  if (!found) {
    return Refusal(absl::StatusCode::kNotFound, "REFUND_NOT_FOUND",
                   "no note for this voucher was submitted yet");
  }
  v1::GetRefundResponse response;
  if (!response.mutable_receipt()->ParseFromString(*found->receipt) ||
      !response.mutable_note()->ParseFromString(*found->note)) {
    return Damaged();
  }
  return response;
}

absl::StatusOr<std::vector<Refund>> Desk::Decide(const v1::NoteFile& file, Timestamp now) {
  if (!file.has_note() || !file.has_session_descriptor() ||
      file.secure_space_certificates().empty()) {
    return Malformed("a note file holds a note, a certificate and a session descriptor");
  }
  ASSIGN_OR_RETURN(const auto session, SessionOf(file.session_descriptor(), now));
  ASSIGN_OR_RETURN(const NoteSigner signer, SignerOf(file, now));
  ASSIGN_OR_RETURN(const VerifiedNote note, VerifyNote(file.note(), *session, signer, tills_, now));
  if (note.note.status() != v1::NOTE_STATUS_FINAL) {
    return Refusal(absl::StatusCode::kFailedPrecondition, "NOTE_NOT_FINAL",
                   "the note is INTERIM: keys may still be released; take a FINAL one");
  }
  std::vector<Refund> refunds;
  const auto bytes = std::make_shared<const std::string>(Serialise(KnownFields(file.note())));
  for (const NotedVoucher& voucher : note.vouchers) {
    ASSIGN_OR_RETURN(Refund refund, DecideOne(voucher, note, *session, now));
    refund.note = bytes;
    refunds.push_back(std::move(refund));
  }
  return refunds;
}

absl::StatusOr<std::shared_ptr<const VerifiedSession>> Desk::SessionOf(
    const v1::SignedEnvelope& descriptor, Timestamp now) {
  // By all of its bytes that have a meaning: one flipped bit is refused, whatever was
  // verified before, and what is only added makes no other session of it.
  const Digest name = Sha256(AsBytes(Serialise(KnownFields(descriptor))));
  {
    absl::MutexLock lock(&mutex_);
    const auto found = sessions_.find(name);
    if (found != sessions_.end() && now - found->second.verified < kSessionLife) {
      return found->second.session;
    }
  }
  const auto refused = [](const absl::Status& why) {
    return Refusal(absl::StatusCode::kUnauthenticated, "DESCRIPTOR", Std(why.message()));
  };
  absl::StatusOr<SessionName> claimed = VerifiedSession::ClaimedName(descriptor);
  if (!claimed.ok()) return refused(claimed.status());
  if (claimed->provider != provider()) {
    return Refusal(absl::StatusCode::kPermissionDenied, "OTHER_PROVIDER",
                   "the session is of another provider than this desk's");
  }
  absl::StatusOr<VerifiedSession> verified = VerifiedSession::VerifyIssued(descriptor, now);
  if (!verified.ok()) return refused(verified.status());
  if (verified->name().provider != provider()) {
    return Refusal(absl::StatusCode::kPermissionDenied, "OTHER_PROVIDER",
                   "the session is of another provider than this desk's");
  }
  auto session = std::make_shared<const VerifiedSession>(*std::move(verified));
  absl::MutexLock lock(&mutex_);
  if (sessions_.size() >= kMostSessions) sessions_.clear();
  sessions_.insert_or_assign(name, Known{session, now});
  return session;
}

size_t Desk::known_sessions() const {
  absl::MutexLock lock(&mutex_);
  return sessions_.size();
}

absl::StatusOr<NoteSigner> Desk::SignerOf(const v1::NoteFile& file, Timestamp now) const {
  if (absl::Status lists = trust_.CheckLists(now); !lists.ok()) return CheckLists();
  // Of any age: what was bought while the certificate was good stays owed.
  const auto leaf = trust_.VerifySecureSpace(file.secure_space_certificates(), std::nullopt);
  if (absl::IsPermissionDenied(leaf.status())) {
    return Refusal(absl::StatusCode::kPermissionDenied, "SECURE_SPACE_REVOKED",
                   "the secure space's issuer has revoked its certificate");
  }
  if (!leaf.ok()) {
    return Refusal(absl::StatusCode::kUnauthenticated, "SECURE_SPACE_UNTRUSTED",
                   "the secure space's certificate leads to no issuer that this desk trusts");
  }
  return NoteSigner::Of(*leaf);
}

absl::StatusOr<Refund> Desk::DecideOne(const NotedVoucher& voucher, const VerifiedNote& note,
                                       const VerifiedSession& session, Timestamp now) const {
  ASSIGN_OR_RETURN(const VoucherAccount account, AccountOf(voucher, note));
  const v1::Voucher& bought = voucher.bought.voucher;
  std::optional<uint64_t> price;
  if (bought.has_price()) price = bought.price().amount_minor();
  if (price.value_or(0) > kMostMinor) {
    return Malformed("a voucher's price is beyond what a ledger holds");
  }
  const Owed owed =
      ComputeOwed({account.bought, account.delivered, voucher.granted}, bought.policy(),
                  session.terms().refund(), note.note.assurance(), price);
  Refund refund;
  refund.key.provider = session.name().provider;
  std::ranges::copy(AsBytes(bought.voucher_id()), refund.key.voucher_id.begin());
  refund.note_identity = note.identity;
  refund.ledger_id = LedgerId(refund.key);
  refund.session_id = session.name().session_id;
  refund.bought = account.bought;
  refund.delivered = account.delivered;
  refund.owed = owed.adus;
  refund.amount_minor = owed.amount_minor;
  if (bought.has_price()) refund.currency = bought.price().currency();
  refund.reason = std::string(owed.reason);
  refund.payer_reference = bought.payer_reference();
  refund.decided = now;
  ASSIGN_OR_RETURN(const v1::SignedEnvelope receipt, Sign(ReceiptOf(refund)));
  refund.receipt = std::make_shared<const std::string>(Serialise(receipt));
  return refund;
}

absl::StatusOr<v1::SignedEnvelope> Desk::Sign(const v1::RefundReceipt& receipt) const {
  return SignEnvelope(payload_type::kRefundReceipt, Serialise(receipt), keys_.signing.key,
                      keys_.signing.Chain());
}

absl::StatusOr<v1::SubmitDeliveryNoteResponse> Desk::Respond(const std::vector<Refund>& wanted,
                                                             const std::vector<Refund>& standing,
                                                             Timestamp now) const {
  v1::SubmitDeliveryNoteResponse response;
  std::set<Digest> first_notes;
  for (size_t i = 0; i < wanted.size(); ++i) {
    const Refund& first = standing[i];
    if (first.note_identity == wanted[i].note_identity) {
      if (!response.add_receipts()->ParseFromString(*first.receipt)) return Damaged();
      continue;
    }
    v1::RefundReceipt conflict = ReceiptOf(wanted[i]);
    conflict.set_status(v1::REFUND_STATUS_CONFLICT);
    conflict.set_reason("CONFLICT");
    conflict.set_ledger_id(first.ledger_id);
    conflict.set_first_note_identity(ToText(first.note_identity));
    conflict.set_decision_time_us(ToMicros(now));
    if (conflict.has_amount()) conflict.mutable_amount()->set_amount_minor(0);
    ASSIGN_OR_RETURN(*response.add_receipts(), Sign(conflict));
    if (first_notes.insert(first.note_identity).second &&
        !response.add_first_notes()->ParseFromString(*first.note)) {
      return Damaged();
    }
  }
  return response;
}

}  // namespace nark::refunds
