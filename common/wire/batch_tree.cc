#include "common/wire/batch_tree.h"

#include <algorithm>
#include <utility>

#include "common/crypto/hash.h"

namespace nark::wire {
namespace {

constexpr uint8_t kNode[1] = {1};

Digest NodeHash(ByteView left, ByteView right) { return Sha256({kNode, left, right}); }

Digest ParentOf(const Digest& node, uint32_t position, ByteView sibling) {
  return position % 2 == 1 ? NodeHash(sibling, node) : NodeHash(node, sibling);
}

}  // namespace

size_t PathLength(uint32_t index, uint32_t count) {
  size_t length = 0;
  for (uint32_t last = count - 1; last > 0; index /= 2, last /= 2) {
    if (index % 2 == 1 || index < last) ++length;
  }
  return length;
}

Digest RootFromPath(Digest leaf, uint32_t index, uint32_t count, ByteView path) {
  Digest hash = leaf;
  for (uint32_t last = count - 1; last > 0; index /= 2, last /= 2) {
    if (index % 2 == 0 && index == last) continue;
    hash = ParentOf(hash, index, path.first(kTreeHashBytes));
    path = path.subspan(kTreeHashBytes);
  }
  return hash;
}

std::vector<std::vector<Digest>> BuildTree(std::vector<Digest> leaves) {
  std::vector<std::vector<Digest>> levels = {std::move(leaves)};
  while (levels.back().size() > 1) {
    const std::vector<Digest>& below = levels.back();
    std::vector<Digest> level;
    level.reserve((below.size() + 1) / 2);
    for (size_t i = 0; i + 1 < below.size(); i += 2) {
      level.push_back(NodeHash(below[i], below[i + 1]));
    }
    if (below.size() % 2 == 1) level.push_back(below.back());
    levels.push_back(std::move(level));
  }
  return levels;
}

BatchTree::BatchTree(uint16_t count, const Digest& root) : count_(count) {
  size_t nodes = 0;
  for (uint32_t size = count;; size = (size + 1) / 2) {
    level_begins_[levels_++] = static_cast<uint16_t>(nodes);
    nodes += size;
    if (size == 1) break;
  }
  nodes_.resize(nodes);
  known_.resize(nodes);
  Learn(levels_ - 1, 0, root);
}

void BatchTree::Learn(size_t level, uint32_t position, ByteView node) {
  const size_t at = At(level, position);
  std::copy(node.begin(), node.end(), nodes_[at].begin());
  known_[at] = true;
}

bool BatchTree::Continues(size_t level, uint32_t position, ByteView path) const {
  for (; level + 1 < levels_; ++level, position /= 2) {
    if (!HasSibling(level, position)) continue;
    const size_t sibling = At(level, position ^ 1);
    if (!known_[sibling] || !Equal(path.first(kTreeHashBytes), nodes_[sibling])) return false;
    path = path.subspan(kTreeHashBytes);
  }
  return true;
}

bool BatchTree::Contains(const Digest& leaf, uint16_t index, ByteView path) {
  std::array<Digest, kMaxLevels> way;
  ByteView rest = path;
  uint32_t position = index;
  size_t level = 0;
  way[0] = leaf;
  for (; !known_[At(level, position)]; ++level, position /= 2) {
    way[level + 1] = way[level];
    if (!HasSibling(level, position)) continue;
    way[level + 1] = ParentOf(way[level], position, rest.first(kTreeHashBytes));
    ++nodes_hashed_;
    rest = rest.subspan(kTreeHashBytes);
  }
  if (way[level] != nodes_[At(level, position)] || !Continues(level, position, rest)) return false;
  for (size_t below = 0; below < level; ++below) {
    position = uint32_t{index} >> below;
    Learn(below, position, way[below]);
    if (!HasSibling(below, position)) continue;
    Learn(below, position ^ 1, path.first(kTreeHashBytes));
    path = path.subspan(kTreeHashBytes);
  }
  return true;
}

}  // namespace nark::wire
