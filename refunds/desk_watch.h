#ifndef NARK_REFUNDS_DESK_WATCH_H_
#define NARK_REFUNDS_DESK_WATCH_H_

#include <atomic>
#include <chrono>
#include <functional>
#include <thread>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/synchronization/mutex.h"
#include "common/serve/http.h"
#include "common/serve/metrics.h"
#include "refunds/desk.h"
#include "refunds/ledger.h"
#include "refunds/payout.h"

namespace nark::refunds {

// Counts answers and payments, and knows whether the ledger works. Logs by spdlog.
// Thread-safe.
class DeskWatch final : public DeskObserver, public PayoutObserver {
 public:
  // Both must outlive this. A ledger that is not probed for as long as `patience` hangs.
  DeskWatch(serve::Metrics& metrics, Ledger& ledger,
            std::chrono::steady_clock::duration patience = std::chrono::seconds(10));
  // UNAVAILABLE while the ledger takes no write, or hangs.
  absl::Status CheckLedger() const;

  // How a write into the ledger went.
  void OnProbe(const absl::Status& probed);
  void OnReceipt(v1::RefundStatus status) override;
  void OnRefusal(const absl::Status& refusal) override;
  void OnPayment(const Payment& payment, const absl::Status& result) override;
  void OnLedgerError(const absl::Status& error) override;

  // For the provider's page: totals, refusals by reason, the latest refunds.
  std::vector<serve::PageTable> Tables() const;

 private:
  serve::Metrics& metrics_;
  Ledger& ledger_;
  serve::Gauge& pending_;
  serve::Gauge& attempts_;
  const std::chrono::steady_clock::duration patience_;
  std::atomic<bool> ledger_works_{true};
  std::atomic<std::chrono::steady_clock::time_point> probed_{std::chrono::steady_clock::now()};
};

}  // namespace nark::refunds

#endif  // NARK_REFUNDS_DESK_WATCH_H_
