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

class HkdfGenerator final : public RootGenerator {
 public:
  std::string_view id() const override { return "hkdf"; }
  Properties properties() const override {
    return {.access = Access::kRandom,
            .range_grants = RangeGrants::kEverything,
            .secure = true,
            .max_depth = kMaxDepth};
  }

 private:
  std::unique_ptr<KeySource> OpenRoot(const Parameters& parameters,
                                      const SecretBytes& root) const override {
    return std::make_unique<HkdfSource>(parameters, root);
  }
};

}  // namespace

const Generator& HkdfLeaves() {
  static const HkdfGenerator generator;
  return generator;
}

}  // namespace nark::schedule
