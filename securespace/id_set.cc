#include "securespace/id_set.h"

#include <algorithm>
#include <iterator>

namespace nark::securespace {

bool IdSet::Contains(uint64_t id) const {
  auto after = ranges_.upper_bound(id);
  return after != ranges_.begin() && std::prev(after)->second >= id;
}

void IdSet::Insert(uint64_t first, uint64_t last) {
  // The range before may reach into the new one or touch it; `first - 1` would
  // wrap at 0, `second + 1` cannot: a range before ends below `first`.
  auto next = ranges_.upper_bound(first);
  if (next != ranges_.begin()) {
    auto before = std::prev(next);
    if (before->second >= last) return;
    if (before->second >= first || before->second + 1 == first) {
      first = before->first;
      next = before;
    }
  }
  // Swallow every range that begins inside or right behind the new one.
  while (next != ranges_.end() && (next->first <= last || next->first - 1 == last)) {
    last = std::max(last, next->second);
    next = ranges_.erase(next);
  }
  ranges_.emplace_hint(next, first, last);
}

}  // namespace nark::securespace
