#include "common/object/id_set.h"

#include <algorithm>
#include <iterator>

namespace nark {

bool IdSet::Contains(uint64_t id) const {
  auto after = ranges_.upper_bound(id);
  return after != ranges_.begin() && std::prev(after)->second >= id;
}

uint64_t IdSet::CountIn(uint64_t first, uint64_t last) const {
  uint64_t count = 0;
  auto range = ranges_.upper_bound(first);
  if (range != ranges_.begin()) --range;
  for (; range != ranges_.end() && range->first <= last; ++range) {
    if (range->second < first) continue;
    count += std::min(range->second, last) - std::max(range->first, first) + 1;
  }
  return count;
}

void IdSet::Insert(uint64_t first, uint64_t last) {
  // Most come in order.
  if (ranges_.empty() || ranges_.rbegin()->second < first - (first > 0 ? 1 : 0)) {
    ranges_.emplace_hint(ranges_.end(), first, last);
    return;
  }
  // The range before may reach into the new one or touch it; `first - 1` would
  // wrap at 0, `second + 1` cannot: a range before ends below `first`.
  auto next = ranges_.upper_bound(first);
  auto grown = ranges_.end();
  if (next != ranges_.begin()) {
    auto before = std::prev(next);
    if (before->second >= last) return;
    if (before->second >= first || before->second + 1 == first) grown = before;
  }
  // Swallow every range that begins inside or right behind the new one.
  while (next != ranges_.end() && (next->first <= last || next->first - 1 == last)) {
    last = std::max(last, next->second);
    next = ranges_.erase(next);
  }
  if (grown != ranges_.end()) {
    grown->second = last;  // ids come in order, and then this is all
  } else {
    ranges_.emplace_hint(next, first, last);
  }
}

void IdSet::Remove(uint64_t id) {
  auto range = ranges_.upper_bound(id);
  if (range == ranges_.begin() || (--range)->second < id) return;
  const auto [first, last] = *range;
  if (last != id) range = ranges_.emplace_hint(std::next(range), id + 1, last);
  auto before = last != id ? std::prev(range) : range;
  if (first == id) {
    ranges_.erase(before);
  } else {
    before->second = id - 1;
  }
}

}  // namespace nark
