#include "common/serve/work_queue.h"

#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <thread>
#include <vector>

#include "absl/synchronization/notification.h"
#include "absl/time/time.h"

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

TEST(WorkQueueTest, ACallerDoesItItselfWhereNobodyWaits) {
  WorkQueue queue({.threads = 2, .length = 1, .wait = hours(1)});
  const auto caller = std::this_thread::get_id();
  bool done = false;
  EXPECT_TRUE(queue.TryDoOrAdd([&](Turn turn, WorkQueue::Duration waited) {
    EXPECT_EQ(turn, Turn::kDo);
    EXPECT_EQ(waited.count(), 0);
    EXPECT_EQ(std::this_thread::get_id(), caller);
    // While one caller works, what others bring is for the threads.
    absl::Notification other;
    EXPECT_TRUE(queue.TryDoOrAdd([&](Turn, WorkQueue::Duration) {
      EXPECT_NE(std::this_thread::get_id(), caller);
      other.Notify();
    }));
    other.WaitForNotification();
    done = true;
  }));
  EXPECT_TRUE(done);
}

// A caller is one of so many that work at a time.
TEST(WorkQueueTest, ACallerTakesAThreadsPlace) {
  WorkQueue queue({.threads = 1, .length = 1, .wait = hours(1)});
  absl::Notification second;
  bool working = false;
  EXPECT_TRUE(queue.TryDoOrAdd([&](Turn, WorkQueue::Duration) {
    working = true;
    EXPECT_TRUE(queue.TryDoOrAdd([&](Turn, WorkQueue::Duration) {
      EXPECT_FALSE(working);
      second.Notify();
    }));
    EXPECT_EQ(queue.length(), 1u);
    EXPECT_FALSE(queue.TryDoOrAdd([](Turn, WorkQueue::Duration) {})) << "the line is full";
    EXPECT_FALSE(second.WaitForNotificationWithTimeout(absl::Milliseconds(20)));
    working = false;
  }));
  second.WaitForNotification();
}

TEST(WorkQueueTest, ACallerWaitsItsTurnWhereOthersDo) {
  Plug plug;
  WorkQueue queue({.threads = 1, .length = 10, .wait = hours(1)});
  plug.Stop(queue);
  std::vector<int> done;
  absl::Notification all;
  for (int i = 0; i < 3; ++i) {
    EXPECT_TRUE(queue.TryDoOrAdd([&, i](Turn, WorkQueue::Duration) {
      done.push_back(i);
      if (i == 2) all.Notify();
    }));
  }
  EXPECT_EQ(queue.length(), 3u);
  plug.Pull();
  all.WaitForNotification();
  EXPECT_EQ(done, std::vector<int>({0, 1, 2}));
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
