#include "securespace/policy.h"

#include <algorithm>

namespace nark::securespace {
namespace {

// Position in the order of step 5: how far a grant came.
int Progress(v1::RefusalReason reason) {
  switch (reason) {
    case v1::REFUSAL_REASON_RANGE:
      return 1;
    case v1::REFUSAL_REASON_COUNT:
      return 2;
    case v1::REFUSAL_REASON_EXPIRED:
      return 3;
    case v1::REFUSAL_REASON_SENDER:
      return 4;
    case v1::REFUSAL_REASON_LEASE:
      return 5;
    default:
      return 0;
  }
}

bool LeaseIsOver(const Grant& grant, uint64_t signed_time_us, uint64_t last_accepted_us) {
  if (grant.policy.lease_ms() == 0) return false;
  uint64_t since = std::max(grant.issue_time_us, last_accepted_us);
  if (signed_time_us <= since) return false;
  uint64_t silence_us = signed_time_us - since;
  // Rounded up to milliseconds: a lease in microseconds could overflow.
  return silence_us / 1000 + (silence_us % 1000 != 0 ? 1 : 0) > grant.policy.lease_ms();
}

// What was bought is what came with seeds: a policy without sender ids means the senders
// that the terms name, and not one whose seeds another grant brought.
bool Holds(const Grant& grant, const StreamName& stream) {
  return std::any_of(grant.seeds.begin(), grant.seeds.end(),
                     [&](const Seeds& seeds) { return seeds.stream == stream; });
}

v1::RefusalReason JudgeOne(const Grant& grant, const AduFacts& adu, uint64_t last_accepted_us) {
  const v1::Policy& policy = grant.policy;
  if (!PermitsSubSession(policy, adu.stream.sub_session) || adu.adu_id < policy.range().first() ||
      adu.adu_id > policy.range().last()) {
    return v1::REFUSAL_REASON_RANGE;
  }
  if (policy.count() != 0) {
    auto spent = grant.spent.find(adu.stream.sender_id);
    if (spent != grant.spent.end() && spent->second >= policy.count()) {
      return v1::REFUSAL_REASON_COUNT;
    }
  }
  if (policy.expires_us() != 0 && adu.signed_time_us > policy.expires_us()) {
    return v1::REFUSAL_REASON_EXPIRED;
  }
  if (!PermitsSender(policy, adu.stream.sender_id) || !Holds(grant, adu.stream)) {
    return v1::REFUSAL_REASON_SENDER;
  }
  if (LeaseIsOver(grant, adu.signed_time_us, last_accepted_us)) return v1::REFUSAL_REASON_LEASE;
  return v1::REFUSAL_REASON_UNSPECIFIED;
}

}  // namespace

bool PermitsSubSession(const v1::Policy& policy, uint32_t sub_session) {
  if (policy.sub_sessions().empty()) return sub_session == 0;
  return std::find(policy.sub_sessions().begin(), policy.sub_sessions().end(), sub_session) !=
         policy.sub_sessions().end();
}

bool PermitsSender(const v1::Policy& policy, uint32_t sender_id) {
  return policy.sender_ids().empty() ||
         std::find(policy.sender_ids().begin(), policy.sender_ids().end(), sender_id) !=
             policy.sender_ids().end();
}

Verdict Judge(std::vector<Grant>& grants, const AduFacts& adu, uint64_t last_accepted_us) {
  Verdict refused{v1::REFUSAL_REASON_RANGE, nullptr};
  Grant* spends = nullptr;
  for (Grant& grant : grants) {
    if (grant.stopped) continue;
    v1::RefusalReason reason = JudgeOne(grant, adu, last_accepted_us);
    if (reason != v1::REFUSAL_REASON_UNSPECIFIED) {
      if (Progress(reason) > Progress(refused.refusal)) refused.refusal = reason;
      continue;
    }
    if (grant.policy.count() == 0) return Verdict{};
    if (spends == nullptr) spends = &grant;
  }
  if (spends != nullptr) return Verdict{v1::REFUSAL_REASON_UNSPECIFIED, spends};
  return refused;
}

}  // namespace nark::securespace
