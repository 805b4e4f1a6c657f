#include "securespace/release.h"

#include <algorithm>
#include <utility>

#include "common/base/status.h"
#include "common/crypto/aead.h"

namespace nark::securespace {
namespace {

constexpr v1::RefusalReason kNone = v1::REFUSAL_REASON_UNSPECIFIED;

bool AllStopped(const SessionState& state) {
  return std::all_of(state.grants.begin(), state.grants.end(),
                     [](const Grant& grant) { return grant.stopped; });
}

}  // namespace

ReleaseList::ReleaseList(Session* session, uint32_t sub_session, v1::ReleaseMode mode,
                         const Digest& secure_space_id, wire::ControlCipher& control_cipher)
    : session_(session),
      sub_session_(sub_session),
      mode_(mode),
      id_(secure_space_id),
      control_cipher_(control_cipher) {}

absl::StatusOr<v1::RefusalReason> ReleaseList::Decide(ByteView signed_header,
                                                      Candidate& candidate) {
  ASSIGN_OR_RETURN(v1::RefusalReason reason, RunSteps(signed_header, candidate));
  return reason == kNone ? kNone : Refuse(reason);
}

v1::RefusalReason ReleaseList::Refuse(v1::RefusalReason reason) {
  // A count alone is written with the next record: it is for people.
  if (session_ != nullptr) ++session_->state().refusals[reason];
  return reason;
}

absl::StatusOr<v1::RefusalReason> ReleaseList::RunSteps(ByteView signed_header,
                                                        Candidate& candidate) {
  v1::RefusalReason reason = CheckOpen();  // 1
  if (reason != kNone) return reason;
  reason = Authenticate(signed_header, candidate);  // 2
  if (reason != kNone) return reason;
  ASSIGN_OR_RETURN(reason, OpenLeaf(candidate));  // 3, first half
  if (reason != kNone) return reason;
  ASSIGN_OR_RETURN(reason, ObeyControl(candidate));  // 3, second half, and 4
  if (reason != kNone) return reason;
  reason = CheckPolicy(candidate);  // 5
  if (reason != kNone) return reason;
  reason = CheckHistory(candidate);  // 6 and 7
  return reason != kNone ? reason : CheckOutstanding(candidate);
}

void ReleaseList::TakeDigest(const DigestClaim& claim) {
  if (session_ == nullptr || session_->state().closed()) return;
  const StreamName name = {sub_session_, claim.sender_id};
  auto found = session_->state().streams.find(name);
  if (found == session_->state().streams.end()) return;
  StreamState& stream = found->second;
  if (!stream.outstanding || stream.outstanding->adu_id != claim.adu_id ||
      !ConstantTimeEqual(stream.outstanding->digest, claim.digest)) {
    return;
  }
  stream.outstanding.reset();
  stream.proved.Insert(claim.adu_id);
  record_.proved[name].Insert(claim.adu_id);
}

v1::RefusalReason ReleaseList::CheckOpen() const {
  if (session_ == nullptr) return v1::REFUSAL_REASON_NO_GRANT;
  const SessionState& state = session_->state();
  if (state.closed()) return v1::REFUSAL_REASON_CLOSED;
  if (AllStopped(state)) return v1::REFUSAL_REASON_STOPPED;
  if (state.suspended()) return v1::REFUSAL_REASON_CONTACT;
  if (session_->verified().terms().release_mode() != mode_) return v1::REFUSAL_REASON_MODE;
  return kNone;
}

bool ReleaseList::MatchesTerms(const wire::Header& header, const SubSession& sub_session) const {
  const v1::Terms& terms = session_->verified().terms();
  bool live = terms.timeliness() == v1::TIMELINESS_LIVE;
  return header.session_tag == sub_session.tag &&
         wire::CheckAgainstCipher(header, *session_->tools().suite).ok() &&
         header.control_block.size() == terms.control_block_bytes() + kAeadTagBytes &&
         (header.deadline_us != 0) == live;
}

v1::RefusalReason ReleaseList::Authenticate(ByteView signed_header, Candidate& candidate) {
  SubSession* sub_session = session_->FindSubSession(sub_session_);
  absl::StatusOr<wire::ParsedHeader> parsed = wire::ParseSignedHeader(signed_header);
  if (sub_session == nullptr || !parsed.ok() || !MatchesTerms(parsed->header, *sub_session)) {
    return v1::REFUSAL_REASON_MALFORMED;
  }
  const VerifiedSession::Sender* sender = session_->verified().FindSender(parsed->header.sender_id);
  if (sender == nullptr || !sub_session->verifier.Verify(*parsed, sender->key).ok()) {
    return v1::REFUSAL_REASON_SIGNATURE;
  }
  candidate.parsed = *std::move(parsed);
  candidate.sub_session = sub_session;
  candidate.stream = {sub_session_, candidate.parsed.header.sender_id};
  return kNone;
}

absl::StatusOr<v1::RefusalReason> ReleaseList::OpenLeaf(Candidate& candidate) {
  schedule::KeySource* keys = session_->FindKeySource(candidate.stream);
  if (keys == nullptr) return v1::REFUSAL_REASON_RANGE;
  SecretBytes leaf(32);
  absl::Status status = keys->Leaf(candidate.parsed.header.adu_id, leaf);
  if (absl::IsOutOfRange(status)) return v1::REFUSAL_REASON_RANGE;
  RETURN_IF_ERROR(status);
  ASSIGN_OR_RETURN(candidate.keys, schedule::AduKeys::Of(leaf));
  return kNone;
}

bool ReleaseList::IsTarget(const wire::ControlEntry& entry) const {
  const ByteView target = entry.target;
  if (Equal(target, id_)) return true;
  for (const Grant& grant : session_->state().grants) {
    if (grant.stopped) continue;
    // Who joined a group after it was stopped was not meant.
    if (entry.action == wire::kControlStop && grant.voucher_issue_time_us > entry.number) continue;
    for (const Bytes& group : grant.group_ids) {
      if (Equal(target, group)) return true;
    }
  }
  return false;
}

absl::StatusOr<v1::RefusalReason> ReleaseList::ObeyControl(Candidate& candidate) {
  const wire::Header& header = candidate.parsed.header;
  const SecretBytes key =
      candidate.keys->ControlKey(candidate.sub_session->context, candidate.parsed.core);
  absl::StatusOr<Bytes> plain = control_cipher_.Open(key, header.control_block);
  if (!plain.ok()) return v1::REFUSAL_REASON_CONTROL;
  absl::StatusOr<std::vector<wire::ControlEntry>> entries = wire::ParseControlBlock(*plain);
  if (!entries.ok()) return v1::REFUSAL_REASON_CONTROL;

  if (candidate.sub_session->demands_digest) {
    for (const wire::ControlEntry& entry : *entries) {
      if (entry.action != wire::kControlDigest || entry.number != header.adu_id) continue;
      candidate.digest.emplace();
      std::copy(entry.target.begin(), entry.target.end(), candidate.digest->begin());
    }
    if (!candidate.digest) return v1::REFUSAL_REASON_CONTROL;
  }

  SessionState& state = session_->state();
  StreamState& stream = state.Stream(candidate.stream);
  if (header.signed_time_us > stream.clock_us) {
    stream.clock_us = header.signed_time_us;
    record_.clocks.insert(candidate.stream);
  }
  if (!session_->verified().FindSender(header.sender_id)->may_control) return kNone;
  for (const wire::ControlEntry& entry : *entries) {
    if (entry.action != wire::kControlStop && entry.action != wire::kControlContact) continue;
    if (!IsTarget(entry)) continue;
    uint64_t& obeyed =
        entry.action == wire::kControlStop ? state.stop_issue_time_us : state.contact_obeyed;
    if (entry.number <= obeyed) continue;
    obeyed = entry.number;
    record_.touched = true;
  }
  if (StopGrants(state)) {
    RETURN_IF_ERROR(session_->OpenKeySources());
  }
  if (AllStopped(state)) return v1::REFUSAL_REASON_STOPPED;
  return state.suspended() ? v1::REFUSAL_REASON_CONTACT : kNone;
}

v1::RefusalReason ReleaseList::CheckPolicy(Candidate& candidate) {
  SessionState& state = session_->state();
  const wire::Header& header = candidate.parsed.header;
  Verdict verdict = Judge(state.grants, {candidate.stream, header.adu_id, header.signed_time_us},
                          state.LastAcceptedOf(header.sender_id));
  candidate.spends = verdict.spends;
  return verdict.refusal;
}

v1::RefusalReason ReleaseList::CheckHistory(const Candidate& candidate) {
  const wire::Header& header = candidate.parsed.header;
  StreamState& stream = session_->state().Stream(candidate.stream);
  if (stream.released->Contains(header.adu_id)) return v1::REFUSAL_REASON_RELEASED;
  // Once late, always late: the two sets stay disjoint whatever header comes next.
  if (stream.late.Contains(header.adu_id)) return v1::REFUSAL_REASON_LATE;
  if (header.deadline_us == 0 || header.deadline_us >= stream.clock_us) return kNone;
  stream.late.Insert(header.adu_id);
  record_.ids[candidate.stream].second.Insert(header.adu_id);
  return v1::REFUSAL_REASON_LATE;
}

v1::RefusalReason ReleaseList::CheckOutstanding(const Candidate& candidate) const {
  if (!candidate.digest) return kNone;
  return session_->state().Stream(candidate.stream).outstanding ? v1::REFUSAL_REASON_DIGEST : kNone;
}

absl::StatusOr<SecretBytes> ReleaseList::DataKey(const Candidate& candidate) const {
  return candidate.keys->DataKey(candidate.sub_session->context, candidate.parsed.core,
                                 candidate.parsed.header.control_block,
                                 session_->tools().suite->key_bytes());
}

void ReleaseList::MarkReleased(const Candidate& candidate) {
  SessionState& state = session_->state();
  const wire::Header& header = candidate.parsed.header;
  StreamState& stream = state.Stream(candidate.stream);
  stream.released->Insert(header.adu_id);
  if (candidate.digest) stream.outstanding = {header.adu_id, *candidate.digest};
  record_.ids[candidate.stream].first.Insert(header.adu_id);
  if (header.signed_time_us > stream.last_accepted_us) {
    stream.last_accepted_us = header.signed_time_us;
    record_.clocks.insert(candidate.stream);
  }
  if (candidate.spends != nullptr) {
    ++candidate.spends->spent[header.sender_id];
    record_.spent.emplace(candidate.spends - state.grants.data(), header.sender_id);
  }
}

}  // namespace nark::securespace
