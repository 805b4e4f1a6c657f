#ifndef NARK_RELAY_METRICS_H_
#define NARK_RELAY_METRICS_H_

#include <array>
#include <cstdint>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "common/serve/http.h"
#include "common/serve/metrics.h"
#include "relay/desk.h"
#include "relay/forwarder.h"

namespace nark::relay {

// What a relay counts, at one moment.
struct Snapshot {
  ForwarderStatistics forwarded;
  std::array<uint64_t, kVerdicts> messages{};
  std::array<uint64_t, kAnswerStatuses> refused{};
  uint64_t subscribers = 0;
  uint64_t unreachable = 0;
  uint64_t lost_in = 0;   // the kernel's receive buffers were full
  uint64_t lost_out = 0;  // refused by the network or by a full buffer
  uint64_t outputs_lost = 0;
  serve::PageTable table;
};

// Shows snapshots to Prometheus and on the page. Thread-safe.
class RelayMetrics {
 public:
  // `metrics` must outlive it, and not show anything afterwards.
  explicit RelayMetrics(serve::Metrics& metrics);
  void Publish(Snapshot snapshot);
  std::vector<serve::PageTable> Tables() const;
  // Pairs of name and value for the page.
  std::vector<std::pair<std::string, std::string>> State() const;

 private:
  void Collect();
  serve::Metrics& metrics_;
  mutable absl::Mutex mutex_;
  Snapshot latest_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace nark::relay

#endif  // NARK_RELAY_METRICS_H_
