#ifndef NARK_COMMON_SCHEDULE_GENERATOR_H_
#define NARK_COMMON_SCHEDULE_GENERATOR_H_

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/crypto/secret_bytes.h"

namespace nark::schedule {

// A node of a sender's key tree: every leaf below it can be derived.
struct Node {
  uint32_t level = 0;   // distance from the root
  uint64_t prefix = 0;  // the first `level` bits of every id below
  SecretBytes key;      // 32 bytes
};

// Which generator, and its parameters.
struct Parameters {
  std::string id;
  uint32_t depth = 32;
};

enum class Access { kRandom, kForwardOnly };
enum class RangeGrants { kExact, kEverything };

// What a generator promises; what it cannot promise is asked for explicitly.
struct Properties {
  Access access;
  // kEverything: a grant of one ADU gives others too: all of them, or all later ones.
  RangeGrants range_grants;
  bool secure;
  // The greatest depth: what bounds the work for the last id.
  uint32_t max_depth;
};

// Derives leaf keys from nodes. Remembers what helps with the next leaf, in bounded
// memory, so that ascending ids cost about two steps each. One thread only.
class KeySource {
 public:
  virtual ~KeySource() = default;
  // Writes the 32-byte leaf. OUT_OF_RANGE where no node covers `adu_id`, or it
  // lies beyond the depth.
  virtual absl::Status Leaf(uint64_t adu_id, SecretBytes& leaf) = 0;
};

// A registered generator. Stateless; thread-safe.
class Generator {
 public:
  virtual ~Generator() = default;
  virtual std::string_view id() const = 0;
  virtual Properties properties() const = 0;
  // Checks the depth.
  absl::Status Check(const Parameters& parameters) const;
  // The minimal nodes from which just the leaves first..last can be derived (more
  // leaves where the generator cannot grant ranges), ascending.
  absl::StatusOr<std::vector<Node>> Cover(const SecretBytes& sender_root,
                                          const Parameters& parameters, uint64_t first,
                                          uint64_t last) const;
  // Over nodes of one or several grants; overlapping nodes are allowed. Refuses
  // nodes with a level beyond the depth or a prefix beyond the level.
  absl::StatusOr<std::unique_ptr<KeySource>> Open(const Parameters& parameters,
                                                  std::vector<Node> nodes) const;

 private:
  // The same, of what has been checked; there is at least one node.
  virtual absl::StatusOr<std::vector<Node>> CoverRange(const SecretBytes& sender_root,
                                                       const Parameters& parameters, uint64_t first,
                                                       uint64_t last) const = 0;
  virtual absl::StatusOr<std::unique_ptr<KeySource>> OpenNodes(const Parameters& parameters,
                                                               std::vector<Node> nodes) const = 0;
};

// The registered generator; INVALID_ARGUMENT naming the known ones otherwise.
absl::StatusOr<const Generator*> FindGenerator(std::string_view id);
std::vector<std::string_view> GeneratorIds();
// What sessions have unless they say otherwise: 32, or the most that there is.
uint32_t DefaultDepth(const Generator& generator);

}  // namespace nark::schedule

#endif  // NARK_COMMON_SCHEDULE_GENERATOR_H_
