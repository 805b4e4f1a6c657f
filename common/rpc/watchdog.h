#ifndef NARK_COMMON_RPC_WATCHDOG_H_
#define NARK_COMMON_RPC_WATCHDOG_H_

#include <atomic>
#include <chrono>
#include <string>
#include <thread>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"

namespace nark::rpc {

// Whether the server at `address` ("HOST:PORT") takes a new connection and does
// something with it: it is sent bytes that are neither TLS nor HTTP/2, and must
// speak or hang up within `patience`. That the kernel accepts is not enough.
enum class Pulse { kAlive, kSilent };
Pulse FeelPulse(const std::string& address, std::chrono::milliseconds patience);

// Notices a listener that no longer accepts, as gRPC's does for good once file
// descriptors ran out (CVE-2023-4785): dials the own address from a thread of its
// own. Thread-safe.
class Watchdog {
 public:
  // Of a server that listens on all interfaces ("0.0.0.0", "[::]") the loopback
  // address is dialled.
  Watchdog(std::string address, std::chrono::milliseconds interval);
  ~Watchdog();
  Watchdog(const Watchdog&) = delete;
  Watchdog& operator=(const Watchdog&) = delete;

  // True after three silent dials in a row, until one is answered.
  bool wedged() const { return silent_ >= 3; }

 private:
  void Run();
  const std::string address_;
  const std::chrono::milliseconds interval_;
  std::atomic<int> silent_{0};
  absl::Mutex mutex_;
  bool stop_ ABSL_GUARDED_BY(mutex_) = false;
  std::thread thread_;
};

}  // namespace nark::rpc

#endif  // NARK_COMMON_RPC_WATCHDOG_H_
