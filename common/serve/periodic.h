#ifndef NARK_COMMON_SERVE_PERIODIC_H_
#define NARK_COMMON_SERVE_PERIODIC_H_

#include <chrono>
#include <functional>
#include <thread>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"

namespace nark::serve {

// Does something at once, and again and again, in a thread of its own: what may hang, and must
// not keep others.
class Periodic {
 public:
  // `interval`: from the end of one time to the next.
  Periodic(std::chrono::milliseconds interval, std::function<void()> work);
  // Waits for what is being done.
  ~Periodic();
  Periodic(const Periodic&) = delete;
  Periodic& operator=(const Periodic&) = delete;

 private:
  absl::Mutex mutex_;
  bool stopping_ ABSL_GUARDED_BY(mutex_) = false;
  std::thread thread_;
};

}  // namespace nark::serve

#endif  // NARK_COMMON_SERVE_PERIODIC_H_
