#ifndef NARK_COMMON_SERVE_SHUTDOWN_H_
#define NARK_COMMON_SERVE_SHUTDOWN_H_

#include <chrono>
#include <memory>
#include <optional>

#include "absl/status/statusor.h"

namespace nark::serve {

// Turns SIGINT and SIGTERM (end) and SIGHUP (reload) into something to wait for.
// Signals are taken through a descriptor, so nothing runs inside a handler.
// SIGPIPE is ignored: a closed pipe is an error of write(2).
//
// Also speaks to systemd where it started the process: that the loop which waits here is
// alive (WatchdogSec=), and that it ends (sd_notify(3)).
class Signals {
 public:
  enum class Event { kShutdown, kReload };

  // Blocks the signals in the calling thread and in all that it starts later: to
  // be called first thing in main. One per process.
  static absl::StatusOr<std::unique_ptr<Signals>> Take();
  ~Signals();
  Signals(const Signals&) = delete;
  Signals& operator=(const Signals&) = delete;

  // Readable when Next(0) has something; for poll loops.
  int fd() const { return fd_; }

  // The next signal, waiting at most `timeout`; negative waits for ever. One
  // thread at a time.
  std::optional<Event> Next(std::chrono::milliseconds timeout);

  // For loops that wait elsewhere, on fd() among others: says that they live, as Next
  // does, and returns the longest time until they must say so again. Cheap. The same thread
  // as Next.
  std::chrono::milliseconds Beat();

 private:
  Signals(int fd, std::chrono::milliseconds watchdog) : fd_(fd), watchdog_(watchdog) {}
  int fd_;
  std::chrono::milliseconds watchdog_;  // 0: nobody watches
  std::chrono::steady_clock::time_point beat_at_;
};

}  // namespace nark::serve

#endif  // NARK_COMMON_SERVE_SHUTDOWN_H_
