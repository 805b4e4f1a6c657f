#ifndef NARK_KEYMANAGER_BLOCK_PLACES_H_
#define NARK_KEYMANAGER_BLOCK_PLACES_H_

#include <cstddef>
#include <map>
#include <utility>

#include "absl/base/thread_annotations.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "common/base/bytes.h"
#include "keymanager/refusal.h"

namespace nark::keymanager {

// Who has a marked block on its way: half a MiB each, for as long as its reader takes. So
// few at once, and of them no more than a share by one secure space, that one buyer's
// sluggards do not stand in everybody's way. Thread-safe; outlives its places.
class BlockPlaces {
 public:
  struct Limits {
    size_t all = 32;
    size_t each = 2;  // of one secure space: a call that broke, and the one made instead
  };
  // Held for one block; gives itself back. Move-only, of one thread at a time.
  class Place {
   public:
    Place(Place&& other) noexcept : of_(std::exchange(other.of_, nullptr)), id_(other.id_) {}
    Place& operator=(Place&&) = delete;
    ~Place() {
      if (of_ != nullptr) of_->GiveBack(id_);
    }

   private:
    friend class BlockPlaces;
    Place(BlockPlaces* of, const Digest& id) : of_(of), id_(id) {}
    BlockPlaces* of_;
    Digest id_;
  };

  // Notes whom it turns away in `refusals`, which must outlive it.
  BlockPlaces(Limits limits, RefusalLog& refusals) : limits_(limits), refusals_(refusals) {}

  // A place for a secure space that has proved who it is; OVERLOADED where there is none,
  // RATE_LIMITED where it has its share (docs/reasons.md).
  absl::StatusOr<Place> Take(const Digest& secure_space_id);
  // Whether nobody would get one now.
  bool full() const;

 private:
  void GiveBack(const Digest& secure_space_id);

  const Limits limits_;
  RefusalLog& refusals_;
  mutable absl::Mutex mutex_;
  size_t taken_ ABSL_GUARDED_BY(mutex_) = 0;
  std::map<Digest, size_t> by_space_ ABSL_GUARDED_BY(mutex_);  // those that have any
};

}  // namespace nark::keymanager

#endif  // NARK_KEYMANAGER_BLOCK_PLACES_H_
