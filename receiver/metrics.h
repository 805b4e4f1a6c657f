#ifndef NARK_RECEIVER_METRICS_H_
#define NARK_RECEIVER_METRICS_H_

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "common/serve/metrics.h"
#include "receiver/statistics.h"

namespace nark::receiver {

// The numbers of a reception as nark_receiver_* for Prometheus. Thread-safe.
class ReceiverMetrics {
 public:
  // `metrics` is collected no more once this is gone.
  explicit ReceiverMetrics(serve::Metrics& metrics);
  // Shown from now on.
  void Publish(const Statistics& statistics);

 private:
  void Collect();
  serve::Metrics& metrics_;
  absl::Mutex mutex_;
  Statistics latest_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace nark::receiver

#endif  // NARK_RECEIVER_METRICS_H_
