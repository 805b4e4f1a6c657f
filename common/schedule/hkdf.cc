// The generator `hkdf`: every leaf straight from the sender's root. Random access
// at one HMAC a leaf; whoever holds one grant can derive all leaves, and only the
// secure space keeps to the range.
//   leaf = HKDF-Expand(root, "nark hkdf leaf v1" || u64 ADU id, 32)   (RFC 5869)

#include <algorithm>
#include <utility>

#include "common/base/status.h"
#include "common/crypto/hash.h"
#include "common/schedule/registered.h"

namespace nark::schedule {
namespace {

constexpr std::string_view kLabel = "nark hkdf leaf v1";
constexpr uint8_t kFirstBlock[1] = {1};

// HKDF-Expand of one block is one HMAC over info || 1.
class HkdfSource final : public KeySource {
 public:
  HkdfSource(const Parameters& parameters, const SecretBytes& root)
      : parameters_(parameters), root_(root.Reveal()) {}

  absl::Status Leaf(uint64_t adu_id, SecretBytes& leaf) override {
    RETURN_IF_ERROR(CheckRange(parameters_, adu_id, adu_id));
    uint8_t id[8];
    StoreBig64(id, adu_id);
    if (leaf.size() != kNodeBytes) leaf = SecretBytes(kNodeBytes);
    root_.MacInto({AsBytes(kLabel), id, kFirstBlock}, leaf.RevealMutable());
    return absl::OkStatus();
  }

 private:
  const Parameters parameters_;
  const HmacSha256Key root_;
};

class HkdfGenerator final : public Generator {
 public:
  std::string_view id() const override { return "hkdf"; }
  Properties properties() const override {
    return {.access = Access::kRandom,
            .range_grants = RangeGrants::kEverything,
            .secure = true,
            .max_depth = kMaxDepth};
  }

  absl::Status Check(const Parameters& parameters) const override {
    return CheckDepth(parameters, kMaxDepth);
  }

  absl::StatusOr<std::vector<Node>> Cover(const SecretBytes& sender_root,
                                          const Parameters& parameters, uint64_t first,
                                          uint64_t last) const override {
    RETURN_IF_ERROR(Check(parameters));
    RETURN_IF_ERROR(CheckRoot(sender_root));
    RETURN_IF_ERROR(CheckRange(parameters, first, last));
    std::vector<Node> cover;
    cover.push_back({0, 0, sender_root.Clone()});
    return cover;
  }

  absl::StatusOr<std::unique_ptr<KeySource>> Open(const Parameters& parameters,
                                                  std::vector<Node> nodes) const override {
    RETURN_IF_ERROR(Check(parameters));
    for (const Node& node : nodes) {
      RETURN_IF_ERROR(CheckNode(parameters, node));
      if (node.level != 0) return absl::InvalidArgumentError("hkdf has no nodes but the root");
      if (!(node.key == nodes.front().key)) {
        return absl::InvalidArgumentError("two seed nodes for one place contradict each other");
      }
    }
    if (nodes.empty()) return NoLeaves();
    return std::unique_ptr<KeySource>(std::make_unique<HkdfSource>(parameters, nodes.front().key));
  }
};

}  // namespace

const Generator& HkdfLeaves() {
  static const HkdfGenerator generator;
  return generator;
}

}  // namespace nark::schedule
