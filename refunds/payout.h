#ifndef NARK_REFUNDS_PAYOUT_H_
#define NARK_REFUNDS_PAYOUT_H_

#include <atomic>
#include <chrono>
#include <string>
#include <thread>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "common/base/clock.h"
#include "common/crypto/random.h"
#include "refunds/ledger.h"

namespace nark::refunds {

// One order to the provider's payment system.
struct PaymentOrder {
  // The ledger id. The same however often the order is given: who pays it a second
  // time under the same key pays twice.
  std::string idempotency_key;
  std::string json;  // one object in one line, without a newline
};

// docs/refunds.md, "Paying out". INVALID_ARGUMENT where the payer's reference is no
// UTF-8: what would be paid is never changed to fit.
absl::StatusOr<PaymentOrder> OrderOf(const Payment& payment);

// Where payments go. Thread-safe.
class Payer {
 public:
  virtual ~Payer() = default;
  // OK once the other side has taken the order for good. Takes at most longest().
  virtual absl::Status Pay(const PaymentOrder& order) = 0;
  virtual std::chrono::milliseconds longest() const = 0;
  // Ends every Pay that runs, now and from now on, with CANCELLED.
  virtual void Cancel() = 0;
};

// Told of every attempt. Thread-safe.
class PayoutObserver {
 public:
  virtual ~PayoutObserver() = default;
  virtual void OnPayment(const Payment& payment, const absl::Status& result) = 0;
  virtual void OnLedgerError(const absl::Status& error) = 0;
};

struct PayoutOptions {
  int workers = 4;  // payments at a time
  // How often an empty outbox is looked into.
  std::chrono::milliseconds interval{500};
  // A failed payment is tried again after a random half to whole of `first_delay`,
  // doubled with each attempt up to `longest_delay`.
  std::chrono::milliseconds first_delay{1000};
  std::chrono::milliseconds longest_delay{std::chrono::hours(1)};
  // How long a payment may stay claimed beyond the longest Pay.
  std::chrono::milliseconds lease_margin{10000};
};

// Empties the ledger's outbox into a payer, at least once a payment: it is claimed
// for a while, paid, and marked done. Who dies in between leaves it to whoever
// claims it next, maybe at another desk. Thread-safe.
class Payout {
 public:
  // All of them must outlive this. Starts no thread yet.
  Payout(Ledger& ledger, Payer& payer, Clock& clock, Random& random, PayoutObserver& observer,
         PayoutOptions options);
  // Stops without patience.
  ~Payout();
  Payout(const Payout&) = delete;
  Payout& operator=(const Payout&) = delete;

  void Start();
  // Claims no more, waits until `deadline` for what is being paid, and cancels the
  // rest. Returns when all threads have ended.
  void Stop(std::chrono::milliseconds deadline);

  // One payment, if one is due; whether there was one.
  absl::StatusOr<bool> Step();

 private:
  void Run();
  bool WaitForStop(std::chrono::milliseconds timeout);
  absl::StatusOr<std::chrono::microseconds> Delay(uint32_t attempts) ABSL_LOCKS_EXCLUDED(mutex_);

  Ledger& ledger_;
  Payer& payer_;
  Clock& clock_;
  PayoutObserver& observer_;
  const PayoutOptions options_;
  std::atomic<bool> ledger_works_{true};
  absl::Mutex mutex_;
  Random& random_ ABSL_GUARDED_BY(mutex_);
  bool stopping_ ABSL_GUARDED_BY(mutex_) = false;
  int running_ ABSL_GUARDED_BY(mutex_) = 0;
  std::vector<std::thread> threads_;
};

}  // namespace nark::refunds

#endif  // NARK_REFUNDS_PAYOUT_H_
