#ifndef NARK_COMMON_FEC_SPREAD_H_
#define NARK_COMMON_FEC_SPREAD_H_

#include <cstdint>

namespace nark::fec {

// Blocks are coded by themselves; an ADU has as few as this many fragments each allow.
inline constexpr uint32_t kBlockFragments = 512;
// What a block may have all the same, where neither source nor parity divides evenly.
inline constexpr uint32_t kMostInBlock = kBlockFragments + 1;

// How an ADU's fragments are spread over blocks: fragment i of the source, and fragment
// i of the parity, is number i / blocks of block i mod blocks, so that a burst of losses
// hits all blocks alike (docs/wire.md, FEC).
class Spread {
 public:
  // At least one source fragment.
  Spread(uint32_t source, uint32_t parity)
      : source_(source),
        parity_(parity),
        blocks_((source + parity + kBlockFragments - 1) / kBlockFragments) {}

  uint32_t blocks() const { return blocks_; }
  uint32_t source() const { return source_; }
  uint32_t parity() const { return parity_; }
  // Of block `block`.
  uint32_t source_of(uint32_t block) const { return ShareOf(source_, block); }
  uint32_t parity_of(uint32_t block) const { return ShareOf(parity_, block); }

  // Where fragment `index`, counted within source or parity, stands, and back.
  uint32_t BlockOf(uint32_t index) const { return index % blocks_; }
  uint32_t NumberOf(uint32_t index) const { return index / blocks_; }
  uint32_t IndexOf(uint32_t block, uint32_t number) const { return number * blocks_ + block; }

 private:
  uint32_t ShareOf(uint32_t all, uint32_t block) const {
    return (all + blocks_ - 1 - block) / blocks_;
  }
  uint32_t source_;
  uint32_t parity_;
  uint32_t blocks_;
};

}  // namespace nark::fec

#endif  // NARK_COMMON_FEC_SPREAD_H_
