#include <algorithm>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/base/status.h"
#include "common/object/envelope.h"
#include "common/object/id_codec.h"
#include "common/object/signer_cache.h"
#include "nark/v1/voucher.pb.h"
#include "securespace/core.h"

// Identity and delivery notes.
namespace nark::securespace {
namespace {

constexpr int kMaxUnserved = 16;

absl::Status AddReceipts(Session& session, v1::DeliveryNote& note) {
  const SessionState& state = session.state();
  size_t ranges = 0;
  for (const auto& [name, stream] : state.streams) {
    const IdSet released = stream.released->ToIdSet();
    ranges +=
        released.ranges().size() + stream.late.ranges().size() + stream.proved.ranges().size();
    // Whoever verifies the note counts alike: none is signed that they would refuse.
    if (ranges > kMaxNoteRanges) {
      return absl::ResourceExhaustedError(absl::StrCat("a delivery note would hold more than ",
                                                       kMaxNoteRanges,
                                                       " ranges of released and late ADUs"));
    }
    v1::SenderReceipts& receipts = *note.add_receipts();
    receipts.set_sender_id(name.sender_id);
    receipts.set_sub_session(name.sub_session);
    ASSIGN_OR_RETURN(Bytes delivered, PackIds(released));
    ASSIGN_OR_RETURN(Bytes late, PackIds(stream.late));
    receipts.set_delivered(ToText(delivered));
    receipts.set_late(ToText(late));
    receipts.set_highest_signed_time_us(stream.clock_us);
    const SubSession* sub_session = session.FindSubSession(name.sub_session);
    if (sub_session == nullptr || !sub_session->demands_digest) continue;
    ASSIGN_OR_RETURN(Bytes proved, PackIds(stream.proved));
    receipts.set_proved(ToText(proved));
  }
  return absl::OkStatus();
}

void AddVoucher(const Grant& grant, v1::DeliveryNote& note) {
  v1::NoteVoucher& voucher = *note.add_vouchers();
  *voucher.mutable_voucher() = grant.voucher;
  voucher.set_granted(true);
  for (const auto& [sender, count] : grant.spent) {
    v1::CountSpent& spent = *voucher.add_spent();
    spent.set_sender_id(sender);
    spent.set_spent(count);
  }
}

v1::GrantState StateOf(const SessionState& state, const Grant& grant) {
  if (state.closed()) return v1::GRANT_STATE_CLOSED;
  if (grant.stopped) return v1::GRANT_STATE_STOPPED;
  return state.suspended() ? v1::GRANT_STATE_SUSPENDED : v1::GRANT_STATE_ACTIVE;
}

}  // namespace

v1::GetIdentityResponse Emulation::Core::GetIdentity() const {
  v1::GetIdentityResponse response;
  response.set_secure_space_id(ToText(id_));
  for (const Certificate& certificate : chain_) {
    response.add_certificates(ToText(certificate.der()));
  }
  response.set_assurance(assurance_);
  if (freshness_.counts()) response.set_tpm_counter(freshness_.value());
  for (const auto& [name, session] : sessions_) {
    for (const Grant& grant : session->state().grants) {
      v1::InstalledGrant& installed = *response.add_grants();
      *installed.mutable_session() = name.ToProto();
      installed.set_voucher_identity(ToText(grant.voucher_identity));
      installed.set_grant_id(ToText(grant.id));
      installed.set_state(StateOf(session->state(), grant));
      const bool plays = installed.state() == v1::GRANT_STATE_ACTIVE ||
                         installed.state() == v1::GRANT_STATE_SUSPENDED;
      if (plays && !Permits(session->tools())) installed.set_state(v1::GRANT_STATE_INSECURE);
    }
  }
  return response;
}

absl::StatusOr<v1::DeliveryNote> Emulation::Core::MakeNote(Session& session,
                                                           v1::NoteStatus status) {
  const SessionState& state = session.state();
  v1::DeliveryNote note;
  *note.mutable_session() = session.verified().name().ToProto();
  note.set_terms_identity(ToText(session.verified().terms_identity()));
  note.set_secure_space_id(ToText(id_));
  note.set_assurance(assurance_);
  for (const Grant& grant : state.grants) AddVoucher(grant, note);
  RETURN_IF_ERROR(AddReceipts(session, note));
  for (size_t reason = 0; reason < state.refusals.size(); ++reason) {
    if (state.refusals[reason] == 0) continue;
    v1::RefusalCount& refusal = *note.add_refusals();
    refusal.set_reason(static_cast<v1::RefusalReason>(reason));
    refusal.set_count(state.refusals[reason]);
  }
  note.set_stop_issue_time_us(state.stop_issue_time_us);
  note.set_counter(counters_[session.verified().name().provider]);
  note.set_status(status);
  return note;
}

absl::Status Emulation::Core::Close(Session& session,
                                    const std::vector<v1::SignedEnvelope>& unserved) {
  absl::StatusOr<v1::DeliveryNote> made = MakeNote(session, v1::NOTE_STATUS_FINAL);
  if (!made.ok()) return Annotate(made.status(), "the session stays open");
  v1::DeliveryNote note = *std::move(made);
  for (const v1::SignedEnvelope& voucher : unserved) {
    *note.add_vouchers()->mutable_voucher() = voucher;
  }
  note.set_counter(note.counter() + 1);  // closing is a change itself
  std::string payload = Serialise(note);
  // Before anything is closed: a note that cannot be signed would lose the refund.
  if (payload.size() > kMaxPayloadBytes) {
    return absl::ResourceExhaustedError(
        absl::StrCat("the final delivery note would take ", payload.size(), " bytes, and at most ",
                     kMaxPayloadBytes, " can be signed; the session stays open"));
  }
  session.state().final_payload = std::move(payload);
  return CommitWhole(session);
}

absl::Status Emulation::Core::CloseUnjoined(UnservedVouchers unserved) {
  SessionState state;
  state.descriptor = unserved.session.envelope();
  state.verified_at_us = unserved.verified_at_us;
  const SessionName name = unserved.session.name();
  ASSIGN_OR_RETURN(std::unique_ptr<Session> tombstone,
                   Session::Create(std::move(unserved.session), std::move(state), JournalOf(name)));
  RETURN_IF_ERROR(Close(*tombstone, unserved.vouchers));
  // The file first, as for a session that is joined; nothing is signed before both.
  sessions_[name] = std::move(tombstone);
  return CommitSessions();
}

absl::StatusOr<UnservedVouchers> Emulation::Core::VerifyUnserved(
    const SessionName& name, const v1::GetDeliveryNoteRequest& request) {
  const Timestamp now = surroundings_.clock.Now();
  ASSIGN_OR_RETURN(VerifiedSession verified,
                   VerifiedSession::VerifyIssued(request.session_descriptor(), now));
  Session* known = FindSession(name);
  if (verified.name() != name ||
      (known != nullptr && known->verified().terms_identity() != verified.terms_identity())) {
    return absl::InvalidArgumentError(absl::StrCat(
        "the session descriptor beside the vouchers is not that of session ", name.ToString()));
  }
  std::map<std::string, Digest> identities;  // by voucher id
  if (known != nullptr) {
    for (const Grant& grant : known->state().grants) {
      ASSIGN_OR_RETURN(v1::Voucher voucher, PayloadOf<v1::Voucher>(grant.voucher, "a voucher"));
      identities.emplace(voucher.voucher_id(), grant.voucher_identity);
    }
  }
  // The state is verified at that time again whenever it is opened.
  const uint64_t verified_at_us = std::min(ToMicros(now), verified.descriptor().issue_time_us());
  UnservedVouchers unserved{std::move(verified), verified_at_us, {}};
  SignerCache tills;
  for (const v1::SignedEnvelope& envelope : request.vouchers()) {
    ASSIGN_OR_RETURN(VerifiedVoucher voucher,
                     VerifySoldVoucher(envelope, unserved.session, now, tills));
    if (!Equal(AsBytes(voucher.voucher.secure_space_id()), id_)) {
      return absl::InvalidArgumentError(
          "a voucher is made out to another secure space; name it in a note of that one");
    }
    auto [named, is_new] = identities.emplace(voucher.voucher.voucher_id(), voucher.identity);
    if (is_new) {
      unserved.vouchers.push_back(KnownFields(envelope));
    } else if (named->second != voucher.identity) {
      // No refund desk would take a note that names one id twice.
      return absl::InvalidArgumentError("two different vouchers carry the same voucher id");
    }
  }
  return unserved;
}

absl::StatusOr<v1::SignedEnvelope> Emulation::Core::InterimNote(Session& session) {
  if (session.state().closed()) {
    return Refusal(absl::StatusCode::kFailedPrecondition, "SESSION_CLOSED",
                   absl::StrCat("session ", session.verified().name().ToString(),
                                " was closed by its final delivery note; ask for that one"));
  }
  ASSIGN_OR_RETURN(v1::DeliveryNote note, MakeNote(session, v1::NOTE_STATUS_INTERIM));
  return SignEnvelope(payload_type::kDeliveryNote, Serialise(note), keys_.note, {});
}

absl::StatusOr<v1::SignedEnvelope> Emulation::Core::FinalNote(
    const SessionName& name, const v1::GetDeliveryNoteRequest& request) {
  Session* session = FindSession(name);
  // No key leaves any more before the note says so; signing twice would still sign
  // the same payload, keeping the signature makes it the same bytes.
  if (session == nullptr || !session->state().closed()) {
    std::vector<v1::SignedEnvelope> vouchers;
    if (!request.vouchers().empty()) {
      ASSIGN_OR_RETURN(UnservedVouchers unserved, VerifyUnserved(name, request));
      if (session == nullptr) {
        RETURN_IF_ERROR(CloseUnjoined(std::move(unserved)));
        session = FindSession(name);
      } else {
        vouchers = std::move(unserved.vouchers);
      }
    }
    if (!session->state().closed()) RETURN_IF_ERROR(Close(*session, vouchers));
  }
  SessionState& state = session->state();
  if (state.final_note.payload().empty()) {
    ASSIGN_OR_RETURN(state.final_note, SignEnvelope(payload_type::kDeliveryNote,
                                                    state.final_payload, keys_.note, {}));
    RETURN_IF_ERROR(CommitWhole(*session));
  }
  return state.final_note;
}

absl::StatusOr<v1::GetDeliveryNoteResponse> Emulation::Core::GetDeliveryNote(
    const v1::GetDeliveryNoteRequest& request) {
  RETURN_IF_ERROR(CheckUsable());
  const bool final = request.status() == v1::NOTE_STATUS_FINAL;
  if (!final && request.status() != v1::NOTE_STATUS_INTERIM) {
    return absl::InvalidArgumentError("a delivery note is either INTERIM or FINAL");
  }
  if (!final && !request.vouchers().empty()) {
    return absl::InvalidArgumentError(
        "only a FINAL delivery note names vouchers that were never granted");
  }
  if (request.vouchers_size() > kMaxUnserved) {
    return absl::InvalidArgumentError(
        absl::StrCat("a delivery note names at most ", kMaxUnserved, " vouchers never granted"));
  }
  ASSIGN_OR_RETURN(SessionName name, SessionName::FromProto(request.session()));
  Session* session = FindSession(name);
  if (session == nullptr && request.vouchers().empty()) {
    return Refusal(absl::StatusCode::kNotFound, "NO_GRANT",
                   absl::StrCat("session ", name.ToString(),
                                " was never joined with this secure space; join it first"));
  }
  // Its class is not known before, and the note would be frozen without it.
  if (session == nullptr && chain_.empty()) return NoCertificate();
  v1::GetDeliveryNoteResponse response;
  for (const Certificate& certificate : chain_) {
    response.add_secure_space_certificates(ToText(certificate.der()));
  }
  ASSIGN_OR_RETURN(*response.mutable_note(),
                   final ? FinalNote(name, request) : InterimNote(*session));
  return response;
}

}  // namespace nark::securespace
