#include "refunds/group_commit.h"

#include <algorithm>
#include <numeric>
#include <utility>

#include "absl/synchronization/notification.h"
#include "common/base/status.h"

namespace nark::refunds {
namespace {

constexpr size_t kMostWaiting = 16384;
constexpr size_t kBatchRefunds = 512;  // reached, a batch takes no more notes

// What the refunds of one note hold, its note once.
size_t BytesOf(const std::vector<Refund>& refunds) {
  size_t bytes = 0;
  const std::string* note = nullptr;
  for (const Refund& refund : refunds) {
    bytes += sizeof refund + refund.receipt->size();
    if (refund.note.get() != note) bytes += refund.note->size();
    note = refund.note.get();
  }
  return bytes;
}

}  // namespace

absl::Status LedgerUnavailable(std::string_view what) {
  absl::Status status =
      Refusal(absl::StatusCode::kUnavailable, "LEDGER_UNAVAILABLE",
              std::string("the ledger can not be written or read now; repeat: ").append(what));
  SetRetryAfterSeconds(status, 2);
  return status;
}

absl::Status ForCallers(const absl::Status& refusal) {
  return ReasonOf(refusal) == "LEDGER_UNAVAILABLE" ? LedgerUnavailable("try again in a moment")
                                                   : refusal;
}

absl::StatusOr<std::vector<Refund>> EnterAndWait(Ledger& ledger, std::vector<Refund> refunds) {
  absl::StatusOr<std::vector<Refund>> result;
  absl::Notification done;
  ledger.Enter(std::move(refunds), [&](absl::StatusOr<std::vector<Refund>> entered) {
    result = std::move(entered);
    done.Notify();
  });
  done.WaitForNotification();
  return result;
}

GroupCommit::GroupCommit(Write write) : write_(std::move(write)), thread_([this] { Run(); }) {}

GroupCommit::~GroupCommit() {
  {
    absl::MutexLock lock(&mutex_);
    ending_ = true;
  }
  thread_.join();
}

void GroupCommit::Enter(std::vector<Refund> refunds, Ledger::Entered done) {
  const size_t bytes = BytesOf(refunds);
  {
    absl::MutexLock lock(&mutex_);
    if (waiting_refunds_ + refunds.size() <= kMostWaiting &&
        waiting_bytes_ + bytes <= kMostWaitingBytes) {
      waiting_refunds_ += refunds.size();
      waiting_bytes_ += bytes;
      waiting_.push_back({std::move(refunds), std::move(done), bytes});
      return;
    }
  }
  absl::Status busy = Refusal(absl::StatusCode::kResourceExhausted, "DESK_BUSY",
                              "too many notes wait to be entered; repeat");
  SetRetryAfterSeconds(busy, 1);
  done(busy);
}

std::vector<GroupCommit::Submission> GroupCommit::Take() {
  absl::MutexLock lock(&mutex_);
  mutex_.Await(absl::Condition(
      +[](GroupCommit* self) ABSL_EXCLUSIVE_LOCKS_REQUIRED(self->mutex_) {
        return self->ending_ || !self->waiting_.empty();
      },
      this));
  std::vector<Submission> batch;
  size_t refunds = 0, bytes = 0;
  while (!waiting_.empty() && refunds < kBatchRefunds) {
    if (!batch.empty() && bytes + waiting_.front().bytes > kBatchBytes) break;
    refunds += waiting_.front().refunds.size();
    bytes += waiting_.front().bytes;
    batch.push_back(std::move(waiting_.front()));
    waiting_.pop_front();
  }
  waiting_refunds_ -= refunds;
  waiting_bytes_ -= bytes;
  return batch;
}

void GroupCommit::Run() {
  for (;;) {
    std::vector<Submission> batch = Take();
    if (batch.empty()) return;
    WriteAll(std::move(batch));
  }
}

void GroupCommit::WriteAll(std::vector<Submission> batch) {
  const absl::Status failed = WriteTogether(batch);
  if (failed.ok()) return;
  if (batch.size() == 1) return batch.front().done(failed);
  // Maybe only one of them can not be entered. Where the ledger itself is away, two
  // failures in a row say so, and nobody waits for more.
  int in_a_row = 0;
  for (Submission& one : batch) {
    std::vector<Submission> alone;
    alone.push_back(std::move(one));
    const absl::Status again = in_a_row < 2 ? WriteTogether(alone) : failed;
    in_a_row = again.ok() ? 0 : in_a_row + 1;
    if (!again.ok()) alone.front().done(again);
  }
}

absl::Status GroupCommit::WriteTogether(std::vector<Submission>& batch) {
  std::vector<Refund> all;
  for (const Submission& one : batch) {
    all.insert(all.end(), one.refunds.begin(), one.refunds.end());
  }
  // One order for everybody: two desks that lock the same rows never wait for
  // each other in a circle.
  std::vector<size_t> order(all.size());
  std::iota(order.begin(), order.end(), 0);
  std::stable_sort(order.begin(), order.end(),
                   [&](size_t a, size_t b) { return all[a].key < all[b].key; });
  std::vector<Refund> sorted;
  for (const size_t i : order) sorted.push_back(all[i]);
  ASSIGN_OR_RETURN(const std::vector<Refund> written, write_(sorted));
  for (size_t i = 0; i < order.size(); ++i) all[order[i]] = written[i];
  auto next = all.begin();
  for (Submission& one : batch) {
    const auto end = next + static_cast<std::ptrdiff_t>(one.refunds.size());
    one.done(std::vector<Refund>(next, end));
    next = end;
  }
  return absl::OkStatus();
}

}  // namespace nark::refunds
