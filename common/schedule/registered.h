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

absl::Status CheckRange(const Parameters& parameters, uint64_t first, uint64_t last);

// A generator whose every grant is the root.
class RootGenerator : public Generator {
 private:
  absl::StatusOr<std::vector<Node>> CoverRange(const SecretBytes& sender_root,
                                               const Parameters& parameters, uint64_t first,
                                               uint64_t last) const final;
  absl::StatusOr<std::unique_ptr<KeySource>> OpenNodes(const Parameters& parameters,
                                                       std::vector<Node> nodes) const final;
  virtual std::unique_ptr<KeySource> OpenRoot(const Parameters& parameters,
                                              const SecretBytes& root) const = 0;
};

}  // namespace nark::schedule

#endif  // NARK_COMMON_SCHEDULE_REGISTERED_H_
