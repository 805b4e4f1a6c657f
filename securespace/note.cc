#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/base/status.h"
#include "common/object/envelope.h"
#include "common/object/id_codec.h"
#include "securespace/core.h"

// Identity and delivery notes.
namespace nark::securespace {
namespace {

absl::Status AddReceipts(const SessionState& state, v1::DeliveryNote& note) {
  for (const auto& [name, stream] : state.streams) {
    v1::SenderReceipts& receipts = *note.add_receipts();
    receipts.set_sender_id(name.sender_id);
    receipts.set_sub_session(name.sub_session);
    ASSIGN_OR_RETURN(Bytes delivered, PackIds(stream.released));
    ASSIGN_OR_RETURN(Bytes late, PackIds(stream.late));
    receipts.set_delivered(ToText(delivered));
    receipts.set_late(ToText(late));
    receipts.set_highest_signed_time_us(stream.clock_us);
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
  for (const auto& [name, session] : sessions_) {
    for (const Grant& grant : session->state().grants) {
      v1::InstalledGrant& installed = *response.add_grants();
      *installed.mutable_session() = name.ToProto();
      installed.set_voucher_identity(ToText(grant.voucher_identity));
      installed.set_grant_id(ToText(grant.id));
      installed.set_state(StateOf(session->state(), grant));
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
  RETURN_IF_ERROR(AddReceipts(state, note));
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

absl::Status Emulation::Core::Close(Session& session) {
  ASSIGN_OR_RETURN(v1::DeliveryNote note, MakeNote(session, v1::NOTE_STATUS_FINAL));
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

absl::StatusOr<v1::GetDeliveryNoteResponse> Emulation::Core::GetDeliveryNote(
    const v1::GetDeliveryNoteRequest& request) {
  RETURN_IF_ERROR(CheckUsable());
  if (request.status() != v1::NOTE_STATUS_INTERIM && request.status() != v1::NOTE_STATUS_FINAL) {
    return absl::InvalidArgumentError("a delivery note is either INTERIM or FINAL");
  }
  ASSIGN_OR_RETURN(SessionName name, SessionName::FromProto(request.session()));
  Session* session = FindSession(name);
  if (session == nullptr) {
    return Refusal(absl::StatusCode::kNotFound, "NO_GRANT",
                   absl::StrCat("session ", name.ToString(),
                                " was never joined with this secure space; join it first"));
  }
  SessionState& state = session->state();
  v1::GetDeliveryNoteResponse response;
  for (const Certificate& certificate : chain_) {
    response.add_secure_space_certificates(ToText(certificate.der()));
  }
  if (request.status() == v1::NOTE_STATUS_INTERIM) {
    if (state.closed()) {
      return Refusal(absl::StatusCode::kFailedPrecondition, "SESSION_CLOSED",
                     absl::StrCat("session ", name.ToString(),
                                  " was closed by its final delivery note; ask for that one"));
    }
    ASSIGN_OR_RETURN(v1::DeliveryNote note, MakeNote(*session, request.status()));
    ASSIGN_OR_RETURN(*response.mutable_note(),
                     SignEnvelope(payload_type::kDeliveryNote, Serialise(note), keys_.note, {}));
    return response;
  }
  // No key leaves any more before the note says so; signing twice would still sign
  // the same payload, keeping the signature makes it the same bytes.
  if (!state.closed()) RETURN_IF_ERROR(Close(*session));
  if (state.final_note.payload().empty()) {
    ASSIGN_OR_RETURN(state.final_note, SignEnvelope(payload_type::kDeliveryNote,
                                                    state.final_payload, keys_.note, {}));
    RETURN_IF_ERROR(CommitWhole(*session));
  }
  *response.mutable_note() = state.final_note;
  return response;
}

}  // namespace nark::securespace
