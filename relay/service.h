#ifndef NARK_RELAY_SERVICE_H_
#define NARK_RELAY_SERVICE_H_

#include <chrono>
#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/base/clock.h"
#include "common/crypto/random.h"
#include "common/serve/shutdown.h"
#include "relay/client/token.h"

namespace nark::relay {

struct RelayOptions {
  std::vector<std::string> sessions;  // *.nark
  std::vector<std::string> inputs;    // udp://, file: or relay://; empty: the sessions' own
  std::vector<std::string> outputs;   // udp:// or file:
  std::string listen;                 // HOST:PORT; empty: no subscribers
  std::vector<std::string> tokens;    // files, or folders of *.token
  std::chrono::seconds lease{30};
  uint64_t subscribers = 1000;
  uint64_t per_address = 64;
  uint64_t per_token = 256;
  uint64_t bits_per_second = 0;                                  // of each subscriber; 0: no limit
  std::chrono::microseconds timeout = std::chrono::seconds(10);  // for a relay:// input
  std::chrono::microseconds drain = std::chrono::seconds(5);
  std::string http;
  std::string ready_file;
};

// Relays until SIGINT or SIGTERM. `clock` never jumps; `wall` judges the sessions'
// certificates. Errors are one line; IsRemote where an upstream relay refused.
absl::Status RunRelay(const RelayOptions& options, serve::Signals& signals, Clock& clock,
                      Clock& wall, Random& random);

// The tokens of files and of folders' *.token. The message names the file at fault.
absl::StatusOr<std::vector<Token>> LoadTokens(const std::vector<std::string>& paths);

}  // namespace nark::relay

#endif  // NARK_RELAY_SERVICE_H_
