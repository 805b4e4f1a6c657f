#ifndef NARK_RECEIVER_JOIN_H_
#define NARK_RECEIVER_JOIN_H_

#include <chrono>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "common/base/clock.h"
#include "common/crypto/random.h"
#include "common/net/play_range.h"
#include "common/serve/shutdown.h"
#include "receiver/membership.h"
#include "securespace/secure_space.h"

namespace nark::receiver {

// What `nark-receiver join` was told.
struct JoinSettings {
  std::string session_path;
  std::string secure_space;  // DIR or unix:PATH
  std::string voucher_path;
  std::vector<std::string> outputs;  // empty: standard output
  std::string input;                 // empty: the session's transport
  net::PlayRange range;              // of a recording
  std::vector<std::string> key_managers;
  KeyManagerTransport transport = KeyManagerTransport::kTls;
  std::chrono::microseconds playout_delay = std::chrono::milliseconds(500);
  std::chrono::microseconds timeout = std::chrono::seconds(10);
  std::chrono::microseconds stop_after_idle{0};  // 0: never
  std::string http;
  // Of a secure space that is opened here.
  securespace::InsecureSessions insecure = securespace::InsecureSessions::kRefuse;
  std::string cache;  // folder for marked blocks; empty: none are kept
  std::string ready_file;
  std::string statistics_file;
  enum class Report { kText, kJson } report = Report::kText;
};

// Joins, plays until SIGINT or SIGTERM, flushes and reports. Errors are one line;
// IsRemote where a key manager or
// a relay refused or was not reached.
absl::Status RunJoin(const JoinSettings& settings, serve::Signals& signals, Clock& clock,
                     Random& random);

}  // namespace nark::receiver

#endif  // NARK_RECEIVER_JOIN_H_
