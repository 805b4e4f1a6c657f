#ifndef NARK_COMMON_OBJECT_ID_SET_H_
#define NARK_COMMON_OBJECT_ID_SET_H_

#include <cstddef>
#include <cstdint>
#include <map>

namespace nark {

// A set of ADU ids, kept as sorted, disjoint ranges that do not touch: memory
// follows the gaps, not the ids. Thread-compatible.
class IdSet {
 public:
  bool Contains(uint64_t id) const;
  // How many ids there are, and how many between first and last, both included.
  uint64_t size() const { return CountIn(0, UINT64_MAX); }
  uint64_t CountIn(uint64_t first, uint64_t last) const;
  // Inserts first..last, both included, first <= last; what is there stays.
  void Insert(uint64_t first, uint64_t last);
  void Insert(uint64_t id) { Insert(id, id); }
  // What is not there stays away.
  void Remove(uint64_t id);

  // First id of each range to its last.
  const std::map<uint64_t, uint64_t>& ranges() const { return ranges_; }
  bool empty() const { return ranges_.empty(); }

  friend bool operator==(const IdSet&, const IdSet&) = default;

 private:
  std::map<uint64_t, uint64_t> ranges_;
};

}  // namespace nark

#endif  // NARK_COMMON_OBJECT_ID_SET_H_
