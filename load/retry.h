#ifndef NARK_LOAD_RETRY_H_
#define NARK_LOAD_RETRY_H_

#include <chrono>
#include <cstdint>
#include <optional>

#include "absl/status/status.h"

namespace nark::load {

// When a join that failed may be tried again, as a receiver does: nullopt for a refusal that
// stands (it has a reason, and no RetryInfo). Else how long to wait after attempt number
// `attempt` (1 the first): with RetryInfo from the time it says up to half as much more,
// never less; without, anywhere up to 100 ms, doubling with every attempt, at most a second.
// `uniform` in [0, 1) spreads those who failed together.
std::optional<std::chrono::microseconds> RetryWait(const absl::Status& error, uint64_t attempt,
                                                   double uniform);

}  // namespace nark::load

#endif  // NARK_LOAD_RETRY_H_
