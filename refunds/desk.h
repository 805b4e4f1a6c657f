#ifndef NARK_REFUNDS_DESK_H_
#define NARK_REFUNDS_DESK_H_

#include <functional>
#include <map>
#include <memory>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "common/base/clock.h"
#include "common/object/delivery_note.h"
#include "common/object/id_codec.h"
#include "common/object/identity.h"
#include "common/object/session.h"
#include "common/object/signer_cache.h"
#include "common/object/trust.h"
#include "nark/v1/refund_desk.pb.h"
#include "refunds/admission.h"
#include "refunds/ledger.h"

namespace nark::refunds {

// What a desk decides with. Immutable.
struct DeskKeys {
  Certificate root;         // the provider's
  SigningIdentity signing;  // its refunds role
};

// Told of every answer: for metrics, logs and readiness. Thread-safe.
class DeskObserver {
 public:
  virtual ~DeskObserver() = default;
  virtual void OnReceipt(v1::RefundStatus status) = 0;
  virtual void OnRefusal(const absl::Status& refusal) = 0;
};

// The decision of a refund desk (system invariant: paid once). No gRPC, no files.
// Thread-safe. Each refusal has its reason (docs/reasons.md).
class Desk {
 public:
  // UNAUTHENTICATED where the key's certificate is not the refunds role of the root. `clock` and
  // `ledger` must outlive the desk and every answer.
  static absl::StatusOr<std::unique_ptr<Desk>> Create(DeskKeys keys, Trust trust, Clock& clock,
                                                      Ledger& ledger);

  // Ranges of receipts that the notes under decision may hold together, of which one
  // takes some 100 bytes while its note is judged.
  static constexpr size_t kMostRangesInWork = 2 * kMaxNoteRanges;
  // Notes of up to 8 KiB have a room of their own: larger ones turn none of them away.
  static constexpr size_t kFewRanges = 8192 * kMaxRangesAByte;
  static constexpr size_t kMostFewRangesInWork = kMaxNoteRanges;

  using Answer = std::function<void(absl::StatusOr<v1::SubmitDeliveryNoteResponse>)>;
  // Verifies in the caller's thread, or refuses at once (RESOURCE_EXHAUSTED, reason
  // DESK_BUSY) where that would be more than the desk holds; answers once, after the ledger is
  // durable, from the ledger's thread or, for a refusal, from the caller's. Must outlive the
  // answer: hold the shared_ptr in `answer`.
  void Submit(const v1::NoteFile& file, Answer answer);

  // What was answered before. NOT_FOUND, reason REFUND_NOT_FOUND.
  absl::StatusOr<v1::GetRefundResponse> Find(const v1::GetRefundRequest& request);

  // UNAVAILABLE where a revocation list is past its next update.
  absl::Status CheckLists() const;
  const Digest& provider() const { return keys_.root.public_key().id(); }
  // Session descriptors that it remembers as verified.
  size_t known_sessions() const;
  Timestamp lists_next_update() const { return trust_.next_update(); }

 private:
  Desk(DeskKeys keys, Trust trust, Clock& clock, Ledger& ledger)
      : keys_(std::move(keys)),
        trust_(std::move(trust)),
        clock_(clock),
        ledger_(ledger),
        deciding_(kMostRangesInWork),
        deciding_small_(kMostFewRangesInWork) {}
  struct Known {
    std::shared_ptr<const VerifiedSession> session;
    Timestamp verified;
  };

  absl::StatusOr<std::vector<Refund>> Decide(const v1::NoteFile& file, Timestamp now);
  absl::StatusOr<std::shared_ptr<const VerifiedSession>> SessionOf(
      const v1::SignedEnvelope& descriptor, Timestamp now);
  absl::StatusOr<NoteSigner> SignerOf(const v1::NoteFile& file, Timestamp now) const;
  absl::StatusOr<Refund> DecideOne(const NotedVoucher& voucher, const VerifiedNote& note,
                                   const VerifiedSession& session, Timestamp now) const;
  absl::StatusOr<v1::SubmitDeliveryNoteResponse> Respond(const std::vector<Refund>& wanted,
                                                         const std::vector<Refund>& standing,
                                                         Timestamp now) const;
  absl::StatusOr<v1::SignedEnvelope> Sign(const v1::RefundReceipt& receipt) const;

  const DeskKeys keys_;
  const Trust trust_;
  Clock& clock_;
  Ledger& ledger_;
  SignerCache tills_;
  Admission deciding_, deciding_small_;
  mutable absl::Mutex mutex_;
  std::map<Digest, Known> sessions_ ABSL_GUARDED_BY(mutex_);
};

// The payment's idempotency key: a hash of provider and voucher, so that it stays
// the same even if a ledger is lost and rebuilt. 32 hexadecimal digits.
std::string LedgerId(const RefundKey& key);

}  // namespace nark::refunds

#endif  // NARK_REFUNDS_DESK_H_
