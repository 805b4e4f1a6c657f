#ifndef NARK_SECURESPACE_RELEASE_H_
#define NARK_SECURESPACE_RELEASE_H_

#include <cstdint>
#include <optional>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/base/bytes.h"
#include "common/crypto/secret_bytes.h"
#include "common/schedule/key_schedule.h"
#include "common/wire/control_block.h"
#include "common/wire/header.h"
#include "nark/v1/session.pb.h"
#include "securespace/core.h"

namespace nark::securespace {

// The decisions of one call, header by header, and the record of what they
// changed. Decisions are applied to the session in memory at once, since each
// depends on those before it; nothing may leave before the record is durable. An
// error, as opposed to a refusal, leaves memory ahead of the record: the secure
// space is to be opened again. One thread only.
class ReleaseList {
 public:
  // A header that came through all steps but the last.
  struct Candidate {
    wire::ParsedHeader parsed;
    const SubSession* sub_session = nullptr;
    StreamName stream;
    std::optional<schedule::AduKeys> keys;
    Grant* spends = nullptr;
    std::optional<Digest> digest;  // of its plaintext, where the terms demand that
  };

  // `session` may be null: none was joined. `mode`: what the caller asks for.
  ReleaseList(Session* session, uint32_t sub_session, v1::ReleaseMode mode,
              const Digest& secure_space_id, wire::ControlCipher& control_cipher);

  // Takes the word that the ADU released last was decrypted. What does not fit is no
  // error: the next decision tells.
  void TakeDigest(const DigestClaim& claim);

  // Steps 1 to 7 of a release (docs/architecture.md, "When a key is released") in order. The first
  // failure decides and is counted. `signed_header` outlives the candidate.
  absl::StatusOr<v1::RefusalReason> Decide(ByteView signed_header, Candidate& candidate);
  // Counts a refusal that was found later.
  v1::RefusalReason Refuse(v1::RefusalReason reason);
  // Derives the key of what was decided.
  absl::StatusOr<SecretBytes> DataKey(const Candidate& candidate) const;
  // Step 8, but for making it durable: the ADU counts as released.
  void MarkReleased(const Candidate& candidate);

  const ReleaseRecord& record() const { return record_; }

 private:
  v1::RefusalReason CheckOpen() const;
  v1::RefusalReason Authenticate(ByteView signed_header, Candidate& candidate);
  absl::StatusOr<v1::RefusalReason> OpenLeaf(Candidate& candidate);
  absl::StatusOr<v1::RefusalReason> ObeyControl(Candidate& candidate);
  v1::RefusalReason CheckPolicy(Candidate& candidate);
  v1::RefusalReason CheckHistory(const Candidate& candidate);
  v1::RefusalReason CheckOutstanding(const Candidate& candidate) const;
  absl::StatusOr<v1::RefusalReason> RunSteps(ByteView signed_header, Candidate& candidate);
  bool MatchesTerms(const wire::Header& header, const SubSession& sub_session) const;
  bool IsTarget(const wire::ControlEntry& entry) const;

  Session* session_;
  uint32_t sub_session_;
  v1::ReleaseMode mode_;
  const Digest& id_;
  wire::ControlCipher& control_cipher_;
  ReleaseRecord record_;
};

}  // namespace nark::securespace

#endif  // NARK_SECURESPACE_RELEASE_H_
