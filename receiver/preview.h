#ifndef NARK_RECEIVER_PREVIEW_H_
#define NARK_RECEIVER_PREVIEW_H_

#include <chrono>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "common/base/clock.h"
#include "common/serve/shutdown.h"

namespace nark::receiver {

// What `nark-receiver preview` was told.
struct PreviewSettings {
  std::string session_path;
  std::vector<std::string> outputs;  // empty: standard output
  std::string input;                 // empty: the session's transport
  std::chrono::microseconds playout_delay = std::chrono::milliseconds(500);
  std::chrono::microseconds stop_after_idle{0};  // 0: never
};

// Writes what everybody may see of a session: every intact ADU, in order, with its clear
// bytes as they are and zeros for the others (wire/clear_map.h). Needs no secure space,
// voucher or key manager, and asks for no key. Runs until SIGINT or SIGTERM, or to the
// end of a file, and then says on the log what it wrote. Errors are one line.
absl::Status RunPreview(const PreviewSettings& settings, serve::Signals& signals, Clock& clock);

}  // namespace nark::receiver

#endif  // NARK_RECEIVER_PREVIEW_H_
