#ifndef NARK_SENDER_EXPEL_H_
#define NARK_SENDER_EXPEL_H_

#include <chrono>
#include <string>

#include "absl/status/status.h"
#include "common/base/clock.h"
#include "nark/v1/sender_control.pb.h"

namespace nark::sender {

// What `nark-sender expel` and `readmit` were told.
struct ExpelSettings {
  std::string control;   // HOST:PORT of a running sender
  std::string provider;  // folder: its control role, root and TLS CA
  std::string member;    // a secure space's id or a group's, hexadecimal
  v1::ControlAction action = v1::CONTROL_ACTION_STOP;
  std::chrono::microseconds timeout{std::chrono::seconds(10)};
};

// Signs the order for the session that the sender is in, hands it over, and prints one
// line. Errors of the sender are remote (IsRemote).
absl::Status RunExpel(const ExpelSettings& settings, Clock& clock);

}  // namespace nark::sender

#endif  // NARK_SENDER_EXPEL_H_
