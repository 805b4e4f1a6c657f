#ifndef NARK_RECEIVER_JOIN_OUTPUTS_H_
#define NARK_RECEIVER_JOIN_OUTPUTS_H_

#include <chrono>
#include <cstdint>
#include <set>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "common/net/datagram_io.h"
#include "receiver/output.h"

namespace nark::receiver {

// Where a join puts what it plays, as --output says. Each is made at once, and truncated
// where it is a file.
struct JoinOutputs {
  OutputSet set;
  std::chrono::microseconds spread{0};  // taken off the play-out delay for UDP
  std::set<uint32_t> sub_sessions;      // that one of them takes

  // Standard output where `texts` is empty, unless that is a terminal. INVALID_ARGUMENT, and
  // what OpenOutput says.
  absl::Status Open(std::vector<std::string> texts, std::chrono::microseconds playout_delay,
                    const net::Notify& notify);
};

// Whether one of them is standard output.
bool StandardOutputIsMedia(const std::vector<std::string>& texts);

}  // namespace nark::receiver

#endif  // NARK_RECEIVER_JOIN_OUTPUTS_H_
