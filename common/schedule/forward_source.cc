#include "common/schedule/forward_source.h"

#include <algorithm>
#include <string>
#include <utility>

#include "common/base/status.h"

namespace nark::schedule {

ForwardSource::ForwardSource(const Parameters& parameters, std::unique_ptr<Chain> chain,
                             uint64_t first, const SecretBytes& node)
    : parameters_(parameters),
      chain_(std::move(chain)),
      first_(first),
      spacing_bits_((parameters.depth + 1) / 2),
      kept_((size_t{1} << (parameters.depth - spacing_bits_)) * kNodeBytes),
      node_(node.Clone()),
      at_(first) {
  std::copy_n(node.Reveal().data(), kNodeBytes, Kept(0));
}

void ForwardSource::GoNear(uint64_t adu_id) {
  const uint64_t nearest = std::min((adu_id - first_) >> spacing_bits_, known_ - 1);
  const uint64_t kept = first_ + (nearest << spacing_bits_);
  if (at_ <= adu_id && at_ >= kept) return;
  std::copy_n(Kept(nearest), kNodeBytes, node_.RevealMutable().data());
  at_ = kept;
}

absl::Status ForwardSource::Leaf(uint64_t adu_id, SecretBytes& leaf) {
  RETURN_IF_ERROR(CheckRange(parameters_, adu_id, adu_id));
  if (adu_id < first_) {
    return absl::OutOfRangeError("no key was granted for ADU " + std::to_string(adu_id));
  }
  GoNear(adu_id);
  while (at_ < adu_id) {
    chain_->Step(node_.RevealMutable().data());
    ++at_;
    if (at_ - first_ == known_ << spacing_bits_) {
      std::copy_n(node_.Reveal().data(), kNodeBytes, Kept(known_));
      ++known_;
    }
  }
  if (leaf.size() != kNodeBytes) leaf = SecretBytes(kNodeBytes);
  chain_->LeafOf(node_.Reveal().data(), leaf.RevealMutable().data());
  return absl::OkStatus();
}

}  // namespace nark::schedule
