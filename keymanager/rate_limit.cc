#include "keymanager/rate_limit.h"

#include <algorithm>
#include <chrono>

namespace nark::keymanager {

bool RateLimit::Allow(const Digest& secure_space_id, Timestamp now) {
  Bucket bucket = buckets_.Find(secure_space_id).value_or(Bucket{.tokens = rate_.burst, .at = now});
  // A clock that was set back gives nothing and takes nothing.
  const double passed = std::max(0.0, std::chrono::duration<double>(now - bucket.at).count());
  bucket.tokens = std::min(rate_.burst, bucket.tokens + passed * rate_.per_second);
  bucket.at = now;
  const bool allowed = bucket.tokens >= 1;
  if (allowed) bucket.tokens -= 1;
  buckets_.Insert(secure_space_id, bucket);
  return allowed;
}

}  // namespace nark::keymanager
