#include "common/serve/work_queue.h"

#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <vector>

#include "absl/synchronization/notification.h"

namespace nark::serve {
namespace {

using Turn = WorkQueue::Turn;
using std::chrono::hours;
using std::chrono::milliseconds;

// Holds a queue's only thread until told. It outlives the queue, whose thread may still be
// about to leave when it was told.
class Plug {
 public:
  void Stop(WorkQueue& queue) {
    EXPECT_TRUE(queue.TryAdd([this](Turn, WorkQueue::Duration) {
      in_.Notify();
      out_.WaitForNotification();
    }));
    in_.WaitForNotification();
  }
  void Pull() { out_.Notify(); }

 private:
  absl::Notification in_, out_;
};

TEST(WorkQueueTest, DoesEverythingOnceInOrder) {
  std::vector<int> done;
  absl::Notification all;
  Plug plug;
  WorkQueue queue({.threads = 1, .length = 100, .wait = hours(1)});
  plug.Stop(queue);
  for (int i = 0; i < 100; ++i) {
    ASSERT_TRUE(queue.TryAdd([&, i](Turn turn, WorkQueue::Duration) {
      EXPECT_EQ(turn, Turn::kDo);
      done.push_back(i);
      if (i == 99) all.Notify();
    }));
  }
  EXPECT_EQ(queue.length(), 100u);
  plug.Pull();
  all.WaitForNotification();
  for (int i = 0; i < 100; ++i) EXPECT_EQ(done[i], i);
}

TEST(WorkQueueTest, TurnsAwayWhatDoesNotFit) {
  std::atomic<int> done = 0;
  {
    Plug plug;
    WorkQueue queue({.threads = 1, .length = 2, .wait = hours(1)});
    plug.Stop(queue);
    const auto count = [&](Turn, WorkQueue::Duration) { ++done; };
    EXPECT_TRUE(queue.TryAdd(count));
    EXPECT_TRUE(queue.TryAdd(count));
    EXPECT_FALSE(queue.TryAdd(count));
    plug.Pull();
  }
  EXPECT_EQ(done, 2);
}

TEST(WorkQueueTest, ExpiresWhatWaitedTooLong) {
  absl::Notification over;
  Plug plug;
  WorkQueue queue({.threads = 1, .length = 10, .wait = milliseconds(0)});
  plug.Stop(queue);
  ASSERT_TRUE(queue.TryAdd([&](Turn turn, WorkQueue::Duration waited) {
    EXPECT_EQ(turn, Turn::kExpired);
    EXPECT_GT(waited.count(), 0);
    over.Notify();
  }));
  plug.Pull();
  over.WaitForNotification();
}

TEST(WorkQueueTest, ExpiresWhatWaitsWhenItEnds) {
  std::atomic<int> done = 0, expired = 0;
  {
    WorkQueue queue({.threads = 1, .length = 10, .wait = hours(1)});
    for (int i = 0; i < 3; ++i) {
      ASSERT_TRUE(queue.TryAdd(
          [&](Turn turn, WorkQueue::Duration) { ++(turn == Turn::kExpired ? expired : done); }));
    }
  }
  EXPECT_EQ(done + expired, 3);
}

}  // namespace
}  // namespace nark::serve
