#include "keymanager/block_places.h"

#include <string>

#include "absl/strings/str_cat.h"

namespace nark::keymanager {

absl::StatusOr<BlockPlaces::Place> BlockPlaces::Take(const Digest& secure_space_id) {
  Cause cause = Cause::kOverloaded;
  std::string why = "too many marked blocks are on their way; start more replicas";
  {
    absl::MutexLock lock(&mutex_);
    const auto held = by_space_.find(secure_space_id);
    const size_t own = held == by_space_.end() ? 0 : held->second;
    if (own >= limits_.each) {
      cause = Cause::kRateLimited;
      why = absl::StrCat("secure space ", ToHex(secure_space_id), " has ", own,
                         " marked blocks on their way");
    } else if (taken_ < limits_.all) {
      by_space_[secure_space_id] = own + 1;
      ++taken_;
      return Place(this, secure_space_id);
    }
  }
  refusals_.OnRefusal(cause, why);
  return RefusalFor(cause);
}

bool BlockPlaces::full() const {
  absl::MutexLock lock(&mutex_);
  return taken_ >= limits_.all;
}

void BlockPlaces::GiveBack(const Digest& secure_space_id) {
  absl::MutexLock lock(&mutex_);
  --taken_;
  const auto held = by_space_.find(secure_space_id);
  if (--held->second == 0) by_space_.erase(held);
}

}  // namespace nark::keymanager
