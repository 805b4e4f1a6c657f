#include "common/object/delivery_note.h"

#include <algorithm>
#include <set>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/base/status.h"
#include "common/object/envelope.h"
#include "common/object/id_codec.h"

namespace nark {
namespace {

absl::Status Malformed(std::string_view what) {
  return Refusal(absl::StatusCode::kInvalidArgument, "NOTE_MALFORMED", what);
}

absl::Status Exceeds(std::string_view what) {
  return Refusal(absl::StatusCode::kOutOfRange, "NOTE_EXCEEDS_PURCHASE", what);
}

absl::Status CheckBelongs(const v1::DeliveryNote& note, const VerifiedSession& session,
                          const NoteSigner& signer) {
  absl::StatusOr<SessionName> name = SessionName::FromProto(note.session());
  if (!name.ok()) return Malformed("the note names no session");
  if (*name != session.name() || !Equal(AsBytes(note.terms_identity()), session.terms_identity())) {
    return Refusal(absl::StatusCode::kInvalidArgument, "NOTE_OTHER_SESSION",
                   "the note is of another session than the descriptor beside it");
  }
  if (!Equal(AsBytes(note.secure_space_id()), signer.secure_space_id) ||
      note.assurance() != signer.assurance) {
    return Refusal(absl::StatusCode::kInvalidArgument, "NOTE_OTHER_SECURE_SPACE",
                   "the note is of another secure space than the certificate beside it");
  }
  return absl::OkStatus();
}

absl::Status CheckShape(const v1::DeliveryNote& note) {
  if (!v1::NoteStatus_IsValid(note.status()) || note.status() == v1::NOTE_STATUS_UNSPECIFIED) {
    return Malformed("the note is neither INTERIM nor FINAL");
  }
  for (const v1::RefusalCount& refusal : note.refusals()) {
    if (!v1::RefusalReason_IsValid(refusal.reason()) ||
        refusal.reason() == v1::REFUSAL_REASON_UNSPECIFIED) {
      return Malformed("the note counts refusals without a reason");
    }
  }
  if (note.vouchers().empty()) return Malformed("the note names no voucher");
  return absl::OkStatus();
}

// Takes its ranges from what is `left` to the note.
absl::StatusOr<IdSet> Unpack(const std::string& packed, size_t& left) {
  absl::StatusOr<IdSet> ids = UnpackIds(AsBytes(packed), left);
  if (absl::IsResourceExhausted(ids.status())) {
    return Malformed(absl::StrCat("the note's receipts have more than ", kMaxNoteRanges,
                                  " ranges, which no secure space signs"));
  }
  if (!ids.ok()) return Malformed("the note's receipts are not packed as they must be");
  left -= ids->ranges().size();
  return ids;
}

absl::StatusOr<NotedStream> TakeStream(const v1::SenderReceipts& receipts, const v1::Terms& terms,
                                       size_t& ranges_left) {
  NotedStream stream{.sub_session = receipts.sub_session(),
                     .sender_id = receipts.sender_id(),
                     .delivered = {},
                     .counts = {},
                     .late = {},
                     .proved = {},
                     .highest_signed_time_us = receipts.highest_signed_time_us()};
  ASSIGN_OR_RETURN(stream.delivered, Unpack(receipts.delivered(), ranges_left));
  ASSIGN_OR_RETURN(stream.late, Unpack(receipts.late(), ranges_left));
  stream.counts = IdCounts(stream.delivered);
  if (stream.counts.CountIn(stream.late) != 0) {
    return Malformed("the note calls an ADU delivered and late");
  }
  if (DemandsDigest(terms, stream.sub_session) == receipts.proved().empty()) {
    return Malformed("the note proves digests where the terms demand none, or the reverse");
  }
  if (!receipts.proved().empty()) {
    ASSIGN_OR_RETURN(stream.proved, Unpack(receipts.proved(), ranges_left));
    if (stream.counts.CountIn(stream.proved) != stream.proved.size()) {
      return Malformed("the note proves the digest of an ADU that it does not call delivered");
    }
  }
  return stream;
}

absl::StatusOr<NotedVoucher> TakeVoucher(const v1::NoteVoucher& from,
                                         const VerifiedSession& session, const NoteSigner& signer,
                                         SignerCache& tills, Timestamp now) {
  NotedVoucher voucher;
  absl::StatusOr<VerifiedVoucher> bought = VerifySoldVoucher(from.voucher(), session, now, tills);
  if (!bought.ok()) {
    return Refusal(absl::StatusCode::kUnauthenticated, "NOTE_VOUCHER",
                   Std(bought.status().message()));
  }
  voucher.bought = *std::move(bought);
  if (!Equal(AsBytes(voucher.bought.voucher.secure_space_id()), signer.secure_space_id)) {
    return Refusal(absl::StatusCode::kPermissionDenied, "NOTE_VOUCHER",
                   "a voucher of the note is made out to another secure space");
  }
  voucher.granted = from.granted();
  const v1::Policy& policy = voucher.bought.voucher.policy();
  voucher.streams = StreamsOf(policy, session.terms());
  for (const v1::CountSpent& spent : from.spent()) {
    if (spent.spent() == 0 || !voucher.granted || policy.count() == 0) {
      return Malformed("the note spends a count where there is none");
    }
    if (spent.spent() > policy.count()) return Exceeds("the note spends more than a count bought");
    if (!voucher.spent.emplace(spent.sender_id(), spent.spent()).second) {
      return Malformed("the note names a sender's count twice");
    }
  }
  return voucher;
}

absl::Status TakeParts(const VerifiedSession& session, const NoteSigner& signer, SignerCache& tills,
                       Timestamp now, VerifiedNote& verified) {
  std::set<std::string> ids;
  std::set<std::pair<uint32_t, uint32_t>> bought;
  for (const v1::NoteVoucher& from : verified.note.vouchers()) {
    ASSIGN_OR_RETURN(NotedVoucher voucher, TakeVoucher(from, session, signer, tills, now));
    if (!ids.insert(voucher.bought.voucher.voucher_id()).second) {
      return Malformed("the note names a voucher twice");
    }
    if (voucher.granted) {
      bought.insert(voucher.streams.begin(), voucher.streams.end());
    }
    verified.vouchers.push_back(std::move(voucher));
  }
  // Sets grow when they are unpacked: only those of streams that were paid for are.
  size_t ranges_left = kMaxNoteRanges;
  std::set<std::pair<uint32_t, uint32_t>> streams;
  for (const v1::SenderReceipts& receipts : verified.note.receipts()) {
    if (!streams.emplace(receipts.sub_session(), receipts.sender_id()).second) {
      return Malformed(absl::StrCat("the note names sender ", receipts.sender_id(), " twice"));
    }
    if (!bought.contains({receipts.sub_session(), receipts.sender_id()})) {
      return Exceeds("the note holds a stream that no voucher of it bought");
    }
    ASSIGN_OR_RETURN(NotedStream stream, TakeStream(receipts, session.terms(), ranges_left));
    verified.streams.push_back(std::move(stream));
  }
  return absl::OkStatus();
}

bool Buys(const NotedVoucher& voucher, const NotedStream& stream) {
  return std::binary_search(voucher.streams.begin(), voucher.streams.end(),
                            std::pair(stream.sub_session, stream.sender_id));
}

// How many of the stream's released ids lie outside `bought`.
uint64_t Outside(const NotedStream& stream, const IdSet& bought) {
  return stream.counts.size() - stream.counts.CountIn(bought);
}

// Each ADU spends one count at most, of a voucher that covers it.
absl::Status CheckSpent(const VerifiedNote& note) {
  std::map<uint32_t, uint64_t> spent;  // by sender
  std::map<std::pair<uint32_t, uint32_t>, IdSet> covered;
  for (const NotedVoucher& voucher : note.vouchers) {
    if (voucher.spent.empty()) continue;
    const v1::Policy& policy = voucher.bought.voucher.policy();
    std::map<uint32_t, uint64_t> released;  // of what this voucher covers
    for (const NotedStream& stream : note.streams) {
      if (!Buys(voucher, stream)) continue;
      released[stream.sender_id] +=
          stream.counts.CountIn(policy.range().first(), policy.range().last());
      covered[{stream.sub_session, stream.sender_id}].Insert(policy.range().first(),
                                                             policy.range().last());
    }
    for (const auto& [sender, count] : voucher.spent) {
      spent[sender] += count;
      if (count > released[sender]) {
        return Malformed("the note spends a count on ADUs that it does not hold");
      }
    }
  }
  for (const NotedStream& stream : note.streams) {
    const auto ids = covered.find({stream.sub_session, stream.sender_id});
    if (ids == covered.end()) continue;
    uint64_t& left = spent[stream.sender_id];
    left -= std::min(left, stream.counts.CountIn(ids->second));
  }
  for (const auto& [sender, left] : spent) {
    if (left != 0) return Malformed("the note spends two counts on one ADU");
  }
  return absl::OkStatus();
}

// Nothing beyond what was bought: no id outside every policy, and no more ids
// outside the ranges than counts were spent on.
absl::Status CheckPurchase(const VerifiedNote& note) {
  std::map<uint32_t, uint64_t> counted;  // by sender
  for (const NotedStream& stream : note.streams) {
    IdSet any, free;
    for (const NotedVoucher& voucher : note.vouchers) {
      const v1::Policy& policy = voucher.bought.voucher.policy();
      if (!voucher.granted || !Buys(voucher, stream)) continue;
      any.Insert(policy.range().first(), policy.range().last());
      if (policy.count() == 0) free.Insert(policy.range().first(), policy.range().last());
    }
    if (Outside(stream, any) != 0) {
      return Exceeds("the note holds deliveries that no voucher of it bought");
    }
    counted[stream.sender_id] += Outside(stream, free);
  }
  for (const NotedVoucher& voucher : note.vouchers) {
    for (const auto& [sender, spent] : voucher.spent) {
      uint64_t& left = counted[sender];
      left -= std::min(left, spent);
    }
  }
  for (const auto& [sender, left] : counted) {
    if (left != 0) return Exceeds("the note holds more deliveries than its counts paid for");
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<NoteSigner> NoteSigner::Of(const Certificate& leaf) {
  const auto& scope = leaf.secure_space_scope();
  absl::StatusOr<PublicKey> key = absl::InvalidArgumentError("none");
  if (leaf.role() == CertificateRole::kSecureSpace && scope.has_value()) {
    key = PublicKey::FromSpki(scope->note_spki);
  }
  if (!key.ok()) {
    return Refusal(absl::StatusCode::kUnauthenticated, "NOTE_CERTIFICATE",
                   "the note's certificate is not of a secure space");
  }
  return NoteSigner{.secure_space_id = SecureSpaceId(leaf.public_key().spki(), scope->note_spki),
                    .note_key = *std::move(key),
                    .assurance = static_cast<v1::AssuranceClass>(scope->assurance)};
}

absl::StatusOr<NoteSigner> NoteSigner::Of(const SecureSpaceLeaf& leaf) {
  absl::StatusOr<PublicKey> key = PublicKey::FromSpki(leaf.note_spki);
  if (!key.ok()) {
    return Refusal(absl::StatusCode::kUnauthenticated, "NOTE_CERTIFICATE",
                   "the note's certificate is not of a secure space");
  }
  return NoteSigner{.secure_space_id = SecureSpaceId(leaf.attestation_key.spki(), leaf.note_spki),
                    .note_key = *std::move(key),
                    .assurance = static_cast<v1::AssuranceClass>(leaf.assurance)};
}

absl::StatusOr<VerifiedNote> VerifyNote(const v1::SignedEnvelope& note,
                                        const VerifiedSession& session, const NoteSigner& signer,
                                        SignerCache& tills, Timestamp now) {
  absl::Status signed_by = VerifyEnvelope(note, payload_type::kDeliveryNote, signer.note_key);
  if (!signed_by.ok()) {
    return Refusal(absl::StatusCode::kUnauthenticated, "NOTE_SIGNATURE",
                   absl::StrCat("the delivery note: ", signed_by.message()));
  }
  absl::StatusOr<v1::DeliveryNote> payload = PayloadOf<v1::DeliveryNote>(note, "the delivery note");
  if (!payload.ok()) return Malformed(Std(payload.status().message()));
  VerifiedNote verified{
      .note = *std::move(payload), .identity = ObjectIdentity(note), .streams = {}, .vouchers = {}};
  RETURN_IF_ERROR(CheckBelongs(verified.note, session, signer));
  RETURN_IF_ERROR(CheckShape(verified.note));
  RETURN_IF_ERROR(TakeParts(session, signer, tills, now, verified));
  RETURN_IF_ERROR(CheckPurchase(verified));
  RETURN_IF_ERROR(CheckSpent(verified));
  return verified;
}

absl::StatusOr<VoucherAccount> AccountOf(const NotedVoucher& voucher, const VerifiedNote& note) {
  const v1::Policy& policy = voucher.bought.voucher.policy();
  const v1::AduRange& range = policy.range();
  VoucherAccount account;
  absl::StatusOr<uint64_t> bought = AdusBought(policy, voucher.streams);
  if (!bought.ok()) return Exceeds(Std(bought.status().message()));
  account.bought = *bought;
  if (!voucher.granted) return account;
  if (policy.count() != 0) {
    for (const auto& [sender, spent] : voucher.spent) account.delivered += spent;
  } else {
    for (const NotedStream& stream : note.streams) {
      if (!Buys(voucher, stream)) continue;
      account.delivered += stream.counts.CountIn(range.first(), range.last());
    }
  }
  if (account.delivered > account.bought) {
    return Exceeds("the note holds more deliveries than a voucher of it bought");
  }
  return account;
}

}  // namespace nark
