#include "common/schedule/generator.h"

#include <algorithm>
#include <array>
#include <string>
#include <utility>

#include "common/base/status.h"
#include "common/schedule/registered.h"

namespace nark::schedule {
namespace {

constexpr uint32_t kUsualDepth = 32;

// The registry: one line a generator.
std::array<const Generator*, 4> Registered() {
  return {&Marks(), &HkdfLeaves(), &HashChain(), &LogisticMap()};
}

// Of a session in which nothing was granted.
class EmptySource final : public KeySource {
 public:
  absl::Status Leaf(uint64_t adu_id, SecretBytes&) override {
    return absl::OutOfRangeError("no key was granted for ADU " + std::to_string(adu_id));
  }
};

absl::Status CheckNode(const Parameters& parameters, const Node& node) {
  if (node.level > parameters.depth) {
    return absl::InvalidArgumentError("a seed node below the leaves");
  }
  if (node.prefix >> node.level != 0) {
    return absl::InvalidArgumentError("a seed node whose prefix is longer than its level");
  }
  if (node.key.size() != kNodeBytes) {
    return absl::InvalidArgumentError("a seed node's key has 32 bytes");
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<const Generator*> FindGenerator(std::string_view id) {
  std::string message = "no generator \"" + std::string(id) + "\"; known:";
  for (const Generator* generator : Registered()) {
    if (generator->id() == id) return generator;
    message += " " + std::string(generator->id());
  }
  return absl::InvalidArgumentError(message);
}

std::vector<std::string_view> GeneratorIds() {
  std::vector<std::string_view> ids;
  for (const Generator* generator : Registered()) ids.push_back(generator->id());
  return ids;
}

uint32_t DefaultDepth(const Generator& generator) {
  return std::min(kUsualDepth, generator.properties().max_depth);
}

absl::Status CheckRange(const Parameters& parameters, uint64_t first, uint64_t last) {
  if (first > last) return absl::InvalidArgumentError("a range of ADUs that ends before it begins");
  if (last >> parameters.depth != 0) {
    return absl::OutOfRangeError("ADU " + std::to_string(last) +
                                 " lies beyond the generator's depth of " +
                                 std::to_string(parameters.depth) + " bits");
  }
  return absl::OkStatus();
}

absl::Status Generator::Check(const Parameters& parameters) const {
  const uint32_t max_depth = properties().max_depth;
  if (parameters.depth < 1 || parameters.depth > max_depth) {
    return absl::InvalidArgumentError("the depth of " + parameters.id + " is 1 to " +
                                      std::to_string(max_depth) + ", not " +
                                      std::to_string(parameters.depth));
  }
  return absl::OkStatus();
}

absl::StatusOr<std::vector<Node>> Generator::Cover(const SecretBytes& sender_root,
                                                   const Parameters& parameters, uint64_t first,
                                                   uint64_t last) const {
  RETURN_IF_ERROR(Check(parameters));
  if (sender_root.size() != kNodeBytes) {
    return absl::InvalidArgumentError("a sender's root has 32 bytes");
  }
  RETURN_IF_ERROR(CheckRange(parameters, first, last));
  return CoverRange(sender_root, parameters, first, last);
}

absl::StatusOr<std::unique_ptr<KeySource>> Generator::Open(const Parameters& parameters,
                                                           std::vector<Node> nodes) const {
  RETURN_IF_ERROR(Check(parameters));
  for (const Node& node : nodes) RETURN_IF_ERROR(CheckNode(parameters, node));
  if (nodes.empty()) return std::unique_ptr<KeySource>(std::make_unique<EmptySource>());
  return OpenNodes(parameters, std::move(nodes));
}

absl::StatusOr<std::vector<Node>> RootGenerator::CoverRange(const SecretBytes& sender_root,
                                                            const Parameters&, uint64_t,
                                                            uint64_t) const {
  std::vector<Node> cover;
  cover.push_back({0, 0, sender_root.Clone()});
  return cover;
}

absl::StatusOr<std::unique_ptr<KeySource>> RootGenerator::OpenNodes(const Parameters& parameters,
                                                                    std::vector<Node> nodes) const {
  for (const Node& node : nodes) {
    if (node.level != 0) {
      return absl::InvalidArgumentError(std::string(id()) + " has no nodes but the root");
    }
    if (!(node.key == nodes.front().key)) {
      return absl::InvalidArgumentError("two seed nodes for one place contradict each other");
    }
  }
  return OpenRoot(parameters, nodes.front().key);
}

}  // namespace nark::schedule
