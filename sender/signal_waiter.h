#ifndef NARK_SENDER_SIGNAL_WAITER_H_
#define NARK_SENDER_SIGNAL_WAITER_H_

#include "common/base/steady_clock.h"
#include "common/serve/shutdown.h"
#include "sender/waiter.h"

namespace nark::sender {

// Waits on the real clock, and for SIGINT and SIGTERM. One thread only.
class SignalWaiter final : public Waiter {
 public:
  // `signals` must outlive it.
  explicit SignalWaiter(serve::Signals& signals) : signals_(signals) {}
  Timestamp Now() override { return clock_.Now(); }
  Wake Wait(std::optional<Timestamp> due, int descriptor) override;

 private:
  serve::Signals& signals_;
  SteadyClock clock_;
  bool stopped_ = false;
};

}  // namespace nark::sender

#endif  // NARK_SENDER_SIGNAL_WAITER_H_
