#ifndef NARK_KEYMANAGER_LOGGED_REFUSALS_H_
#define NARK_KEYMANAGER_LOGGED_REFUSALS_H_

#include <array>
#include <chrono>
#include <string_view>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "common/serve/metrics.h"
#include "keymanager/refusal.h"

namespace nark::keymanager {

// Counts every refusal, and logs as many as a person could read: 20 lines a second of what
// strangers may cause at will, and as many of the replica's own failures (kInternal,
// kKeysUnavailable), which nothing else so hides. Logs by spdlog. Thread-safe.
class LoggedRefusals final : public RefusalLog {
 public:
  // `metrics` outlives it.
  explicit LoggedRefusals(serve::Metrics& metrics);

  void OnRefusal(Cause cause, std::string_view detail) override;

 private:
  // So many lines a second.
  class Budget {
   public:
    // How many were not logged before, where one may be logged now; else -1.
    int Take();

   private:
    absl::Mutex mutex_;
    std::chrono::steady_clock::time_point second_ ABSL_GUARDED_BY(mutex_);
    int lines_ ABSL_GUARDED_BY(mutex_) = 0;
  };

  std::array<serve::Counter*, kCauses> counters_{};
  Budget refusals_;
  Budget failures_;
};

}  // namespace nark::keymanager

#endif  // NARK_KEYMANAGER_LOGGED_REFUSALS_H_
