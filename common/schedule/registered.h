#ifndef NARK_COMMON_SCHEDULE_REGISTERED_H_
#define NARK_COMMON_SCHEDULE_REGISTERED_H_

#include "absl/status/status.h"
#include "common/schedule/generator.h"

namespace nark::schedule {

// The generators of the registry. Each lives as long as the process.
const Generator& Marks();
const Generator& HkdfLeaves();

inline constexpr size_t kNodeBytes = 32;

// What every generator checks alike.
absl::Status CheckDepth(const Parameters& parameters);
absl::Status CheckRange(const Parameters& parameters, uint64_t first, uint64_t last);
absl::Status CheckNode(const Parameters& parameters, const Node& node);
absl::Status CheckRoot(const SecretBytes& sender_root);

}  // namespace nark::schedule

#endif  // NARK_COMMON_SCHEDULE_REGISTERED_H_
