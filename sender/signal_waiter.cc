#include "sender/signal_waiter.h"

#include <poll.h>

#include <algorithm>
#include <chrono>

namespace nark::sender {

Wake SignalWaiter::Wait(std::optional<Timestamp> due, int descriptor) {
  for (;;) {
    if (stopped_) return Wake::kStop;
    pollfd watched[] = {{.fd = signals_.fd(), .events = POLLIN, .revents = 0},
                        {.fd = descriptor, .events = POLLIN, .revents = 0}};
    // A day where nothing else wakes it: no time_t overflows.
    std::chrono::nanoseconds left =
        std::min<std::chrono::milliseconds>(signals_.Beat(), std::chrono::hours(24));
    if (due.has_value()) {
      left = std::clamp<std::chrono::nanoseconds>(*due - Now(), std::chrono::nanoseconds(0), left);
    }
    const timespec timeout{.tv_sec = static_cast<time_t>(left.count() / 1'000'000'000),
                           .tv_nsec = static_cast<long>(left.count() % 1'000'000'000)};
    const int ready = ::ppoll(watched, 2, &timeout, nullptr);
    if (ready == 0) {
      if (due.has_value() && Now() >= *due) return Wake::kDue;
      continue;
    }
    if (watched[0].revents != 0) {
      std::optional<serve::Signals::Event> event = signals_.Next(std::chrono::milliseconds(0));
      // A sender has nothing to reload.
      stopped_ = event == serve::Signals::Event::kShutdown;
      continue;
    }
    if (ready > 0 && watched[1].revents != 0) return Wake::kInput;
  }
}

}  // namespace nark::sender
