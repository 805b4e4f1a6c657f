#ifndef NARK_SECURESPACE_STATE_H_
#define NARK_SECURESPACE_STATE_H_

#include <array>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/base/bytes.h"
#include "common/crypto/secret_bytes.h"
#include "common/object/id_set.h"
#include "common/object/session.h"
#include "nark/v1/envelope.pb.h"
#include "nark/v1/note.pb.h"
#include "securespace/codec.h"
#include "securespace/policy.h"
#include "securespace/receipts.h"

namespace nark::securespace {

// How often each reason was given, by its number.
using RefusalCounts = std::array<uint64_t, v1::RefusalReason_ARRAYSIZE>;

// The digest of the ADU released last, where the terms demand it. Not kept: after a crash
// nobody can tell whether the host ever got the key.
struct OutstandingDigest {
  uint64_t adu_id = 0;
  Digest digest{};
};

// What is known of one stream. `released` and `late` are disjoint, `proved` is part of
// `released`.
struct StreamState {
  std::unique_ptr<Receipts> released;  // of the session's type, never null
  IdSet late;
  IdSet proved;  // whose digest was given
  std::optional<OutstandingDigest> outstanding;
  // The sender's clock: the highest signed time of its headers that passed steps 1
  // to 3 of a release.
  uint64_t clock_us = 0;
  // Highest signed time for which something was released, 0 for none.
  uint64_t last_accepted_us = 0;
};

// Everything that is kept of one session.
struct SessionState {
  v1::SignedEnvelope descriptor;
  uint64_t verified_at_us = 0;      // when the descriptor was verified
  uint64_t counter = 0;             // the provider's, after the last change
  uint64_t stop_issue_time_us = 0;  // of the latest stop order obeyed
  uint64_t contact_obeyed = 0;      // highest sequence number
  uint64_t contact_echoed = 0;      // by a grant
  RefusalCounts refusals{};
  std::vector<Grant> grants;
  v1::ReceiptType receipt_type = v1::RECEIPT_TYPE_TREE;  // as the terms say
  std::map<StreamName, StreamState> streams;             // see Stream()
  // Set by a FINAL note: its frozen payload, and once it was signed, the note.
  std::string final_payload;
  v1::SignedEnvelope final_note;

  // The stream's state, empty where nothing was known of it. The receipt type is
  // one that is built in.
  StreamState& Stream(const StreamName& name);
  // Highest signed time for which something of the sender was released, in any sub-session:
  // another's clock must not keep its leases alive. Of a sender of whom nothing was, the
  // highest of all, as if its first ADU had followed that one. 0 where nothing was at all.
  uint64_t LastAcceptedOf(uint32_t sender_id) const;
  bool closed() const { return !final_payload.empty(); }
  bool suspended() const { return contact_obeyed > contact_echoed; }
};

// The whole state, for snapshots. INVALID_ARGUMENT for ids of 2^63 and above.
absl::Status Write(const SessionState& state, Writer& to);
// DATA_LOSS where `snapshot` is none.
absl::StatusOr<SessionState> ParseState(ByteView snapshot);

// What one list of decisions changed; totals are absolute, so that replaying a
// record twice does no harm.
struct ReleaseRecord {
  std::map<StreamName, std::pair<IdSet, IdSet>> ids;  // newly released, newly late
  std::map<StreamName, IdSet> proved;                 // newly
  std::set<StreamName> clocks;                        // where one of the two moved
  std::set<std::pair<size_t, uint32_t>> spent;        // (grant by index, sender)
  // A header was accepted or an order obeyed; both are written whole anyway.
  bool touched = false;

  bool empty() const {
    return ids.empty() && proved.empty() && clocks.empty() && spent.empty() && !touched;
  }
};

// The record with the totals of `state`, to which it has been applied already.
void Write(const ReleaseRecord& record, const SessionState& state, Writer& to);
// Applies a record read back. DATA_LOSS where it is none, or does not fit.
absl::Status Replay(ByteView record, SessionState& state);

// The list of sessions: what must exist.
void Write(const std::set<SessionName>& sessions, Writer& to);
absl::StatusOr<std::set<SessionName>> ParseSessions(ByteView snapshot);

// Kills every grant whose voucher was issued at or before the latest stop order.
// What a pill kills stays dead: true where that changed anything.
bool StopGrants(SessionState& state);

}  // namespace nark::securespace

#endif  // NARK_SECURESPACE_STATE_H_
