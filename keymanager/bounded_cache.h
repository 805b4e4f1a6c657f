#ifndef NARK_KEYMANAGER_BOUNDED_CACHE_H_
#define NARK_KEYMANAGER_BOUNDED_CACHE_H_

#include <cstddef>
#include <cstring>
#include <list>
#include <optional>
#include <unordered_map>
#include <utility>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "common/base/bytes.h"

namespace nark::keymanager {

// Remembers the values used last, by a SHA-256 that names them. Soft: whatever
// it forgets can be computed again. Thread-safe; values are copied out, so they
// should be cheap to copy.
template <typename Value>
class BoundedCache {
 public:
  // Holds at most `capacity` values, at least 1.
  explicit BoundedCache(size_t capacity) : capacity_(capacity) {}

  std::optional<Value> Find(const Digest& key) {
    absl::MutexLock lock(&mutex_);
    const auto found = index_.find(key);
    if (found == index_.end()) return std::nullopt;
    order_.splice(order_.begin(), order_, found->second);
    return found->second->second;
  }

  // Replaces a value of the same key; drops the one that was not used for longest.
  void Insert(const Digest& key, Value value) {
    absl::MutexLock lock(&mutex_);
    const auto found = index_.find(key);
    if (found != index_.end()) {
      found->second->second = std::move(value);
      order_.splice(order_.begin(), order_, found->second);
      return;
    }
    order_.emplace_front(key, std::move(value));
    index_.emplace(key, order_.begin());
    if (order_.size() > capacity_) {
      index_.erase(order_.back().first);
      order_.pop_back();
    }
  }

  size_t size() const {
    absl::MutexLock lock(&mutex_);
    return order_.size();
  }

 private:
  // The keys are hashes already.
  struct FirstBytes {
    size_t operator()(const Digest& digest) const {
      size_t hash;
      std::memcpy(&hash, digest.data(), sizeof hash);
      return hash;
    }
  };
  using Order = std::list<std::pair<Digest, Value>>;

  const size_t capacity_;
  mutable absl::Mutex mutex_;
  Order order_ ABSL_GUARDED_BY(mutex_);  // the one used last comes first
  std::unordered_map<Digest, typename Order::iterator, FirstBytes> index_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace nark::keymanager

#endif  // NARK_KEYMANAGER_BOUNDED_CACHE_H_
