#ifndef NARK_COMMON_SERVE_LOG_H_
#define NARK_COMMON_SERVE_LOG_H_

#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "common/base/call_ids.h"

namespace nark::serve {

// Sends spdlog's default logger to stderr through a queue of its own thread, so
// that no request waits for a terminal; where the queue (8,192 lines) is full,
// the oldest lines go. `level`: trace debug info warning error off. `format`:
// "text" ("2026-01-31T12:00:00.000Z info nark-sender: ...") or "json" (one object
// a line: time, level, program, message, and what LogFields tells). INVALID_ARGUMENT for others.
// Once, in main.
absl::Status StartLog(std::string_view program, std::string_view level, std::string_view format);

// While it lives, LogFields of this thread tell of the call that these ids name.
class CallScope {
 public:
  // `ids` must outlive it. Scopes of one thread do not overlap.
  explicit CallScope(const CallIds& ids);
  ~CallScope();
  CallScope(const CallScope&) = delete;
  CallScope& operator=(const CallScope&) = delete;
};

// To be logged behind a message: request_id and trace_id of the call that this thread works
// on, as far as they are known. In text " request_id=..." follows, in JSON they are members of
// the line's object.
std::string LogFields();

// Writes out what is queued. Last thing in main.
void StopLog();

}  // namespace nark::serve

#endif  // NARK_COMMON_SERVE_LOG_H_
