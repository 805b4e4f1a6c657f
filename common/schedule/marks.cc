// Briscoe's MARKS (Zero Side Effect Multicast Key Management Using Arbitrarily
// Revealed Sequences, 1999): a binary tree of hashes (Goldreich, Goldwasser and
// Micali, 1986) whose leaves are the keys.
//   left child  SHA-256(node || 0), right child SHA-256(node || 1)
// An id's bits, most significant first, are the way from the root to its leaf.

#include <algorithm>
#include <bit>
#include <utility>

#include "common/base/status.h"
#include "common/crypto/sha256_block.h"
#include "common/schedule/registered.h"

namespace nark::schedule {
namespace {

// The first id below a node, and the last.
uint64_t FirstId(const Node& node, uint32_t depth) { return node.prefix << (depth - node.level); }
uint64_t LastId(const Node& node, uint32_t depth) {
  return FirstId(node, depth) + (uint64_t{1} << (depth - node.level)) - 1;
}

// Sorts; drops nodes that lie below others, for these derive the same keys.
absl::Status KeepHighest(uint32_t depth, std::vector<Node>& nodes) {
  std::sort(nodes.begin(), nodes.end(), [depth](const Node& a, const Node& b) {
    return std::pair(FirstId(a, depth), a.level) < std::pair(FirstId(b, depth), b.level);
  });
  std::vector<Node> kept;
  for (Node& node : nodes) {
    if (kept.empty() || FirstId(node, depth) > LastId(kept.back(), depth)) {
      kept.push_back(std::move(node));
    } else if (kept.back().level == node.level && !(kept.back().key == node.key)) {
      return absl::InvalidArgumentError("two seed nodes for one place contradict each other");
    }
  }
  nodes = std::move(kept);
  return absl::OkStatus();
}

// Keeps the way to the last leaf: the next one shares all of it but the end.
class MarksSource final : public KeySource {
 public:
  MarksSource(uint32_t depth, std::vector<Node> nodes)
      : depth_(depth), nodes_(std::move(nodes)), path_((depth + 1) * kNodeBytes) {}

  absl::Status Leaf(uint64_t adu_id, SecretBytes& leaf) override {
    uint32_t known = 0;  // the deepest level of path_ that lies on the way to adu_id
    if (node_ != nullptr && IsBelow(*node_, adu_id)) {
      known = std::max<uint32_t>(node_->level, depth_ - std::bit_width(adu_id ^ last_id_));
    } else {
      const Node* node = FindNode(adu_id);
      if (node == nullptr) {
        return absl::OutOfRangeError("no key was granted for ADU " + std::to_string(adu_id));
      }
      node_ = node;
      known = node->level;
      std::copy_n(node->key.Reveal().data(), kNodeBytes, At(known));
    }
    for (; known < depth_; ++known) {
      const auto bit = static_cast<uint8_t>(adu_id >> (depth_ - known - 1) & 1);
      hash_.Hash(At(known), bit, At(known + 1));
    }
    last_id_ = adu_id;
    if (leaf.size() != kNodeBytes) leaf = SecretBytes(kNodeBytes);
    std::copy_n(At(depth_), kNodeBytes, leaf.RevealMutable().data());
    return absl::OkStatus();
  }

 private:
  uint8_t* At(uint32_t level) { return path_.RevealMutable().data() + level * kNodeBytes; }

  bool IsBelow(const Node& node, uint64_t adu_id) const {
    return adu_id >> (depth_ - node.level) == node.prefix;
  }

  const Node* FindNode(uint64_t adu_id) const {
    auto after = std::upper_bound(
        nodes_.begin(), nodes_.end(), adu_id,
        [this](uint64_t id, const Node& node) { return id < FirstId(node, depth_); });
    if (after == nodes_.begin()) return nullptr;
    const Node& node = *std::prev(after);
    return IsBelow(node, adu_id) ? &node : nullptr;
  }

  const uint32_t depth_;
  const std::vector<Node> nodes_;  // ascending, disjoint
  SecretBytes path_;               // a node a level
  const Node* node_ = nullptr;     // on whose path last_id_ lies
  uint64_t last_id_ = 0;
  Sha256Node hash_;
};

// Walks from the root along the borders of a range and collects the highest nodes
// inside it.
class CoverWalk {
 public:
  CoverWalk(uint32_t depth, uint64_t first, uint64_t last)
      : depth_(depth), first_(first), last_(last) {}

  std::vector<Node> From(const SecretBytes& root) {
    Visit({0, 0, root.Clone()});
    return std::move(cover_);
  }

 private:
  void Visit(Node node) {
    const uint64_t first = FirstId(node, depth_);
    const uint64_t last = LastId(node, depth_);
    if (last < first_ || first > last_) return;
    if (first >= first_ && last <= last_) {
      cover_.push_back(std::move(node));
      return;
    }
    for (uint8_t bit : {uint8_t{0}, uint8_t{1}}) {
      Node child{node.level + 1, node.prefix << 1 | bit, SecretBytes(kNodeBytes)};
      hash_.Hash(node.key.Reveal().data(), bit, child.key.RevealMutable().data());
      Visit(std::move(child));
    }
  }

  const uint32_t depth_;
  const uint64_t first_;
  const uint64_t last_;
  std::vector<Node> cover_;
  Sha256Node hash_;
};

class MarksGenerator final : public Generator {
 public:
  std::string_view id() const override { return "marks"; }
  Properties properties() const override {
    return {.access = Access::kRandom,
            .range_grants = RangeGrants::kExact,
            .secure = true,
            .max_depth = kMaxDepth};
  }

 private:
  absl::StatusOr<std::vector<Node>> CoverRange(const SecretBytes& sender_root,
                                               const Parameters& parameters, uint64_t first,
                                               uint64_t last) const override {
    return CoverWalk(parameters.depth, first, last).From(sender_root);
  }

  absl::StatusOr<std::unique_ptr<KeySource>> OpenNodes(const Parameters& parameters,
                                                       std::vector<Node> nodes) const override {
    RETURN_IF_ERROR(KeepHighest(parameters.depth, nodes));
    return std::unique_ptr<KeySource>(
        std::make_unique<MarksSource>(parameters.depth, std::move(nodes)));
  }
};

}  // namespace

const Generator& Marks() {
  static const MarksGenerator generator;
  return generator;
}

}  // namespace nark::schedule
