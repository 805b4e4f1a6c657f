#ifndef NARK_REFUNDS_GROUP_COMMIT_H_
#define NARK_REFUNDS_GROUP_COMMIT_H_

#include <deque>
#include <functional>
#include <thread>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "refunds/ledger.h"

namespace nark::refunds {

// Joins what arrives while a transaction runs into the next one, so that a
// durable write is paid once for many notes. Thread-safe.
class GroupCommit {
 public:
  // Enters all of them in one transaction, or none; answers in their order.
  // Called from one thread. The refunds are sorted by key.
  using Write = std::function<absl::StatusOr<std::vector<Refund>>(const std::vector<Refund>&)>;

  // Of notes and receipts. A batch takes no more than this, a larger note goes alone.
  static constexpr size_t kBatchBytes = 16 << 20;
  // Beyond it, what comes is turned away (DESK_BUSY).
  static constexpr size_t kMostWaitingBytes = 64 << 20;

  explicit GroupCommit(Write write);
  // Writes what waits, and ends.
  ~GroupCommit();
  GroupCommit(const GroupCommit&) = delete;
  GroupCommit& operator=(const GroupCommit&) = delete;

  // As Ledger::Enter.
  void Enter(std::vector<Refund> refunds, Ledger::Entered done);

 private:
  struct Submission {
    std::vector<Refund> refunds;
    Ledger::Entered done;
    size_t bytes = 0;
  };
  void Run();
  std::vector<Submission> Take();
  // Answers every submission.
  void WriteAll(std::vector<Submission> batch);
  // In one transaction; answers all of them, or fails and answers none.
  absl::Status WriteTogether(std::vector<Submission>& batch);

  const Write write_;
  absl::Mutex mutex_;
  std::deque<Submission> waiting_ ABSL_GUARDED_BY(mutex_);
  size_t waiting_refunds_ ABSL_GUARDED_BY(mutex_) = 0;
  size_t waiting_bytes_ ABSL_GUARDED_BY(mutex_) = 0;
  bool ending_ ABSL_GUARDED_BY(mutex_) = false;
  std::thread thread_;  // last: uses all of the above
};

}  // namespace nark::refunds

#endif  // NARK_REFUNDS_GROUP_COMMIT_H_
