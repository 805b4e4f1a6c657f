#ifndef NARK_COMMON_SCHEDULE_REGISTERED_H_
#define NARK_COMMON_SCHEDULE_REGISTERED_H_

#include <memory>

#include "absl/status/status.h"
#include "common/schedule/generator.h"

namespace nark::schedule {

// The generators of the registry. Each lives as long as the process.
const Generator& Marks();
const Generator& HkdfLeaves();
const Generator& HashChain();
const Generator& LogisticMap();

inline constexpr size_t kNodeBytes = 32;
// The depth of generators that reach every id at once.
inline constexpr uint32_t kMaxDepth = 63;

// What every generator checks alike.
absl::Status CheckDepth(const Parameters& parameters, uint32_t max_depth);
absl::Status CheckRange(const Parameters& parameters, uint64_t first, uint64_t last);
absl::Status CheckNode(const Parameters& parameters, const Node& node);
absl::Status CheckRoot(const SecretBytes& sender_root);

// Of a session in which nothing was granted.
std::unique_ptr<KeySource> NoLeaves();

}  // namespace nark::schedule

#endif  // NARK_COMMON_SCHEDULE_REGISTERED_H_
