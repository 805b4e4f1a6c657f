#include "common/serve/work_queue.h"

#include <algorithm>
#include <utility>

namespace nark::serve {

namespace {

WorkQueue::Limits WithAThread(WorkQueue::Limits limits) {
  limits.threads = std::max<size_t>(1, limits.threads);
  return limits;
}

}  // namespace

WorkQueue::WorkQueue(Limits limits) : limits_(WithAThread(limits)) {
  for (size_t i = 0; i < limits_.threads; ++i) threads_.emplace_back([this] { Run(); });
}

WorkQueue::~WorkQueue() {
  {
    absl::MutexLock lock(&mutex_);
    ending_ = true;
  }
  for (std::thread& thread : threads_) thread.join();
}

bool WorkQueue::TryAdd(Work work) {
  absl::MutexLock lock(&mutex_);
  return Add(std::move(work));
}

bool WorkQueue::TryDoOrAdd(Work work) {
  {
    absl::MutexLock lock(&mutex_);
    if (ending_ || caller_works_ || working_ >= limits_.threads || !line_.empty()) {
      return Add(std::move(work));
    }
    caller_works_ = true;
    ++working_;
  }
  work(Turn::kDo, Duration(0));
  while (DoNext()) continue;
  absl::MutexLock lock(&mutex_);
  caller_works_ = false;
  --working_;
  return true;
}

bool WorkQueue::Add(Work work) {
  if (ending_ || line_.size() >= limits_.length) return false;
  line_.push_back({std::move(work), std::chrono::steady_clock::now()});
  return true;
}

size_t WorkQueue::length() const {
  absl::MutexLock lock(&mutex_);
  return line_.size();
}

bool WorkQueue::DoNext() {
  Waiting next;
  bool ending = false;
  {
    absl::MutexLock lock(&mutex_);
    if (line_.empty()) return false;
    next = std::move(line_.front());
    line_.pop_front();
    ending = ending_;
  }
  const Duration waited = std::chrono::steady_clock::now() - next.since;
  next.work(ending || waited > limits_.wait ? Turn::kExpired : Turn::kDo, waited);
  return true;
}

void WorkQueue::Run() {
  for (;;) {
    {
      absl::MutexLock lock(&mutex_);
      mutex_.Await(absl::Condition(
          +[](WorkQueue* queue) ABSL_SHARED_LOCKS_REQUIRED(queue->mutex_) {
            return queue->ending_ ||
                   (!queue->line_.empty() && queue->working_ < queue->limits_.threads);
          },
          this));
      if (line_.empty()) return;
      ++working_;
    }
    while (DoNext()) continue;
    absl::MutexLock lock(&mutex_);
    --working_;
  }
}

}  // namespace nark::serve
