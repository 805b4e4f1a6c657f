#ifndef NARK_COMMON_SERVE_WORK_QUEUE_H_
#define NARK_COMMON_SERVE_WORK_QUEUE_H_

#include <chrono>
#include <cstddef>
#include <deque>
#include <functional>
#include <thread>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"

namespace nark::serve {

// Work that waits in line for a few threads. The line is bounded twice: by its length, and
// by how long anything stands in it, so that a server that is asked for more than it can do
// goes on doing what it can, late by no more than that, and turns the rest away at once.
// Thread-safe.
class WorkQueue {
 public:
  using Duration = std::chrono::steady_clock::duration;
  struct Limits {
    size_t threads = 1;
    size_t length = 1024;
    // What has waited longer when its turn comes is expired, not done.
    Duration wait = std::chrono::milliseconds(100);
  };
  enum class Turn { kDo, kExpired };
  // Called once, by a thread of the queue or one in TryDoOrAdd, with how long it waited.
  using Work = std::function<void(Turn turn, Duration waited)>;

  explicit WorkQueue(Limits limits);
  // Expires what waits, and returns when what runs has ended.
  ~WorkQueue();
  WorkQueue(const WorkQueue&) = delete;
  WorkQueue& operator=(const WorkQueue&) = delete;

  // False where the line is full: `work` is then never called.
  bool TryAdd(Work work);
  // The same, but done at once in the caller's thread where that is a turn: a thread would be
  // free for it, nobody waits, and no other caller works. The caller then goes on with what
  // others bring meanwhile. So nothing is handed from one thread to another that need not be,
  // as long as there is a second one to bring it.
  bool TryDoOrAdd(Work work);

  size_t length() const;
  const Limits& limits() const { return limits_; }

 private:
  struct Waiting {
    Work work;
    std::chrono::steady_clock::time_point since;
  };
  void Run();
  // What is first in line; false where nobody is.
  bool DoNext();
  bool Add(Work work) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  const Limits limits_;
  mutable absl::Mutex mutex_;
  std::deque<Waiting> line_ ABSL_GUARDED_BY(mutex_);
  size_t working_ ABSL_GUARDED_BY(mutex_) = 0;  // callers among them
  bool caller_works_ ABSL_GUARDED_BY(mutex_) = false;
  bool ending_ ABSL_GUARDED_BY(mutex_) = false;
  std::vector<std::thread> threads_;
};

}  // namespace nark::serve

#endif  // NARK_COMMON_SERVE_WORK_QUEUE_H_
