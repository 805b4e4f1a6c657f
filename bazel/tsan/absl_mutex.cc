// Shows the locks of Debian's Abseil to ThreadSanitizer. That library is not instrumented, so
// that all that an absl::Mutex guards would look like a race. The functions here take the place
// of the library's, for gRPC's own calls too: each tells TSan what the library's does, and calls
// it. The annotations are those of Abseil's own mutex.cc in an instrumented build.

#include <sanitizer/tsan_interface.h>

#include <atomic>
#include <cstdint>

#include "absl/synchronization/blocking_counter.h"
#include "absl/synchronization/mutex.h"
#include "absl/synchronization/notification.h"
#include "absl/time/time.h"
#include "bazel/tsan/original.h"

extern "C" {
// Of TSan's run time; its header does not declare them.
void AnnotateIgnoreReadsBegin(const char* file, int line);
void AnnotateIgnoreReadsEnd(const char* file, int line);
}

namespace {

// The mutex inside of one of whose functions this thread is.
thread_local void* within = nullptr;

constexpr unsigned kRead = __tsan_mutex_read_lock;

// TSan ignores what a thread does between before and after: it is the library's affair.
class Locking {
 public:
  Locking(void* mutex, unsigned flags) : mutex_(mutex), flags_(flags) {
    __tsan_mutex_pre_lock(mutex_, flags_);
    within = mutex_;
  }
  Locking(const Locking&) = delete;
  Locking& operator=(const Locking&) = delete;
  ~Locking() {
    within = nullptr;
    __tsan_mutex_post_lock(mutex_, flags_, 0);
  }

  // Returns `locked`, for a lock that was only tried.
  bool Tried(bool locked) {
    if (!locked) flags_ |= __tsan_mutex_try_lock_failed;
    return locked;
  }

 private:
  void* const mutex_;
  unsigned flags_;
};

class Unlocking {
 public:
  Unlocking(void* mutex, unsigned flags) : mutex_(mutex), flags_(flags) {
    __tsan_mutex_pre_unlock(mutex_, flags_);
    within = mutex_;
  }
  Unlocking(const Unlocking&) = delete;
  Unlocking& operator=(const Unlocking&) = delete;
  ~Unlocking() {
    within = nullptr;
    __tsan_mutex_post_unlock(mutex_, flags_);
  }

 private:
  void* const mutex_;
  const unsigned flags_;
};

// How the calling thread holds a mutex, for a wait that gives it back and takes it again: the
// library's bit for a writer is in the mutex's first word.
unsigned HeldAs(const std::atomic<intptr_t>& state) {
  constexpr intptr_t kWriter = 0x0008;
  return (state.load(std::memory_order_relaxed) & kWriter) != 0 ? 0 : kRead;
}

}  // namespace

namespace absl {
ABSL_NAMESPACE_BEGIN

#define NARK_ABSL "_ZN4absl7debian3"
#define NARK_ABSL_CONST "_ZNK4absl7debian3"

namespace {

using nark::tsan::Original;
using synchronization_internal::KernelTimeout;

constinit Original<void, Mutex*> destroy(NARK_ABSL "5MutexD1Ev");
constinit Original<void, Mutex*> lock(NARK_ABSL "5Mutex4LockEv");
constinit Original<void, Mutex*> unlock(NARK_ABSL "5Mutex6UnlockEv");
constinit Original<bool, Mutex*> try_lock(NARK_ABSL "5Mutex7TryLockEv");
constinit Original<void, Mutex*> reader_lock(NARK_ABSL "5Mutex10ReaderLockEv");
constinit Original<void, Mutex*> reader_unlock(NARK_ABSL "5Mutex12ReaderUnlockEv");
constinit Original<bool, Mutex*> reader_try_lock(NARK_ABSL "5Mutex13ReaderTryLockEv");
constinit Original<void, Mutex*, const Condition&> lock_when(NARK_ABSL
                                                             "5Mutex8LockWhenERKNS0_9ConditionE");
constinit Original<void, Mutex*, const Condition&> reader_lock_when(
    NARK_ABSL "5Mutex14ReaderLockWhenERKNS0_9ConditionE");
constinit Original<bool, Mutex*, const Condition&, Time> lock_when_with_deadline(
    NARK_ABSL "5Mutex20LockWhenWithDeadlineERKNS0_9ConditionENS0_4TimeE");
constinit Original<bool, Mutex*, const Condition&, Time> reader_lock_when_with_deadline(
    NARK_ABSL "5Mutex26ReaderLockWhenWithDeadlineERKNS0_9ConditionENS0_4TimeE");
constinit Original<bool, Mutex*, const Condition&, KernelTimeout> await(
    NARK_ABSL
    "5Mutex11AwaitCommonERKNS0_9ConditionENS0_24synchronization_internal13KernelTimeoutE");
constinit Original<bool, CondVar*, Mutex*, KernelTimeout> wait(
    NARK_ABSL "7CondVar10WaitCommonEPNS0_5MutexENS0_24synchronization_internal13KernelTimeoutE");
constinit Original<bool, const Condition*> eval(NARK_ABSL_CONST "9Condition4EvalEv");
constinit Original<void, Notification*> notify(NARK_ABSL "12Notification6NotifyEv");
constinit Original<void, const Notification*> wait_for_notification(
    NARK_ABSL_CONST "12Notification19WaitForNotificationEv");
constinit Original<bool, const Notification*, Duration> wait_with_timeout(
    NARK_ABSL_CONST "12Notification30WaitForNotificationWithTimeoutENS0_8DurationE");
constinit Original<bool, const Notification*, Time> wait_with_deadline(
    NARK_ABSL_CONST "12Notification31WaitForNotificationWithDeadlineENS0_4TimeE");
constinit Original<bool, BlockingCounter*> decrement(NARK_ABSL
                                                     "15BlockingCounter14DecrementCountEv");
constinit Original<void, BlockingCounter*> wait_for_zero(NARK_ABSL "15BlockingCounter4WaitEv");

}  // namespace

// The functions with a timeout, and those of Await and Wait, end in one of these.

Mutex::~Mutex() {
  // gRPC's were made where TSan did not see it, so are not destroyed for it either.
  __tsan_mutex_destroy(this, __tsan_mutex_not_static);
  destroy(this);
}

void Mutex::Lock() {
  Locking locking(this, 0);
  lock(this);
}

void Mutex::Unlock() {
  Unlocking unlocking(this, 0);
  unlock(this);
}

bool Mutex::TryLock() {
  Locking locking(this, __tsan_mutex_try_lock);
  return locking.Tried(try_lock(this));
}

void Mutex::ReaderLock() {
  Locking locking(this, kRead);
  reader_lock(this);
}

void Mutex::ReaderUnlock() {
  Unlocking unlocking(this, kRead);
  reader_unlock(this);
}

bool Mutex::ReaderTryLock() {
  Locking locking(this, __tsan_mutex_try_read_lock);
  return locking.Tried(reader_try_lock(this));
}

void Mutex::LockWhen(const Condition& condition) {
  Locking locking(this, 0);
  lock_when(this, condition);
}

void Mutex::ReaderLockWhen(const Condition& condition) {
  Locking locking(this, kRead);
  reader_lock_when(this, condition);
}

bool Mutex::LockWhenWithDeadline(const Condition& condition, Time deadline) {
  Locking locking(this, 0);
  return lock_when_with_deadline(this, condition, deadline);
}

bool Mutex::ReaderLockWhenWithDeadline(const Condition& condition, Time deadline) {
  Locking locking(this, kRead);
  return reader_lock_when_with_deadline(this, condition, deadline);
}

bool Mutex::AwaitCommon(const Condition& condition, KernelTimeout timeout) {
  const unsigned held = HeldAs(mu_);
  { Unlocking unlocking(this, held); }
  Locking locking(this, held);
  return await(this, condition, timeout);
}

bool CondVar::WaitCommon(Mutex* mutex, KernelTimeout timeout) {
  // The mutex's first word, which is private to it.
  const unsigned held = HeldAs(*reinterpret_cast<const std::atomic<intptr_t>*>(mutex));
  { Unlocking unlocking(mutex, held); }
  Locking locking(mutex, held);
  return wait(this, mutex, timeout);
}

// A thread that gives a mutex back evaluates what others wait for, of which TSan has not seen
// that it was handed over: what it reads there is ignored, what it locks is not.
bool Condition::Eval() const {
  void* const mutex = within;
  if (mutex == nullptr) return eval(this);
  within = nullptr;
  __tsan_mutex_pre_divert(mutex, 0);
  AnnotateIgnoreReadsBegin(__FILE__, __LINE__);
  const bool result = eval(this);
  AnnotateIgnoreReadsEnd(__FILE__, __LINE__);
  __tsan_mutex_post_divert(mutex, 0);
  within = mutex;
  return result;
}

// These two are atomics first, and lock only if they must.

void Notification::Notify() {
  __tsan_release(&notified_yet_);
  notify(this);
}

void Notification::WaitForNotification() const {
  wait_for_notification(this);
  __tsan_acquire(&const_cast<Notification*>(this)->notified_yet_);
}

bool Notification::WaitForNotificationWithTimeout(Duration timeout) const {
  const bool notified = wait_with_timeout(this, timeout);
  if (notified) __tsan_acquire(&const_cast<Notification*>(this)->notified_yet_);
  return notified;
}

bool Notification::WaitForNotificationWithDeadline(Time deadline) const {
  const bool notified = wait_with_deadline(this, deadline);
  if (notified) __tsan_acquire(&const_cast<Notification*>(this)->notified_yet_);
  return notified;
}

bool BlockingCounter::DecrementCount() {
  __tsan_release(&count_);
  const bool last = decrement(this);
  if (last) __tsan_acquire(&count_);
  return last;
}

void BlockingCounter::Wait() {
  wait_for_zero(this);
  __tsan_acquire(&count_);
}

ABSL_NAMESPACE_END
}  // namespace absl
