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
    timespec timeout{};
    if (due.has_value()) {
      auto left = std::max<std::chrono::nanoseconds>(*due - Now(), std::chrono::nanoseconds(0));
      timeout.tv_sec = static_cast<time_t>(left.count() / 1'000'000'000);
      timeout.tv_nsec = static_cast<long>(left.count() % 1'000'000'000);
    }
    int ready = ::ppoll(watched, 2, due.has_value() ? &timeout : nullptr, nullptr);
    if (ready == 0) return Wake::kDue;
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
