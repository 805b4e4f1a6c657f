#ifndef NARK_RECEIVER_PLAY_OUT_H_
#define NARK_RECEIVER_PLAY_OUT_H_

#include <chrono>
#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/base/bytes.h"
#include "common/base/clock.h"
#include "common/crypto/chameleon.h"
#include "common/object/session.h"
#include "common/wire/cipher.h"
#include "nark/v1/note.pb.h"
#include "receiver/reassembler.h"
#include "securespace/secure_space.h"

namespace nark::receiver {

// One ADU as the sender got it.
struct PlainAdu {
  uint32_t sub_session = 0;
  uint32_t sender_id = 0;
  uint64_t adu_id = 0;
  bool random_access = false;
  ByteView plaintext;
};

// Where decrypted ADUs go. One thread only.
class PlaintextSink {
 public:
  virtual ~PlaintextSink() = default;
  // Takes all of it, or fails for good.
  virtual absl::Status Write(const PlainAdu& adu, Timestamp now) = 0;
  // Whether ADUs of this stream are written anywhere: no key is asked for others.
  virtual bool Wants(uint32_t /*sub_session*/, uint32_t /*sender_id*/) const { return true; }
};

struct PlayOutOptions {
  // How long a complete ADU waits for one before it.
  std::chrono::microseconds delay = std::chrono::milliseconds(500);
  // Complete ADUs that wait; beyond it the oldest are not waited for, and while
  // outputs are congested they are given up unasked.
  size_t queue_bytes = 256 << 20;
};

struct PlayOutStatistics {
  uint64_t received = 0;         // complete ADUs taken
  uint64_t delivered = 0;        // written
  uint64_t delivered_bytes = 0;  // of plaintext
  uint64_t missing = 0;          // ids that play-out went past without them
  uint64_t behind = 0;           // complete only after play-out had gone past
  uint64_t repeated = 0;         // complete twice
  uint64_t crowded_out = 0;      // given up unasked: outputs did not keep up, or failed
  uint64_t damaged = 0;          // key released, did not decrypt; no preview of it
  std::map<v1::RefusalReason, uint64_t> refused;
  // Refusals of ADUs that were kept, to be asked for again (PlayOut::Lapsed).
  std::map<v1::RefusalReason, uint64_t> put_off;
  std::map<std::pair<uint32_t, uint32_t>, uint64_t> delivered_of;  // by sub-session and sender

  // Of both kinds.
  std::map<v1::RefusalReason, uint64_t> refusals() const;

  PlayOutStatistics& operator+=(const PlayOutStatistics& other);
};
// "RANGE", "LATE", ...: the reason without its prefix.
std::string ReasonName(v1::RefusalReason reason);

// Brings complete ADUs into order, a sender at a time, asks the secure space for
// the keys of those whose turn it is, decrypts and writes. An ADU has its turn
// at once if it follows the last one, else when it has waited for `delay`; then
// those missing before it are passed for good: they are neither asked for nor
// written any more. So each is written at most `delay` after it is complete, and
// no key is asked for an ADU that will not be written. One thread only.
class PlayOut {
 public:
  // All three must outlive it. UNIMPLEMENTED for a cipher that is not registered.
  static absl::StatusOr<std::unique_ptr<PlayOut>> Create(const VerifiedSession& session,
                                                         uint32_t sub_session,
                                                         securespace::SecureSpace& secure_space,
                                                         PlaintextSink& sink,
                                                         const PlayOutOptions& options = {});
  // Plays what everybody may see (wire::MaskEncrypted) and asks for no key. Both must
  // outlive it. UNIMPLEMENTED as above.
  static absl::StatusOr<std::unique_ptr<PlayOut>> CreatePreview(const VerifiedSession& session,
                                                                uint32_t sub_session,
                                                                PlaintextSink& sink,
                                                                const PlayOutOptions& options = {});
  ~PlayOut();

  // The marked block, for sessions with an audit trail whose keys are released: to be set
  // before Run or Flush, which fail without. Others ignore it.
  absl::Status SetBlock(std::shared_ptr<const ChameleonBlock> block);

  void Add(CompleteAdu adu, Timestamp now);

  // Plays what is due, asking for all keys in as few calls as there can be. An
  // error of the secure space or of the sink is final: nothing more is asked.
  absl::Status Run(Timestamp now);
  // What becomes of an ADU whose key is refused for want of a newer grant (LEASE, CONTACT).
  // kRefuse: it is passed, as with any other reason. kKeep: it is kept, with all that is due
  // behind it and was not asked for; the next Run or Flush asks again.
  enum class Lapsed : uint8_t { kRefuse, kKeep };
  static bool WantsNewerGrant(v1::RefusalReason reason) {
    return reason == v1::REFUSAL_REASON_LEASE || reason == v1::REFUSAL_REASON_CONTACT;
  }
  void SetLapsed(Lapsed lapsed) { lapsed_ = lapsed; }
  // ADUs that are kept so; not of the queue any more.
  size_t kept() const { return kept_.size(); }
  // Plays everything that is there, in order, waiting for nothing.
  absl::Status Flush(Timestamp now);
  // When Run has something to do; now or earlier where it has already.
  std::optional<Timestamp> NextDeadline() const;
  // Gives up the oldest ADUs, unasked, until the queue is within its limit: for a
  // caller that does not Run because outputs are congested.
  void Trim();

  // The first id of this sender that may still be played; 0 before the first.
  uint64_t floor(uint32_t sender_id) const;
  // The senders seen so far.
  std::vector<uint32_t> senders() const;
  const PlayOutStatistics& statistics() const { return statistics_; }
  size_t queue_bytes() const { return queue_bytes_; }

 private:
  struct Due {
    Timestamp at;
    uint64_t adu_id;
  };
  struct Sender {
    std::optional<uint64_t> next;  // after the last one played
    std::map<uint64_t, CompleteAdu> queue;
    std::deque<Due> dues;  // in the order of arrival; may name ids that are gone
  };
  // What makes of a ciphertext what is written.
  enum class Way : uint8_t { kByKey, kByCard, kPreview };
  // No secure space: kPreview.
  PlayOut(const VerifiedSession& session, uint32_t sub_session,
          securespace::SecureSpace* secure_space, PlaintextSink& sink,
          const PlayOutOptions& options);
  static absl::StatusOr<std::unique_ptr<PlayOut>> Complete(std::unique_ptr<PlayOut> play_out);
  // When the first ADU of the queue has its turn.
  static std::optional<Timestamp> TurnOf(const Sender& sender);
  // The last id that is to be played now, if any is.
  static std::optional<uint64_t> DueUpTo(const Sender& sender, Timestamp now);
  void TakeFirst(Sender& sender, std::vector<CompleteAdu>& to);
  void TakeDue(Timestamp now, std::vector<CompleteAdu>& to);
  // The sender whose first ADU has waited longest; nullptr where nothing waits.
  Sender* Longest();
  absl::Status Play(std::span<CompleteAdu> adus, Timestamp now);
  // How many of them, from the first on, go into one call.
  size_t FitOneCall(std::span<const CompleteAdu> adus) const;
  void OnRefused(CompleteAdu& adu, v1::RefusalReason reason);
  absl::Status PlayByKey(std::span<CompleteAdu> adus, Timestamp now);
  absl::Status GiveDigests();
  absl::Status PlayByCard(std::span<CompleteAdu> adus, Timestamp now);
  absl::Status PlayPreview(std::span<const CompleteAdu> adus, Timestamp now);
  MutableByteView Room(const wire::Header& header);
  absl::Status Write(const CompleteAdu& adu, ByteView plaintext, Timestamp now);

  const VerifiedSession& session_;
  const uint32_t sub_session_;
  securespace::SecureSpace* const secure_space_;
  const Way way_;
  PlaintextSink& sink_;
  const PlayOutOptions options_;
  const Digest context_;
  const bool demands_digest_;
  std::vector<securespace::DigestClaim> digests_;  // of what was decrypted last
  const wire::CipherSuite* suite_ = nullptr;
  std::unique_ptr<wire::AduCipher> cipher_;  // none while it waits for its block
  std::map<uint32_t, Sender> senders_;
  size_t queue_bytes_ = 0;
  Lapsed lapsed_ = Lapsed::kRefuse;
  std::vector<CompleteAdu> kept_;
  Bytes plaintext_;
  absl::Status broken_;
  PlayOutStatistics statistics_;
};

}  // namespace nark::receiver

#endif  // NARK_RECEIVER_PLAY_OUT_H_
