#ifndef NARK_COMMON_SCHEDULE_TESTING_H_
#define NARK_COMMON_SCHEDULE_TESTING_H_

#include <gtest/gtest.h>

#include <algorithm>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "common/base/bytes.h"
#include "common/base/status.h"
#include "common/schedule/generator.h"

namespace nark::schedule {

inline SecretBytes RootOf(uint8_t fill) {
  SecretBytes root(32);
  std::fill(root.RevealMutable().begin(), root.RevealMutable().end(), fill);
  return root;
}

inline const Generator& Find(std::string_view id) { return **FindGenerator(id); }

inline std::vector<Node> Copy(const std::vector<Node>& nodes) {
  std::vector<Node> copies;
  for (const Node& node : nodes) copies.push_back({node.level, node.prefix, node.key.Clone()});
  return copies;
}

inline std::unique_ptr<KeySource> Open(std::string_view id, uint32_t depth,
                                       std::vector<Node> nodes) {
  auto source = Find(id).Open({std::string(id), depth}, std::move(nodes));
  EXPECT_TRUE(source.ok()) << source.status();
  return *std::move(source);
}

// A source of every leaf.
inline std::unique_ptr<KeySource> OpenRoot(std::string_view id, uint32_t depth,
                                           const SecretBytes& root) {
  std::vector<Node> nodes;
  nodes.push_back({0, 0, root.Clone()});
  return Open(id, depth, std::move(nodes));
}

inline std::string LeafHex(KeySource& source, uint64_t id) {
  SecretBytes leaf;
  const absl::Status status = source.Leaf(id, leaf);
  return status.ok() ? ToHex(leaf.Reveal()) : std::string(Std(status.message()));
}

inline absl::StatusCode LeafCode(KeySource& source, uint64_t id) {
  SecretBytes leaf;
  return source.Leaf(id, leaf).code();
}

}  // namespace nark::schedule

#endif  // NARK_COMMON_SCHEDULE_TESTING_H_
