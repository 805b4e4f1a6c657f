#ifndef NARK_SENDER_ORDER_BOOK_H_
#define NARK_SENDER_ORDER_BOOK_H_

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "common/base/clock.h"
#include "common/base/storage.h"
#include "common/crypto/random.h"
#include "common/object/control_order.h"
#include "common/object/session.h"
#include "sender/control_source.h"

namespace nark::sender {

// The provider's orders to one sender: kept durably, and rotated through the control
// blocks of consecutive ADUs in rounds. Each round names every target once, in a new
// random order, so that a host that plays only some of the ADUs can not know which of
// them to leave out. With at most T orders, of which a block takes c, a round is
// ceil(T / c) ADUs, and every order is named k times within any (k + 1) * ceil(T / c) - 1
// consecutive ADUs (docs/wire.md, "Control block"). Orders that come or go begin no new
// round. Thread-safe.
class OrderBook final : public ControlSource {
 public:
  static constexpr size_t kMostOrders = 4096;  // withdrawals remembered among them
  // An order from further ahead would kill vouchers that are not sold yet; what was sold
  // since one from further behind would play on.
  static constexpr std::chrono::minutes kMostAhead{5};
  static constexpr std::chrono::minutes kMostBehind{5};

  // What a book is kept for and with; all must outlive it.
  struct Parts {
    const VerifiedSession& session;
    uint32_t sender_id;
    Storage& storage;
    std::string name;  // in the storage
    Random& random;
  };
  // Takes up what was kept. DATA_LOSS where the file is damaged or another session's:
  // orders are never forgotten silently.
  static absl::StatusOr<std::unique_ptr<OrderBook>> Open(const Parts& parts);

  // Puts STOP or CONTACT on the air; durable when it returns. Again, or a STOP older
  // than one that stands: changes nothing. Returns how many are on the air. Errors of
  // VerifyControlOrder; FAILED_PRECONDITION, reasons SENDER_MAY_NOT_CONTROL,
  // ORDER_WITHDRAWN, ORDER_OUT_OF_SEQUENCE, ORDER_TIME; RESOURCE_EXHAUSTED, reason
  // ORDERS_FULL; the storage's.
  absl::StatusOr<uint32_t> Expel(const v1::SignedEnvelope& order, Timestamp now);
  // Takes WITHDRAW, which ends all orders about its target or nothing: ORDER_TIME where
  // one is later. NOT_FOUND, reason ORDER_NOT_FOUND, where there is none and no
  // withdrawal is remembered.
  absl::StatusOr<uint32_t> Readmit(const v1::SignedEnvelope& order, Timestamp now);

  uint32_t active() const;
  // How many ADUs a round of what is on the air takes, with so much room in each; 0
  // where nothing is.
  uint32_t RoundAdus(size_t plaintext_bytes) const;

  std::vector<wire::ControlEntry> Next(size_t plaintext_bytes) override;

 private:
  // Of one target: the latest of each kind.
  struct Orders {
    std::optional<VerifiedControlOrder> stop, contact, withdrawal;
  };
  using Book = std::map<Bytes, Orders>;

  explicit OrderBook(const Parts& parts) : parts_(parts) {}
  absl::StatusOr<VerifiedControlOrder> Verify(const v1::SignedEnvelope& order, Timestamp now) const;
  absl::Status CheckMayControl() const;
  absl::Status Keep(Book book) ABSL_EXCLUSIVE_LOCKS_REQUIRED(writing_);
  // Puts the book's orders into the control blocks from now on.
  void GoOnAir() ABSL_EXCLUSIVE_LOCKS_REQUIRED(writing_);
  size_t Fitting(size_t plaintext_bytes) const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  size_t Below(size_t bound) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  const Parts parts_;
  // Held while the disk is written; never by Next, so that the stream keeps its rhythm.
  absl::Mutex writing_;
  Book book_ ABSL_GUARDED_BY(writing_);
  mutable absl::Mutex mutex_ ABSL_ACQUIRED_AFTER(writing_);
  std::vector<wire::ControlEntry> on_air_ ABSL_GUARDED_BY(mutex_);
  size_t largest_ ABSL_GUARDED_BY(mutex_) = 0;           // of its targets, bytes
  std::vector<uint32_t> round_ ABSL_GUARDED_BY(mutex_);  // into on_air_: what is left of it
};

}  // namespace nark::sender

#endif  // NARK_SENDER_ORDER_BOOK_H_
