#include "refunds/payout.h"

#include <algorithm>
#include <array>
#include <nlohmann/json.hpp>
#include <utility>

#include "absl/time/time.h"
#include "common/base/bytes.h"
#include "common/base/status.h"

namespace nark::refunds {

absl::StatusOr<PaymentOrder> OrderOf(const Payment& payment) {
  const Refund& refund = payment.refund;
  const nlohmann::ordered_json json = {
      {"idempotency_key", refund.ledger_id},
      {"payer_reference", refund.payer_reference},
      {"amount_minor", refund.amount_minor},
      {"currency", refund.currency},
      {"provider", ToHex(refund.key.provider)},
      {"session_id", ToHex(refund.session_id)},
      {"voucher_id", ToHex(refund.key.voucher_id)},
      {"note_identity", ToHex(refund.note_identity)},
      {"owed", refund.owed},
      {"decision_time_us", ToMicros(refund.decided)},
      {"attempt", payment.attempts + 1},
  };
  try {
    return PaymentOrder{refund.ledger_id, json.dump()};
  } catch (const nlohmann::json::type_error&) {
    return absl::InvalidArgumentError("the payer's reference is no UTF-8");
  }
}

Payout::Payout(Ledger& ledger, Payer& payer, Clock& clock, Random& random, PayoutObserver& observer,
               PayoutOptions options)
    : ledger_(ledger),
      payer_(payer),
      clock_(clock),
      observer_(observer),
      options_(options),
      random_(random) {}

Payout::~Payout() { Stop(std::chrono::milliseconds(0)); }

void Payout::Start() {
  {
    absl::MutexLock lock(&mutex_);
    running_ = options_.workers;
  }
  for (int i = 0; i < options_.workers; ++i) threads_.emplace_back([this] { Run(); });
}

void Payout::Stop(std::chrono::milliseconds deadline) {
  {
    absl::MutexLock lock(&mutex_);
    stopping_ = true;
    const auto ended = [this]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) { return running_ == 0; };
    if (!mutex_.AwaitWithTimeout(absl::Condition(&ended), absl::FromChrono(deadline))) {
      payer_.Cancel();
    }
  }
  for (std::thread& thread : threads_) thread.join();
  threads_.clear();
}

absl::StatusOr<bool> Payout::Step() {
  const Timestamp claimed_at = clock_.Now();
  ASSIGN_OR_RETURN(const std::vector<Payment> claimed,
                   ledger_.ClaimPayments(claimed_at, payer_.longest() + options_.lease_margin, 1));
  if (claimed.empty()) return false;
  // It waited for the ledger, and might be paid when somebody else claims it already: it
  // is left until its lease ends.
  if (clock_.Now() - claimed_at > options_.lease_margin) return true;
  const Payment& payment = claimed.front();
  absl::StatusOr<PaymentOrder> order = OrderOf(payment);
  const absl::Status paid = order.ok() ? payer_.Pay(*order) : order.status();
  observer_.OnPayment(payment, paid);
  if (paid.ok()) {
    RETURN_IF_ERROR(ledger_.FinishPayment(payment.refund.ledger_id, clock_.Now()));
    return true;
  }
  ASSIGN_OR_RETURN(const auto delay, Delay(payment.attempts));
  RETURN_IF_ERROR(ledger_.PostponePayment(payment.refund.ledger_id, clock_.Now() + delay));
  return true;
}

absl::StatusOr<std::chrono::microseconds> Payout::Delay(uint32_t attempts) {
  const int doublings = static_cast<int>(std::min<uint32_t>(attempts, 30));
  const int64_t whole =
      std::min<int64_t>(options_.longest_delay.count(), options_.first_delay.count() << doublings) *
      1000;
  std::array<uint8_t, 4> bytes{};
  absl::MutexLock lock(&mutex_);
  // So that desks that failed together do not come back together.
  RETURN_IF_ERROR(random_.Fill(bytes));
  return std::chrono::microseconds(whole / 2 + LoadBig32(bytes.data()) % (whole / 2 + 1));
}

void Payout::Run() {
  while (!WaitForStop(std::chrono::milliseconds(0))) {
    const absl::StatusOr<bool> stepped = Step();
    // Told once, not by every thread at every look into a ledger that is gone.
    if (ledger_works_.exchange(stepped.ok()) && !stepped.ok()) {
      observer_.OnLedgerError(stepped.status());
    }
    if ((!stepped.ok() || !*stepped) && WaitForStop(options_.interval)) break;
  }
  absl::MutexLock lock(&mutex_);
  --running_;
}

bool Payout::WaitForStop(std::chrono::milliseconds timeout) {
  absl::MutexLock lock(&mutex_);
  return mutex_.AwaitWithTimeout(absl::Condition(&stopping_), absl::FromChrono(timeout));
}

}  // namespace nark::refunds
