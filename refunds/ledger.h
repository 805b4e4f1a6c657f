#ifndef NARK_REFUNDS_LEDGER_H_
#define NARK_REFUNDS_LEDGER_H_

#include <array>
#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/base/bytes.h"
#include "common/base/clock.h"

namespace nark::refunds {

// The name of a purchase, and so of its refund.
struct RefundKey {
  Digest provider{};
  std::array<uint8_t, 16> voucher_id{};
  friend auto operator<=>(const RefundKey&, const RefundKey&) = default;
};

// What the ledger holds of one purchase, written once and never changed.
struct Refund {
  RefundKey key;
  Digest note_identity{};
  std::string ledger_id;  // unique; the payment's idempotency key
  std::array<uint8_t, 16> session_id{};
  uint64_t bought = 0;
  uint64_t delivered = 0;
  uint64_t owed = 0;
  uint64_t amount_minor = 0;  // a payment is entered with it where not 0
  std::string currency;       // empty: no price
  std::string reason;         // empty: paid
  std::string payer_reference;
  Timestamp decided;
  std::shared_ptr<const std::string> receipt;  // signed envelope, serialised
  std::shared_ptr<const std::string> note;     // the same
};

// A payment that is due.
struct Payment {
  Refund refund;          // without receipt and note
  uint32_t attempts = 0;  // begun before this one
};

// For the provider's page.
struct LedgerSummary {
  std::vector<Refund> recent;  // latest first, without receipt and note
  struct Total {
    std::string currency;
    uint64_t refunds = 0;
    uint64_t amount_minor = 0;
  };
  std::vector<Total> paid;
  std::vector<std::pair<std::string, uint64_t>> refused;  // by reason
};

struct OutboxState {
  uint64_t pending = 0;
  uint64_t attempts = 0;  // of the pending ones
};

// Where refunds are entered, at most one a purchase, durably before anything is
// said. Every error is UNAVAILABLE with reason LEDGER_UNAVAILABLE and worth
// repeating: either nothing was written, or all of it was and a repeat finds it.
// Thread-safe.
class Ledger {
 public:
  virtual ~Ledger() = default;

  // What stands for each refund, in the order given: itself where it is new. The note
  // of one identity may be any of its envelopes that were entered.
  using Entered = std::function<void(absl::StatusOr<std::vector<Refund>>)>;
  // Enters the refunds of one note with their payments, in one transaction that
  // may be shared with others'. `done` is called once, maybe from another thread,
  // and must not wait. RESOURCE_EXHAUSTED, reason DESK_BUSY, where too many wait.
  virtual void Enter(std::vector<Refund> refunds, Entered done) = 0;

  virtual absl::StatusOr<std::optional<Refund>> Find(const RefundKey& key) = 0;

  // Takes at most `limit` payments due at `now`, and makes them due again at
  // `now` + `lease`: nobody else pays them meanwhile.
  virtual absl::StatusOr<std::vector<Payment>> ClaimPayments(Timestamp now,
                                                             std::chrono::microseconds lease,
                                                             int limit) = 0;
  virtual absl::Status FinishPayment(const std::string& ledger_id, Timestamp now) = 0;
  virtual absl::Status PostponePayment(const std::string& ledger_id, Timestamp due) = 0;

  virtual absl::StatusOr<LedgerSummary> Summarise(int recent) = 0;
  virtual absl::StatusOr<OutboxState> Outbox() = 0;
  // Writes something without meaning, durably.
  virtual absl::Status Probe() = 0;
};

// Enter, waited for.
absl::StatusOr<std::vector<Refund>> EnterAndWait(Ledger& ledger, std::vector<Refund> refunds);

// UNAVAILABLE, reason LEDGER_UNAVAILABLE, to be repeated after seconds.
absl::Status LedgerUnavailable(std::string_view what);

// `refusal` as callers of a desk may see it: what a database says of itself is for the
// log.
absl::Status ForCallers(const absl::Status& refusal);

}  // namespace nark::refunds

#endif  // NARK_REFUNDS_LEDGER_H_
