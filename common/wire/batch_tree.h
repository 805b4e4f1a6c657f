#ifndef NARK_COMMON_WIRE_BATCH_TREE_H_
#define NARK_COMMON_WIRE_BATCH_TREE_H_

#include <array>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "common/base/bytes.h"

namespace nark::wire {

// The Merkle tree over the headers of a batch (RFC 6962, 2.1). A node is
// SHA-256(1 || left || right); the last node of an odd level has no sibling and moves
// up as it is. Paths hold siblings of 32 bytes, lowest first.
inline constexpr size_t kTreeHashBytes = 32;

// How many siblings lead from leaf `index` to the root of `count` leaves; index < count.
size_t PathLength(uint32_t index, uint32_t count);
// `path` has PathLength(index, count) siblings.
Digest RootFromPath(Digest leaf, uint32_t index, uint32_t count, ByteView path);
// Levels of the tree, leaves first; the last holds the root alone. At least one leaf.
std::vector<std::vector<Digest>> BuildTree(std::vector<Digest> leaves);

// What is known of one tree: its root, and the nodes of paths that were shown to lead
// there. Takes 33 bytes a node, of which there are less than twice the leaves and one a
// level more, from the beginning. One thread only.
class BatchTree {
 public:
  // `count` leaves, 1 to 1,024.
  BatchTree(uint16_t count, const Digest& root);

  // Whether RootFromPath gives the root, for every leaf and path, but a node that is
  // known ends the hashing: leaves in order cost a node each. What does not lead to the
  // root leaves nothing behind. index < count(), `path` as for RootFromPath.
  bool Contains(const Digest& leaf, uint16_t index, ByteView path);

  uint16_t count() const { return count_; }
  // For statistics and tests.
  uint64_t nodes_hashed() const { return nodes_hashed_; }
  size_t node_limit() const { return nodes_.size(); }

 private:
  static constexpr size_t kMaxLevels = 11;
  size_t At(size_t level, uint32_t position) const { return level_begins_[level] + position; }
  bool HasSibling(size_t level, uint32_t position) const {
    return position % 2 == 1 || position < uint32_t{count_ - 1u} >> level;
  }
  void Learn(size_t level, uint32_t position, ByteView node);
  // Whether `path` continues from a known node as it did when that became known.
  bool Continues(size_t level, uint32_t position, ByteView path) const;

  const uint16_t count_;
  size_t levels_ = 0;
  std::array<uint16_t, kMaxLevels> level_begins_{};
  std::vector<Digest> nodes_;
  // A known node's siblings up to the root are known as well.
  std::vector<bool> known_;
  uint64_t nodes_hashed_ = 0;
};

}  // namespace nark::wire

#endif  // NARK_COMMON_WIRE_BATCH_TREE_H_
