// The generator `hash-chain`: a node an id, each the hash of the one before (Lamport,
// 1981), and a leaf by another hash. Whoever holds the node of an id derives all later
// leaves and no earlier one.
//   next node  SHA-256(node || 2), leaf  SHA-256(node || 3); the root is the node of id 0

#include <algorithm>
#include <memory>
#include <utility>

#include "common/base/status.h"
#include "common/crypto/sha256_block.h"
#include "common/schedule/forward_source.h"

namespace nark::schedule {
namespace {

constexpr uint8_t kNext = 2;
constexpr uint8_t kLeaf = 3;

class HashedChain final : public Chain {
 public:
  void Step(uint8_t* node) override { hash_.Hash(node, kNext, node); }
  void LeafOf(const uint8_t* node, uint8_t* leaf) override { hash_.Hash(node, kLeaf, leaf); }

 private:
  Sha256Node hash_;
};

class HashChainGenerator final : public Generator {
 public:
  std::string_view id() const override { return "hash-chain"; }
  Properties properties() const override {
    return {.access = Access::kForwardOnly,
            .range_grants = RangeGrants::kEverything,
            .secure = true,
            .max_depth = kMaxForwardDepth};
  }

 private:
  // The node of the first id: level is the depth, prefix the id. That of id 0 is the root.
  absl::StatusOr<std::vector<Node>> CoverRange(const SecretBytes& sender_root,
                                               const Parameters& parameters, uint64_t first,
                                               uint64_t) const override {
    Node node{first == 0 ? 0 : parameters.depth, first, sender_root.Clone()};
    HashedChain chain;
    for (uint64_t id = 0; id < first; ++id) chain.Step(node.key.RevealMutable().data());
    std::vector<Node> cover;
    cover.push_back(std::move(node));
    return cover;
  }

  absl::StatusOr<std::unique_ptr<KeySource>> OpenNodes(const Parameters& parameters,
                                                       std::vector<Node> nodes) const override {
    for (const Node& node : nodes) {
      if (node.level != (node.prefix == 0 ? 0 : parameters.depth)) {
        return absl::InvalidArgumentError("hash-chain has no nodes but those of single ids");
      }
    }
    // The earliest gives what the others give.
    const auto earliest =
        std::min_element(nodes.begin(), nodes.end(),
                         [](const Node& a, const Node& b) { return a.prefix < b.prefix; });
    for (const Node& node : nodes) {
      if (node.prefix == earliest->prefix && !(node.key == earliest->key)) {
        return absl::InvalidArgumentError("two seed nodes for one place contradict each other");
      }
    }
    return std::unique_ptr<KeySource>(std::make_unique<ForwardSource>(
        parameters, std::make_unique<HashedChain>(), earliest->prefix, earliest->key));
  }
};

}  // namespace

const Generator& HashChain() {
  static const HashChainGenerator generator;
  return generator;
}

}  // namespace nark::schedule
