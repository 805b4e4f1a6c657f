#include "refunds/payout.h"

#include <gtest/gtest.h>
#include <stdlib.h>

#include <atomic>
#include <deque>
#include <filesystem>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <utility>
#include <vector>

#include "common/base/status.h"
#include "common/crypto/hash.h"
#include "refunds/sqlite_ledger.h"

namespace nark::refunds {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr Timestamp kNow{seconds(1767225600)};

// Takes every order down, and answers as it is told.
class RecordingPayer final : public Payer {
 public:
  absl::Status Pay(const PaymentOrder& order) override {
    absl::MutexLock lock(&mutex_);
    orders_.push_back(order);
    const auto free = [this]()
                          ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) { return !holding_ || cancelled_; };
    mutex_.Await(absl::Condition(&free));
    if (cancelled_) return absl::CancelledError("cancelled");
    return fails_ ? absl::UnavailableError("closed on Sundays") : absl::OkStatus();
  }
  milliseconds longest() const override { return seconds(20); }
  void Cancel() override {
    absl::MutexLock lock(&mutex_);
    cancelled_ = true;
  }
  void Fail(bool fails) {
    absl::MutexLock lock(&mutex_);
    fails_ = fails;
  }
  void Hold() {
    absl::MutexLock lock(&mutex_);
    holding_ = true;
  }
  void AwaitOrders(size_t count) {
    absl::MutexLock lock(&mutex_);
    const auto there = [this, count]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
      return orders_.size() >= count;
    };
    mutex_.Await(absl::Condition(&there));
  }
  std::vector<PaymentOrder> orders() {
    absl::MutexLock lock(&mutex_);
    return orders_;
  }

 private:
  absl::Mutex mutex_;
  std::vector<PaymentOrder> orders_ ABSL_GUARDED_BY(mutex_);
  bool fails_ ABSL_GUARDED_BY(mutex_) = false;
  bool holding_ ABSL_GUARDED_BY(mutex_) = false;
  bool cancelled_ ABSL_GUARDED_BY(mutex_) = false;
};

class CountedPayments final : public PayoutObserver {
 public:
  void OnPayment(const Payment&, const absl::Status& result) override {
    ++(result.ok() ? done : failed);
  }
  void OnLedgerError(const absl::Status&) override { ++ledger_errors; }
  std::atomic<int> done{0}, failed{0}, ledger_errors{0};
};

class PayoutTest : public testing::Test {
 protected:
  PayoutTest() {
    char pattern[] = "/tmp/nark-payout-XXXXXX";
    folder_ = mkdtemp(pattern);
    ledger_ = *OpenSqliteLedger(folder_ + "/ledger.db");
  }
  ~PayoutTest() override {
    ledger_.reset();
    std::filesystem::remove_all(folder_);
  }

  void Owe(uint32_t voucher, const std::string& payer = "payer") {
    Refund refund;
    refund.key.provider.fill(7);
    StoreBig32(refund.key.voucher_id.data(), voucher);
    refund.note_identity = Sha256(AsBytes("note"));
    refund.ledger_id = "id" + std::to_string(voucher);
    refund.owed = 2;
    refund.amount_minor = 10 + voucher;
    refund.currency = "EUR";
    refund.payer_reference = payer;
    refund.decided = clock_.Now();
    refund.receipt = refund.note = std::make_shared<const std::string>("signed");
    ASSERT_TRUE(EnterAndWait(*ledger_, {refund}).ok());
  }
  std::unique_ptr<Payout> MakePayout(PayoutOptions options = {}) {
    return std::make_unique<Payout>(*ledger_, payer_, clock_, random_, seen_, options);
  }

  std::string folder_;
  std::unique_ptr<Ledger> ledger_;
  ManualClock clock_{kNow};
  SeededRandom random_{1};
  RecordingPayer payer_;
  CountedPayments seen_;
};

// Goes on by `step` with each look at it, as time does while a ledger is waited for.
class RunningClock final : public Clock {
 public:
  explicit RunningClock(seconds step) : step_(step) {}
  Timestamp Now() override { return now_ += step_; }

 private:
  const seconds step_;
  Timestamp now_ = kNow;
};

TEST_F(PayoutTest, PaysNothingWhoseLeaseMightEndMeanwhile) {
  Owe(1);
  RunningClock slow(seconds(11));
  Payout waiting(*ledger_, payer_, slow, random_, seen_, {});
  EXPECT_TRUE(*waiting.Step());
  EXPECT_TRUE(payer_.orders().empty());
  RunningClock late(seconds(60));
  Payout next(*ledger_, payer_, late, random_, seen_, {.lease_margin = seconds(61)});
  EXPECT_TRUE(*next.Step());
  EXPECT_EQ(payer_.orders().size(), 1u);
  EXPECT_EQ(ledger_->Outbox()->pending, 0u);
}

TEST_F(PayoutTest, PaysWhatIsDueOnce) {
  auto payout = MakePayout();
  EXPECT_FALSE(*payout->Step());
  Owe(1, "Zoë \"Q\"");
  EXPECT_TRUE(*payout->Step());
  EXPECT_FALSE(*payout->Step());
  ASSERT_EQ(payer_.orders().size(), 1u);
  EXPECT_EQ(payer_.orders()[0].idempotency_key, "id1");
  const auto json = nlohmann::json::parse(payer_.orders()[0].json);
  EXPECT_EQ(json["idempotency_key"], "id1");
  EXPECT_EQ(json["payer_reference"], "Zoë \"Q\"");
  EXPECT_EQ(json["amount_minor"], 11);
  EXPECT_EQ(json["currency"], "EUR");
  EXPECT_EQ(json["attempt"], 1);
  EXPECT_EQ(payer_.orders()[0].json.find('\n'), std::string::npos);
  EXPECT_EQ(ledger_->Outbox()->pending, 0u);
  EXPECT_EQ(seen_.done, 1);
}

TEST_F(PayoutTest, WaitsLongerAfterEachFailureUpToABound) {
  auto payout = MakePayout({.first_delay = seconds(1), .longest_delay = seconds(60)});
  Owe(1);
  payer_.Fail(true);
  int64_t whole = 1'000'000;
  for (size_t attempt = 1; attempt <= 12; ++attempt) {
    ASSERT_TRUE(*payout->Step()) << attempt;
    ASSERT_EQ(payer_.orders().size(), attempt);
    EXPECT_EQ(ledger_->Outbox()->attempts, attempt);
    // Not due before half of the delay, and due once it is over.
    clock_.Advance(std::chrono::microseconds(whole / 2 - 1));
    EXPECT_FALSE(*payout->Step()) << attempt;
    clock_.Advance(std::chrono::microseconds(whole / 2 + 1));
    whole = std::min<int64_t>(2 * whole, 60'000'000);
  }
  payer_.Fail(false);
  EXPECT_TRUE(*payout->Step());
  EXPECT_EQ(ledger_->Outbox()->pending, 0u);
  EXPECT_EQ(seen_.failed, 12);
  for (const PaymentOrder& order : payer_.orders()) EXPECT_EQ(order.idempotency_key, "id1");
}

TEST_F(PayoutTest, OnePaymentThatFailsHoldsUpNoOther) {
  auto payout = MakePayout();
  Owe(1, "no UTF-8: \xff");
  Owe(2);
  EXPECT_TRUE(*payout->Step());
  EXPECT_TRUE(*payout->Step());
  ASSERT_EQ(payer_.orders().size(), 1u);
  EXPECT_EQ(payer_.orders()[0].idempotency_key, "id2");
  EXPECT_EQ(seen_.failed, 1);
  EXPECT_EQ(ledger_->Outbox()->pending, 1u);
}

// Who died between claiming and finishing leaves the payment to the others, but not
// before it can be over.
TEST_F(PayoutTest, TakesOverWhatAnotherClaimedOnceItsLeaseIsOver) {
  auto payout = MakePayout({.lease_margin = seconds(10)});
  Owe(1);
  ASSERT_EQ(ledger_->ClaimPayments(clock_.Now(), payer_.longest() + seconds(10), 1)->size(), 1u);
  clock_.Advance(payer_.longest() + seconds(9));
  EXPECT_FALSE(*payout->Step());
  clock_.Advance(seconds(1));
  EXPECT_TRUE(*payout->Step());
  EXPECT_EQ(payer_.orders().size(), 1u);
}

TEST_F(PayoutTest, ManyWorkersPayEachOnce) {
  for (uint32_t i = 0; i < 60; ++i) Owe(i);
  auto payout = MakePayout({.workers = 8, .interval = milliseconds(1)});
  payout->Start();
  payer_.AwaitOrders(60);
  payout->Stop(seconds(60));
  std::vector<std::string> keys;
  for (const PaymentOrder& order : payer_.orders()) keys.push_back(order.idempotency_key);
  std::sort(keys.begin(), keys.end());
  EXPECT_EQ(std::unique(keys.begin(), keys.end()), keys.end());
  EXPECT_EQ(keys.size(), 60u);
  EXPECT_EQ(ledger_->Outbox()->pending, 0u);
}

TEST_F(PayoutTest, CancelsWhatIsNotDoneByTheDeadline) {
  Owe(1);
  payer_.Hold();
  auto payout = MakePayout({.workers = 2, .interval = milliseconds(1)});
  payout->Start();
  payer_.AwaitOrders(1);
  payout->Stop(milliseconds(20));
  EXPECT_EQ(seen_.failed, 1);
  EXPECT_EQ(ledger_->Outbox()->pending, 1u);
}

}  // namespace
}  // namespace nark::refunds
