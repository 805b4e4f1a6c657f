#ifndef NARK_COMMON_SERVE_LOG_H_
#define NARK_COMMON_SERVE_LOG_H_

#include <string_view>

#include "absl/status/status.h"

namespace nark::serve {

// Sends spdlog's default logger to stderr through a queue of its own thread, so
// that no request waits for a terminal; where the queue (8,192 lines) is full,
// the oldest lines go. `level`: trace debug info warning error off. `format`:
// "text" ("2026-01-31T12:00:00.000Z info nark-sender: ...") or "json" (one object
// a line: time, level, program, message). INVALID_ARGUMENT for others. Once, in main.
absl::Status StartLog(std::string_view program, std::string_view level, std::string_view format);

// Writes out what is queued. Last thing in main.
void StopLog();

}  // namespace nark::serve

#endif  // NARK_COMMON_SERVE_LOG_H_
