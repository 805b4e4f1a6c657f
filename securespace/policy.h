#ifndef NARK_SECURESPACE_POLICY_H_
#define NARK_SECURESPACE_POLICY_H_

#include <cstddef>
#include <cstdint>
#include <map>
#include <vector>

#include "common/base/bytes.h"
#include "common/crypto/secret_bytes.h"
#include "common/schedule/generator.h"
#include "nark/v1/envelope.pb.h"
#include "nark/v1/note.pb.h"
#include "nark/v1/voucher.pb.h"

namespace nark::securespace {

// One sender's distribution in one (sub-)session.
struct StreamName {
  uint32_t sub_session = 0;
  uint32_t sender_id = 0;
  friend auto operator<=>(const StreamName&, const StreamName&) = default;
};

// The seeds of one stream.
struct Seeds {
  StreamName stream;
  std::vector<schedule::Node> nodes;
};

// A grant as installed.
struct Grant {
  Digest id{};
  Digest voucher_identity{};
  v1::SignedEnvelope voucher;
  uint64_t voucher_issue_time_us = 0;
  uint64_t issue_time_us = 0;  // of the last exchange
  v1::Policy policy;
  std::vector<Bytes> group_ids;
  std::vector<Seeds> seeds;
  SecretBytes block_key;               // with an audit trail, else empty
  bool stopped = false;                // by a control block
  std::map<uint32_t, uint64_t> spent;  // of the count, by sender
};

// What the policy looks at.
struct AduFacts {
  StreamName stream;
  uint64_t adu_id = 0;
  uint64_t signed_time_us = 0;
};

// Which grant releases the key.
struct Verdict {
  v1::RefusalReason refusal = v1::REFUSAL_REASON_UNSPECIFIED;
  // Set where that costs a count grant one of its sender's count.
  Grant* spends = nullptr;
};

// Step 5 of a release (docs/architecture.md, "When a key is released") under a union of grants, of
// which the stopped ones do not count. An ADU is free where a grant without count permits it, and
// spends the count of the earliest installed grant that permits it otherwise. Where none does, the
// reason is that of the grant that came furthest in the order RANGE, COUNT, EXPIRED, SENDER, LEASE.
// `last_accepted_us`: what the sender's leases run from, besides the grant's issue
// (SessionState::LastAcceptedOf).
Verdict Judge(std::vector<Grant>& grants, const AduFacts& adu, uint64_t last_accepted_us);

// Whether `policy` was bought for the sub-session, and for the sender.
bool PermitsSubSession(const v1::Policy& policy, uint32_t sub_session);
bool PermitsSender(const v1::Policy& policy, uint32_t sender_id);

}  // namespace nark::securespace

#endif  // NARK_SECURESPACE_POLICY_H_
