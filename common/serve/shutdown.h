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

 private:
  explicit Signals(int fd) : fd_(fd) {}
  int fd_;
};

}  // namespace nark::serve

#endif  // NARK_COMMON_SERVE_SHUTDOWN_H_
