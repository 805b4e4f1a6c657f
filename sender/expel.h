#ifndef NARK_SENDER_EXPEL_H_
#define NARK_SENDER_EXPEL_H_

#include <chrono>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "common/base/clock.h"
#include "nark/v1/sender_control.pb.h"

namespace nark::sender {

// What `nark-sender expel` and `readmit` were told.
struct ExpelSettings {
  std::vector<std::string> controls;  // HOST:PORT of running senders, at least one
  std::string provider;               // folder: its control role, root and TLS CA
  std::string member;                 // a secure space's id, hexadecimal, or a group's
  std::string group;                  // a group's id, instead of a member's
  v1::ControlAction action = v1::CONTROL_ACTION_STOP;
  std::chrono::microseconds timeout{std::chrono::seconds(10)};
};

// Signs the order for the session that each sender is in, hands it over, and prints a
// line for each that took it. One that does not take it keeps none of the others from
// it, and the error names all those; errors of senders are remote (IsRemote).
absl::Status RunExpel(const ExpelSettings& settings, Clock& clock);

}  // namespace nark::sender

#endif  // NARK_SENDER_EXPEL_H_
