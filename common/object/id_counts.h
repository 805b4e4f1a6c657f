#ifndef NARK_COMMON_OBJECT_ID_COUNTS_H_
#define NARK_COMMON_OBJECT_ID_COUNTS_H_

#include <cstdint>
#include <vector>

#include "common/object/id_set.h"

namespace nark {

// Counts the ids of a set between two of them in logarithmic time: for who asks one set
// often. Keeps what the set was when it was made. Thread-compatible.
class IdCounts {
 public:
  IdCounts() = default;
  explicit IdCounts(const IdSet& ids);

  uint64_t size() const { return size_; }
  // Of first to last, both included.
  uint64_t CountIn(uint64_t first, uint64_t last) const;
  // Of those that `others` has too; logarithmic for each of its ranges.
  uint64_t CountIn(const IdSet& others) const;

 private:
  struct Range {
    uint64_t first = 0;
    uint64_t last = 0;
    uint64_t before = 0;  // ids of the set below `first`
  };
  // Ids of the set below `id`.
  uint64_t Below(uint64_t id) const;

  std::vector<Range> ranges_;
  uint64_t size_ = 0;
};

}  // namespace nark

#endif  // NARK_COMMON_OBJECT_ID_COUNTS_H_
