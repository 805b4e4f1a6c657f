#include "common/serve/periodic.h"

#include <utility>

#include "absl/time/time.h"

namespace nark::serve {

Periodic::Periodic(std::chrono::milliseconds interval, std::function<void()> work)
    : thread_([this, interval, work = std::move(work)] {
        for (;;) {
          work();
          absl::MutexLock lock(&mutex_);
          if (mutex_.AwaitWithTimeout(absl::Condition(&stopping_), absl::FromChrono(interval))) {
            return;
          }
        }
      }) {}

Periodic::~Periodic() {
  {
    absl::MutexLock lock(&mutex_);
    stopping_ = true;
  }
  thread_.join();
}

}  // namespace nark::serve
