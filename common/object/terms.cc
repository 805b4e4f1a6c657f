// CheckTerms and CheckPolicy of session.h.

#include <algorithm>
#include <map>
#include <set>
#include <string>

#include "absl/strings/str_cat.h"
#include "common/audit/code_length.h"
#include "common/base/status.h"
#include "common/crypto/chameleon.h"
#include "common/object/session.h"
#include "common/object/shapes.h"

namespace nark {
namespace {

constexpr uint32_t kMaxAduBytes = 16 << 20;
constexpr std::string_view kAuditCipher = "chameleon";
constexpr uint64_t kLeastOneIn = 100;
constexpr uint64_t kMostOneIn = 1'000'000'000'000;

absl::Status Bad(const std::string& message) { return absl::InvalidArgumentError(message); }

absl::Status CheckGenerator(const v1::Terms& terms) {
  if (!terms.has_generator()) return Bad("the terms name no generator");
  RETURN_IF_ERROR(shapes::CheckName(terms.generator().id(), "the terms' generator"));
  uint32_t depth = terms.generator().depth();
  if (depth < 1 || depth > 63) {
    return Bad(absl::StrCat("the terms' generator depth is ", depth, ", not 1 to 63"));
  }
  return absl::OkStatus();
}

absl::Status CheckEnums(const v1::Terms& terms) {
  if (!v1::ReceiptType_IsValid(terms.receipt_type()) ||
      terms.receipt_type() == v1::RECEIPT_TYPE_UNSPECIFIED) {
    return Bad("the terms' receipt type is unset or unknown");
  }
  if (!v1::ReleaseMode_IsValid(terms.release_mode()) ||
      terms.release_mode() == v1::RELEASE_MODE_UNSPECIFIED) {
    return Bad("the terms' release mode is unset or unknown");
  }
  if (!v1::Timeliness_IsValid(terms.timeliness()) ||
      terms.timeliness() == v1::TIMELINESS_UNSPECIFIED) {
    return Bad("the terms' timeliness is unset or unknown");
  }
  if ((terms.timeliness() == v1::TIMELINESS_LIVE) != (terms.deadline_ms() != 0)) {
    return Bad("the terms' deadline must be set for live sessions, and only for them");
  }
  return absl::OkStatus();
}

absl::Status CheckTiming(const v1::AduTiming& timing) {
  switch (timing.cut_case()) {
    case v1::AduTiming::kGop:
      return timing.gop() ? absl::OkStatus() : Bad("the terms' ADU timing is not set");
    case v1::AduTiming::kDurationMs:
      return timing.duration_ms() >= 1 ? absl::OkStatus() : Bad("the terms' ADU duration is zero");
    case v1::AduTiming::kBytes:
      return timing.bytes() >= 1 && timing.bytes() <= kMaxAduBytes
                 ? absl::OkStatus()
                 : Bad("the terms' ADU size is not 1 byte to 16 MiB");
    case v1::AduTiming::CUT_NOT_SET:
      break;
  }
  return Bad("the terms' ADU timing is not set");
}

absl::Status CheckRefund(const v1::Terms& terms) {
  if (terms.has_price_per_adu()) {
    RETURN_IF_ERROR(shapes::CheckMoney(terms.price_per_adu(), "the terms' price"));
  }
  if (!terms.has_refund()) return Bad("the terms state no refund rules");
  const v1::RefundRules& rules = terms.refund();
  if (rules.tolerance_per_mille() > 1000) {
    return Bad("the terms' refund tolerance is more than 1000 per mille");
  }
  if (rules.cap_percent() > 100 || rules.emulated_cap_percent() > 100) {
    return Bad("the terms' refund cap is more than 100 percent");
  }
  return absl::OkStatus();
}

absl::Status CheckSubSessions(const v1::Terms& terms) {
  std::set<uint32_t> ids = {0};
  for (const v1::SubSession& sub : terms.sub_sessions()) {
    if (!ids.insert(sub.id()).second) {
      return Bad(absl::StrCat("the terms name sub-session ", sub.id(), " twice"));
    }
    RETURN_IF_ERROR(shapes::CheckTitle(sub.title(), "a sub-session's title"));
  }
  return absl::OkStatus();
}

absl::Status CheckSenders(const v1::Terms& terms) {
  std::set<uint32_t> ids;
  for (const v1::PermittedSender& sender : terms.senders()) {
    if (sender.sender_id() == 0) return Bad("the terms permit a sender with id 0");
    if (!ids.insert(sender.sender_id()).second) {
      return Bad(absl::StrCat("the terms permit sender ", sender.sender_id(), " twice"));
    }
  }
  return ids.empty() ? Bad("the terms permit no sender") : absl::OkStatus();
}

absl::Status CheckAuditTrail(const v1::Terms& terms) {
  if (terms.has_audit() != (terms.cipher() == kAuditCipher)) {
    return Bad(terms.has_audit() ? "the terms have an audit trail, and a cipher that marks nothing"
                                 : "the terms' cipher is chameleon, and they have no audit trail");
  }
  if (!terms.has_audit()) return absl::OkStatus();
  const v1::AuditTrail& audit = terms.audit();
  RETURN_IF_ERROR(shapes::CheckSize(audit.block_id(), 32, "the audit trail's block id"));
  if (audit.block_words_log2() < ChameleonBlock::kMinWordsLog2 ||
      audit.block_words_log2() > ChameleonBlock::kMaxWordsLog2) {
    return Bad(absl::StrCat("the audit trail's blocks have 2^", audit.block_words_log2(),
                            " words, not 2^10 to 2^16"));
  }
  const uint32_t most = audit::ColludersFor(uint64_t{1} << audit.block_words_log2());
  if (audit.colluders() < 1 || audit.colluders() > most) {
    return Bad(absl::StrCat("the audit trail is to find ", audit.colluders(),
                            " colluders, and blocks of that size suffice for 1 to ", most));
  }
  if (audit.false_accusation_one_in() < kLeastOneIn ||
      audit.false_accusation_one_in() > kMostOneIn) {
    return Bad("the audit trail's false accusations are not one in 100 to one in 10^12");
  }
  for (const v1::SubSession& sub : terms.sub_sessions()) {
    // Every receiver decrypts something else.
    if (sub.demands_digest()) {
      return Bad("the terms have an audit trail, which goes with no demand for digests");
    }
  }
  return absl::OkStatus();
}

absl::Status CheckPolicySenders(const v1::Policy& policy, const v1::Terms& terms) {
  std::set<uint32_t> permitted;
  for (const v1::PermittedSender& sender : terms.senders()) permitted.insert(sender.sender_id());
  std::set<uint32_t> seen;
  for (uint32_t id : policy.sender_ids()) {
    if (!permitted.contains(id) && (!terms.open_to_senders() || id == 0)) {
      return Bad(absl::StrCat("the policy names sender ", id, ", whom the terms do not permit"));
    }
    if (!seen.insert(id).second) {
      return Bad(absl::StrCat("the policy names sender ", id, " twice"));
    }
  }
  return absl::OkStatus();
}

absl::Status CheckPolicySubSessions(const v1::Policy& policy, const v1::Terms& terms) {
  std::set<uint32_t> known = {0};
  for (const v1::SubSession& sub : terms.sub_sessions()) known.insert(sub.id());
  std::set<uint32_t> seen;
  for (uint32_t id : policy.sub_sessions()) {
    if (!known.contains(id)) {
      return Bad(absl::StrCat("the policy names sub-session ", id, ", which the terms do not"));
    }
    if (!seen.insert(id).second) {
      return Bad(absl::StrCat("the policy names sub-session ", id, " twice"));
    }
  }
  return absl::OkStatus();
}

}  // namespace

absl::Status CheckTerms(const v1::Terms& terms) {
  RETURN_IF_ERROR(SessionName::FromProto(terms.session()).status());
  RETURN_IF_ERROR(shapes::CheckTitle(terms.title(), "the terms' title"));
  RETURN_IF_ERROR(shapes::CheckName(terms.cipher(), "the terms' cipher"));
  RETURN_IF_ERROR(CheckGenerator(terms));
  RETURN_IF_ERROR(CheckEnums(terms));
  RETURN_IF_ERROR(CheckTiming(terms.adu_timing()));
  RETURN_IF_ERROR(CheckRefund(terms));
  RETURN_IF_ERROR(CheckSubSessions(terms));
  RETURN_IF_ERROR(CheckSenders(terms));
  RETURN_IF_ERROR(CheckAuditTrail(terms));
  // A digest and an order, each whole.
  constexpr uint32_t kTwoEntries = 84;
  for (const v1::SubSession& sub : terms.sub_sessions()) {
    if (sub.demands_digest() && terms.control_block_bytes() < kTwoEntries) {
      return Bad(absl::StrCat("the terms demand digests in sub-session ", sub.id(),
                              ", which takes control blocks of at least ", kTwoEntries, " bytes"));
    }
  }
  if (terms.control_block_bytes() < 80 || terms.control_block_bytes() > 256) {
    return Bad(absl::StrCat("the terms' control block has ", terms.control_block_bytes(),
                            " bytes, not 80 to 256"));
  }
  return absl::OkStatus();
}

absl::Status CheckPolicy(const v1::Policy& policy, const v1::Terms& terms) {
  if (!policy.has_range()) return Bad("the policy has no range");
  const v1::AduRange& range = policy.range();
  if (range.first() > range.last()) {
    return Bad(absl::StrCat("the policy's range ", range.first(), "-", range.last(),
                            " ends before it begins"));
  }
  uint64_t last = (uint64_t{1} << terms.generator().depth()) - 1;
  if (range.last() > last) {
    return Bad(absl::StrCat("the policy's range ends at ", range.last(),
                            ", beyond the session's last ADU id ", last));
  }
  RETURN_IF_ERROR(CheckPolicySenders(policy, terms));
  RETURN_IF_ERROR(CheckPolicySubSessions(policy, terms));
  // A key manager makes the seeds of each.
  constexpr size_t kMostStreams = 64;
  if (StreamsOf(policy, terms).size() > kMostStreams) {
    return Bad(absl::StrCat("the policy buys more than ", kMostStreams,
                            " senders' sub-sessions; sell several vouchers"));
  }
  if (policy.expires_us() != 0) {
    RETURN_IF_ERROR(shapes::CheckTime(policy.expires_us(), "the policy's expiry"));
  }
  return absl::OkStatus();
}

bool DemandsDigest(const v1::Terms& terms, uint32_t sub_session) {
  return std::any_of(terms.sub_sessions().begin(), terms.sub_sessions().end(),
                     [sub_session](const v1::SubSession& sub) {
                       return sub.id() == sub_session && sub.demands_digest();
                     });
}

Streams StreamsOf(const v1::Policy& policy, const v1::Terms& terms) {
  std::vector<uint32_t> subs(policy.sub_sessions().begin(), policy.sub_sessions().end());
  if (subs.empty()) subs.push_back(0);
  std::vector<uint32_t> senders(policy.sender_ids().begin(), policy.sender_ids().end());
  if (senders.empty()) {
    for (const v1::PermittedSender& sender : terms.senders()) senders.push_back(sender.sender_id());
  }
  Streams streams;
  for (const uint32_t sub : subs) {
    for (const uint32_t sender : senders) streams.emplace_back(sub, sender);
  }
  std::sort(streams.begin(), streams.end());
  return streams;
}

absl::StatusOr<uint64_t> AdusBought(const v1::Policy& policy, const Streams& streams) {
  constexpr uint64_t kLimit = uint64_t{1} << 62;
  const uint64_t size = policy.range().last() - policy.range().first() + 1;
  std::map<uint32_t, uint64_t> by_sender;
  for (const auto& [sub, sender] : streams) {
    uint64_t& ids = by_sender[sender];
    ids = size >= kLimit - ids ? kLimit : ids + size;
    if (policy.count() != 0) ids = std::min(ids, policy.count());
  }
  uint64_t bought = 0;
  for (const auto& [sender, ids] : by_sender) {
    if (ids >= kLimit - bought) {
      return absl::OutOfRangeError("the policy buys more ADUs than can be counted");
    }
    bought += ids;
  }
  return bought;
}

}  // namespace nark
