#ifndef NARK_SECURESPACE_ROLLBACK_COUNTER_H_
#define NARK_SECURESPACE_ROLLBACK_COUNTER_H_

#include <cstdint>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/base/bytes.h"

namespace nark::securespace {

// A counter outside of the state's storage that nobody can turn back. One thread only.
class RollbackCounter {
 public:
  virtual ~RollbackCounter() = default;
  // Tells this counter from every other; the same for its whole life.
  virtual Digest identity() const = 0;
  // UNAVAILABLE where it cannot be reached: then it is to be opened anew.
  // FAILED_PRECONDITION where it is gone or another stands in its place.
  virtual absl::StatusOr<uint64_t> Read() = 0;
  // Adds one. Durable on return; after an error it may have been added or not.
  virtual absl::Status Increment() = 0;
};

}  // namespace nark::securespace

#endif  // NARK_SECURESPACE_ROLLBACK_COUNTER_H_
