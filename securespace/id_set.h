#ifndef NARK_SECURESPACE_ID_SET_H_
#define NARK_SECURESPACE_ID_SET_H_

#include <cstddef>
#include <cstdint>
#include <map>

namespace nark::securespace {

// A set of ADU ids, kept as sorted, disjoint ranges that do not touch: memory
// follows the gaps, not the ids. Thread-compatible.
class IdSet {
 public:
  bool Contains(uint64_t id) const;
  // Inserts first..last, both included, first <= last; what is there stays.
  void Insert(uint64_t first, uint64_t last);
  void Insert(uint64_t id) { Insert(id, id); }

  // First id of each range to its last.
  const std::map<uint64_t, uint64_t>& ranges() const { return ranges_; }
  bool empty() const { return ranges_.empty(); }

  friend bool operator==(const IdSet&, const IdSet&) = default;

 private:
  std::map<uint64_t, uint64_t> ranges_;
};

}  // namespace nark::securespace

#endif  // NARK_SECURESPACE_ID_SET_H_
