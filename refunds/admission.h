#ifndef NARK_REFUNDS_ADMISSION_H_
#define NARK_REFUNDS_ADMISSION_H_

#include <algorithm>
#include <cstddef>
#include <memory>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"

namespace nark::refunds {

// Lets so much work in at once as its weights allow; waits for nobody. Thread-safe,
// and outlives its passes.
class Admission {
 public:
  explicit Admission(size_t most) : most_(most) {}

  struct Leave {
    size_t weight = 0;
    void operator()(Admission* admission) const { admission->Return(weight); }
  };
  // Inside until it is destroyed.
  using Pass = std::unique_ptr<Admission, Leave>;

  // Nullptr where there is no room. What weighs more than all goes alone.
  Pass Enter(size_t weight) {
    weight = std::min(weight, most_);
    absl::MutexLock lock(&mutex_);
    if (weight > most_ - inside_) return nullptr;
    inside_ += weight;
    return Pass(this, Leave{weight});
  }

 private:
  void Return(size_t weight) {
    absl::MutexLock lock(&mutex_);
    inside_ -= weight;
  }

  const size_t most_;
  absl::Mutex mutex_;
  size_t inside_ ABSL_GUARDED_BY(mutex_) = 0;
};

}  // namespace nark::refunds

#endif  // NARK_REFUNDS_ADMISSION_H_
