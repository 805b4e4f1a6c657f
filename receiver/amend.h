#ifndef NARK_RECEIVER_AMEND_H_
#define NARK_RECEIVER_AMEND_H_

#include <chrono>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "common/base/clock.h"
#include "common/crypto/random.h"
#include "receiver/membership.h"
#include "securespace/secure_space.h"

namespace nark::receiver {

// What `nark-receiver amend` was told.
struct AmendSettings {
  std::string session_path;
  std::string secure_space;  // DIR or unix:PATH
  std::string voucher_path;
  std::vector<std::string> key_managers;
  KeyManagerTransport transport = KeyManagerTransport::kTls;
  std::chrono::microseconds timeout = std::chrono::seconds(10);
  // Of a secure space that is opened here.
  securespace::InsecureSessions insecure = securespace::InsecureSessions::kRefuse;
};

// Gets the grant of one more voucher and installs it, while a join plays (through
// its socket) or not. Says on stdout whether it is new. Errors are one line;
// IsRemote where a key manager refused or was not reached.
absl::Status RunAmend(const AmendSettings& settings, Clock& clock, Random& random);

}  // namespace nark::receiver

#endif  // NARK_RECEIVER_AMEND_H_
