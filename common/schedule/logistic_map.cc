// The generator `logistic-map`, that of the paper's prototype (section 6, after May,
// "Simple mathematical models with very complicated dynamics", 1976). INSECURE: 64 bits
// of state, biased, and each state tells all later ones, and the earlier ones but for a bit
// a step. docs/figures.md holds what was measured.
//   X is the root's first 8 bytes, big-endian (1 instead of 0), after 64 steps;
//   the leaf of id i is the next four states after 4 i further steps, 8 bytes each.

#include <algorithm>
#include <memory>
#include <utility>

#include "common/base/bytes.h"
#include "common/base/status.h"
#include "common/schedule/forward_source.h"
#include "common/schedule/logistic_step.h"

namespace nark::schedule {
namespace {

// Roots that differ in the last bit differ everywhere after so many: a bit a step.
constexpr int kFirstSteps = 64;
constexpr int kStepsPerLeaf = 4;
constexpr size_t kStateBytes = 8;

// A node is a state, and zeros.
class LogisticChain final : public Chain {
 public:
  void Step(uint8_t* node) override {
    uint64_t state = LoadBig64(node);
    for (int i = 0; i < kStepsPerLeaf; ++i) state = LogisticStep<64>(state);
    StoreBig64(node, state);
  }

  void LeafOf(const uint8_t* node, uint8_t* leaf) override {
    uint64_t state = LoadBig64(node);
    for (int i = 0; i < kStepsPerLeaf; ++i) {
      state = LogisticStep<64>(state);
      StoreBig64(leaf + static_cast<size_t>(i) * kStateBytes, state);
    }
  }
};

SecretBytes FirstNode(const SecretBytes& root) {
  uint64_t state = std::max<uint64_t>(LoadBig64(root.Reveal().data()), 1);
  for (int i = 0; i < kFirstSteps; ++i) state = LogisticStep<64>(state);
  SecretBytes node(kNodeBytes);
  StoreBig64(node.RevealMutable().data(), state);
  return node;
}

class LogisticGenerator final : public RootGenerator {
 public:
  std::string_view id() const override { return "logistic-map"; }
  Properties properties() const override {
    return {.access = Access::kForwardOnly,
            .range_grants = RangeGrants::kEverything,
            .secure = false,
            .max_depth = kMaxForwardDepth};
  }

 private:
  // Grants the root: a later state would hide next to nothing of the earlier ones.
  std::unique_ptr<KeySource> OpenRoot(const Parameters& parameters,
                                      const SecretBytes& root) const override {
    return std::make_unique<ForwardSource>(parameters, std::make_unique<LogisticChain>(), 0,
                                           FirstNode(root));
  }
};

}  // namespace

const Generator& LogisticMap() {
  static const LogisticGenerator generator;
  return generator;
}

}  // namespace nark::schedule
