#ifndef NARK_RECEIVER_BAD_HEADERS_H_
#define NARK_RECEIVER_BAD_HEADERS_H_

#include <cstdint>
#include <vector>

#include "absl/container/flat_hash_set.h"
#include "common/base/bytes.h"
#include "common/base/clock.h"

namespace nark::receiver {

// What headers that do not verify may cost. One that failed is known again
// without another check; how many different ones may fail in a second is
// limited. Headers that verify cost nothing here. One thread only.
class BadHeaders {
 public:
  explicit BadHeaders(uint32_t per_second) : per_second_(per_second), allowance_(per_second) {}

  bool Known(const Digest& hash) const { return failed_.contains(hash); }
  // Whether one more may be checked.
  bool MayCheck(Timestamp now);
  void OnFailed(const Digest& hash);

 private:
  static constexpr size_t kRemembered = 4096;
  const uint32_t per_second_;
  double allowance_;
  Timestamp refilled_;
  absl::flat_hash_set<Digest> failed_;
  std::vector<Digest> ring_;
  size_t oldest_ = 0;
};

}  // namespace nark::receiver

#endif  // NARK_RECEIVER_BAD_HEADERS_H_
