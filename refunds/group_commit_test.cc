#include "refunds/group_commit.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <memory>
#include <string>
#include <vector>

#include "absl/synchronization/mutex.h"
#include "absl/synchronization/notification.h"
#include "common/base/status.h"

namespace nark::refunds {
namespace {

constexpr size_t kNoteBytes = 1 << 20;
constexpr char kCannotBeEntered[] = "cannot be entered";

std::vector<Refund> NoteOf(size_t bytes, size_t vouchers = 1) {
  Refund refund;
  refund.note = std::make_shared<const std::string>(bytes, 'n');
  refund.receipt = std::make_shared<const std::string>("receipt");
  return std::vector<Refund>(vouchers, refund);
}

// Writes nothing, keeps the size of each batch, and holds the first until it may go on.
class GroupCommitTest : public testing::Test {
 protected:
  void Enter(std::vector<Refund> refunds) {
    commits_->Enter(std::move(refunds), [this](const absl::StatusOr<std::vector<Refund>>& done) {
      absl::MutexLock lock(&mutex_);
      answers_.push_back(done.status());
    });
  }
  // Everything that comes from now on waits.
  void HoldTheFirst() {
    Enter(NoteOf(1));
    held_.WaitForNotification();
  }
  void GoOn() {
    go_on_.Notify();
    commits_.reset();
  }
  size_t Refused() {
    absl::MutexLock lock(&mutex_);
    for (const absl::Status& answer : answers_) {
      if (answer.ok()) continue;
      EXPECT_EQ(answer.code(), absl::StatusCode::kResourceExhausted) << answer;
      EXPECT_EQ(ReasonOf(answer), "DESK_BUSY") << answer;
      EXPECT_GT(RetryAfterSeconds(answer), 0);
    }
    return static_cast<size_t>(std::count_if(answers_.begin(), answers_.end(),
                                             [](const auto& answer) { return !answer.ok(); }));
  }

  // In the order of their submission.
  std::vector<bool> Entered() {
    absl::MutexLock lock(&mutex_);
    std::vector<bool> entered;
    for (const absl::Status& answer : answers_) entered.push_back(answer.ok());
    return entered;
  }

  absl::Notification held_, go_on_;
  std::atomic<bool> broken_{false};  // nothing can be entered
  std::vector<size_t> batches_;      // refunds in each; the committing thread's until it ended
  absl::Mutex mutex_;
  std::vector<absl::Status> answers_ ABSL_GUARDED_BY(mutex_);
  std::unique_ptr<GroupCommit> commits_ = std::make_unique<GroupCommit>(
      [this](const std::vector<Refund>& refunds) -> absl::StatusOr<std::vector<Refund>> {
        if (batches_.empty()) {
          held_.Notify();
          go_on_.WaitForNotification();
        }
        batches_.push_back(refunds.size());
        const bool bad = std::any_of(refunds.begin(), refunds.end(), [this](const Refund& refund) {
          return broken_ || refund.reason == kCannotBeEntered;
        });
        if (bad) return LedgerUnavailable("no");
        return refunds;
      });
};

TEST_F(GroupCommitTest, TurnsAwayWhatIsTooMuchToWait) {
  HoldTheFirst();
  constexpr size_t kFit = GroupCommit::kMostWaitingBytes / kNoteBytes - 1;  // and their receipts
  for (size_t i = 0; i < kFit; ++i) Enter(NoteOf(kNoteBytes));
  EXPECT_EQ(Refused(), 0u);
  Enter(NoteOf(kNoteBytes));
  EXPECT_EQ(Refused(), 1u);
  Enter(NoteOf(1));
  EXPECT_EQ(Refused(), 1u) << "a small one still fits";
  GoOn();
  EXPECT_EQ(Refused(), 1u);
  absl::MutexLock lock(&mutex_);
  EXPECT_EQ(answers_.size(), kFit + 3);
}

TEST_F(GroupCommitTest, ABatchIsBoundedInBytes) {
  HoldTheFirst();
  for (int i = 0; i < 40; ++i) Enter(NoteOf(kNoteBytes));
  GoOn();
  EXPECT_EQ(batches_, (std::vector<size_t>{1, 15, 15, 10}));
}

TEST_F(GroupCommitTest, ANoteLargerThanABatchGoesAlone) {
  HoldTheFirst();
  Enter(NoteOf(1));
  Enter(NoteOf(GroupCommit::kBatchBytes + 1));
  Enter(NoteOf(1));
  GoOn();
  EXPECT_EQ(batches_, (std::vector<size_t>{1, 1, 1, 1}));
}

TEST_F(GroupCommitTest, CountsTheNoteOfManyVouchersOnce) {
  HoldTheFirst();
  Enter(NoteOf(kNoteBytes, 1000));
  Enter(NoteOf(kNoteBytes, 1000));
  EXPECT_EQ(Refused(), 0u);
  GoOn();
  EXPECT_EQ(batches_, (std::vector<size_t>{1, 1000, 1000}));
}

TEST_F(GroupCommitTest, HasRoomAgainForWhatWasWritten) {
  HoldTheFirst();
  for (size_t i = 0; i < 100; ++i) Enter(NoteOf(kNoteBytes));
  EXPECT_EQ(Refused(), 37u);
  go_on_.Notify();
  absl::Notification written;
  commits_->Enter(NoteOf(1), [&](const auto&) { written.Notify(); });
  written.WaitForNotification();
  Enter(NoteOf(kNoteBytes));
  commits_.reset();
  EXPECT_EQ(Refused(), 37u);
}

// Whoever shared a transaction with what can not be entered is owed all the same.
TEST_F(GroupCommitTest, OneThatCannotBeEnteredStopsNobodyElse) {
  HoldTheFirst();
  for (int i = 0; i < 6; ++i) {
    std::vector<Refund> note = NoteOf(1);
    if (i == 2) note[0].reason = kCannotBeEntered;
    Enter(std::move(note));
  }
  GoOn();
  EXPECT_EQ(Entered(), (std::vector<bool>{true, true, true, false, true, true, true}));
  EXPECT_EQ(batches_, (std::vector<size_t>{1, 6, 1, 1, 1, 1, 1, 1}));
}

TEST_F(GroupCommitTest, ALedgerThatIsAwayIsNotAskedForEach) {
  HoldTheFirst();
  for (int i = 0; i < 6; ++i) Enter(NoteOf(1));
  broken_ = true;
  GoOn();
  // The one that was held found it broken, too.
  EXPECT_EQ(Entered(), std::vector<bool>(7, false));
  EXPECT_EQ(batches_, (std::vector<size_t>{1, 6, 1, 1}));
}

}  // namespace
}  // namespace nark::refunds
