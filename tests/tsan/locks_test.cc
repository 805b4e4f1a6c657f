// Correct uses of Abseil's locks, of each kind that the project has: TSan must find nothing.

#include <gtest/gtest.h>

#include <functional>
#include <thread>
#include <vector>

#include "absl/synchronization/blocking_counter.h"
#include "absl/synchronization/mutex.h"
#include "absl/synchronization/notification.h"
#include "absl/time/clock.h"

namespace nark {
namespace {

constexpr int kThreads = 4;
constexpr int kRounds = 1000;

void InThreads(const std::function<void(int thread)>& work) {
  std::vector<std::thread> threads;
  for (int i = 0; i < kThreads; ++i) threads.emplace_back([&work, i] { work(i); });
  for (std::thread& thread : threads) thread.join();
}

TEST(LocksTest, AMutexGuards) {
  absl::Mutex mutex;
  int number = 0;
  InThreads([&](int) {
    for (int i = 0; i < kRounds; ++i) {
      absl::MutexLock lock(&mutex);
      ++number;
    }
  });
  EXPECT_EQ(number, kThreads * kRounds);
}

TEST(LocksTest, AMutexThatIsOnlyTriedGuards) {
  absl::Mutex mutex;
  int number = 0;
  InThreads([&](int) {
    for (int i = 0; i < kRounds; ++i) {
      if (!mutex.TryLock()) continue;
      ++number;
      mutex.Unlock();
    }
  });
  EXPECT_GT(number, 0);
}

TEST(LocksTest, ReadersSeeWhatWritersWrote) {
  absl::Mutex mutex;
  int left = 0, right = 0;
  InThreads([&](int thread) {
    for (int i = 0; i < kRounds; ++i) {
      if (thread == 0) {
        absl::WriterMutexLock lock(&mutex);
        ++left;
        ++right;
      } else if (thread == 1 && mutex.ReaderTryLock()) {
        EXPECT_EQ(left, right);
        mutex.ReaderUnlock();
      } else {
        absl::ReaderMutexLock lock(&mutex);
        EXPECT_EQ(left, right);
      }
    }
  });
  EXPECT_EQ(left, kRounds);
}

// Two threads that take turns, each waiting for what the other wrote.
template <typename Wait>
void TakeTurns(Wait wait) {
  absl::Mutex mutex;
  int turn = 0;
  InThreads([&](int thread) {
    for (int i = 0; i < kRounds / 10; ++i) {
      wait(mutex, turn, thread);
      turn = (turn + 1) % kThreads;
      mutex.Unlock();
    }
  });
}

TEST(LocksTest, AwaitHandsOver) {
  TakeTurns([](absl::Mutex& mutex, int& turn, int thread) {
    mutex.Lock();
    // In this thread's own stack, and evaluated by the others.
    const auto mine = [&turn, thread] { return turn == thread; };
    mutex.Await(absl::Condition(&mine));
  });
}

TEST(LocksTest, AwaitWithATimeoutHandsOver) {
  TakeTurns([](absl::Mutex& mutex, int& turn, int thread) {
    mutex.Lock();
    const auto mine = [&turn, thread] { return turn == thread; };
    while (!mutex.AwaitWithTimeout(absl::Condition(&mine), absl::Microseconds(50))) {
    }
  });
}

TEST(LocksTest, LockWhenHandsOver) {
  TakeTurns([](absl::Mutex& mutex, int& turn, int thread) {
    const auto mine = [&turn, thread] { return turn == thread; };
    mutex.LockWhen(absl::Condition(&mine));
  });
}

TEST(LocksTest, LockWhenWithATimeoutHandsOver) {
  TakeTurns([](absl::Mutex& mutex, int& turn, int thread) {
    const auto mine = [&turn, thread] { return turn == thread; };
    while (!mutex.LockWhenWithTimeout(absl::Condition(&mine), absl::Microseconds(50))) {
      mutex.Unlock();
    }
  });
}

TEST(LocksTest, ReadersAwait) {
  absl::Mutex mutex;
  int number = 0;
  InThreads([&](int thread) {
    const auto there = [&number] { return number > 0; };
    if (thread == 0) {
      absl::MutexLock lock(&mutex);
      number = 1;
    } else if (thread == 1) {
      absl::ReaderMutexLock lock(&mutex);
      mutex.Await(absl::Condition(&there));
      EXPECT_EQ(number, 1);
    } else {
      mutex.ReaderLockWhen(absl::Condition(&there));
      EXPECT_EQ(number, 1);
      mutex.ReaderUnlock();
    }
  });
}

TEST(LocksTest, AConditionMayLock) {
  absl::Mutex outer, inner;
  int number = 0;
  InThreads([&](int thread) {
    const auto all = [&] {
      absl::MutexLock lock(&inner);
      return number == kThreads;
    };
    absl::MutexLock lock(&outer);
    {
      absl::MutexLock count(&inner);
      ++number;
    }
    if (thread == 0) outer.Await(absl::Condition(&all));
  });
  EXPECT_EQ(number, kThreads);
}

TEST(LocksTest, ACondVarHandsOver) {
  absl::CondVar changed;
  TakeTurns([&changed](absl::Mutex& mutex, int& turn, int thread) {
    mutex.Lock();
    while (turn != thread) {
      if (thread == 0) {
        changed.Wait(&mutex);
      } else {
        changed.WaitWithTimeout(&mutex, absl::Microseconds(50));
      }
    }
    // For the others, who wait until this thread has given the mutex back.
    changed.SignalAll();
  });
}

TEST(LocksTest, ANotificationHandsOver) {
  for (int round = 0; round < 100; ++round) {
    absl::Notification waited, timed, polled;
    int number = 0;
    std::thread other([&] {
      ++number;
      waited.Notify();
      timed.WaitForNotificationWithTimeout(absl::Seconds(60));
      ++number;
      polled.Notify();
    });
    waited.WaitForNotification();
    ++number;
    timed.Notify();
    while (!polled.HasBeenNotified()) {
    }
    ++number;
    other.join();
    EXPECT_EQ(number, 4);
  }
}

TEST(LocksTest, ABlockingCounterHandsOver) {
  std::vector<int> numbers(kThreads);
  absl::BlockingCounter counter(kThreads);
  std::vector<std::thread> threads;
  for (int i = 0; i < kThreads; ++i) {
    threads.emplace_back([&, i] {
      numbers[i] = 1;
      counter.DecrementCount();
    });
  }
  counter.Wait();
  for (int& number : numbers) ++number;
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(numbers, std::vector<int>(kThreads, 2));
}

TEST(LocksTest, AMutexMayLieWhereAnotherWasDestroyed) {
  for (int round = 0; round < 100; ++round) {
    absl::Mutex mutex;
    int number = 0;
    InThreads([&](int) {
      absl::MutexLock lock(&mutex);
      ++number;
    });
    EXPECT_EQ(number, kThreads);
  }
}

}  // namespace
}  // namespace nark
