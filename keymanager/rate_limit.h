#ifndef NARK_KEYMANAGER_RATE_LIMIT_H_
#define NARK_KEYMANAGER_RATE_LIMIT_H_

#include <cstddef>

#include "common/base/bytes.h"
#include "common/base/clock.h"
#include "keymanager/bounded_cache.h"

namespace nark::keymanager {

// How often one secure space may join: a token bucket each. Soft: what a
// replica forgets costs it a little work, nothing else.
struct Rate {
  double burst = 20;      // joins at once
  double per_second = 1;  // and after that
};

// Thread-safe; two joins of one secure space at the same instant may count as one.
class RateLimit {
 public:
  RateLimit(Rate rate, size_t capacity) : rate_(rate), buckets_(capacity) {}

  // Whether this join may be served; counts it if so.
  bool Allow(const Digest& secure_space_id, Timestamp now);

 private:
  struct Bucket {
    double tokens;
    Timestamp at;
  };
  const Rate rate_;
  BoundedCache<Bucket> buckets_;
};

}  // namespace nark::keymanager

#endif  // NARK_KEYMANAGER_RATE_LIMIT_H_
