#ifndef NARK_COMMON_SCHEDULE_FORWARD_SOURCE_H_
#define NARK_COMMON_SCHEDULE_FORWARD_SOURCE_H_

#include <cstdint>
#include <memory>

#include "absl/status/status.h"
#include "common/crypto/secret_bytes.h"
#include "common/schedule/registered.h"

namespace nark::schedule {

// A sequence of nodes of kNodeBytes, each of which follows from the one before, and a
// leaf of each. One thread only.
class Chain {
 public:
  virtual ~Chain() = default;
  // Makes of the node of an id that of the next.
  virtual void Step(uint8_t* node) = 0;
  // `leaf` may not be `node`.
  virtual void LeafOf(const uint8_t* node, uint8_t* leaf) = 0;
};

// The greatest depth of generators that have to walk to an id: 2^20 steps are a tenth of
// a second at most, once, so nobody can make a secure space or a key manager hang. At an
// ADU a second it is twelve days.
inline constexpr uint32_t kMaxForwardDepth = 20;

// Leaves of a chain from a first id on. Keeps a node of every 2^ceil(depth/2) on the way,
// at most 32 KiB, so that the whole chain is walked once, and from then on any id costs at
// most 2^ceil(depth/2) steps, whatever the order. One thread only.
class ForwardSource final : public KeySource {
 public:
  // `node` is that of `first`.
  ForwardSource(const Parameters& parameters, std::unique_ptr<Chain> chain, uint64_t first,
                const SecretBytes& node);
  absl::Status Leaf(uint64_t adu_id, SecretBytes& leaf) override;

 private:
  uint8_t* Kept(uint64_t index) { return kept_.RevealMutable().data() + index * kNodeBytes; }
  // Puts the node nearest before adu_id that is known into node_.
  void GoNear(uint64_t adu_id);

  const Parameters parameters_;
  const std::unique_ptr<Chain> chain_;
  const uint64_t first_;
  const uint32_t spacing_bits_;
  SecretBytes kept_;  // of first_, and of every multiple of the spacing behind it
  uint64_t known_ = 1;
  SecretBytes node_;  // of at_
  uint64_t at_;
};

}  // namespace nark::schedule

#endif  // NARK_COMMON_SCHEDULE_FORWARD_SOURCE_H_
