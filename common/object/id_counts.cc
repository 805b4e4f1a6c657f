#include "common/object/id_counts.h"

#include <algorithm>
#include <iterator>
#include <limits>

namespace nark {

IdCounts::IdCounts(const IdSet& ids) {
  ranges_.reserve(ids.ranges().size());
  for (const auto& [first, last] : ids.ranges()) {
    ranges_.push_back({first, last, size_});
    size_ += last - first + 1;
  }
}

uint64_t IdCounts::Below(uint64_t id) const {
  const auto after =
      std::lower_bound(ranges_.begin(), ranges_.end(), id,
                       [](const Range& range, uint64_t i) { return range.first < i; });
  if (after == ranges_.begin()) return 0;
  const Range& range = *std::prev(after);
  return range.before + std::min(id - range.first, range.last - range.first + 1);
}

uint64_t IdCounts::CountIn(uint64_t first, uint64_t last) const {
  const uint64_t to = last == std::numeric_limits<uint64_t>::max() ? size_ : Below(last + 1);
  return to - Below(first);
}

uint64_t IdCounts::CountIn(const IdSet& others) const {
  uint64_t count = 0;
  for (const auto& [first, last] : others.ranges()) count += CountIn(first, last);
  return count;
}

}  // namespace nark
