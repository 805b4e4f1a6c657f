#ifndef NARK_LOAD_OPEN_LOOP_H_
#define NARK_LOAD_OPEN_LOOP_H_

#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "common/base/clock.h"
#include "load/arrivals.h"
#include "load/key_managers.h"
#include "load/tally.h"
#include "load/uniform.h"
#include "load/viewers.h"

namespace nark::load {

struct OpenLoopOptions {
  // The most joins at a time; one that is due beyond them is not started at all.
  size_t most_outstanding = 4096;
  // How often a join that failed is tried again.
  uint64_t retries = 3;
  // The part of all grants that is opened and verified.
  double check_part = 0.01;
  std::chrono::microseconds timeout = std::chrono::seconds(10);      // of a join
  std::chrono::microseconds call_timeout = std::chrono::seconds(3);  // of one call in it
  uint64_t seed = 1;                                                 // of retries and checks
};

// Runs what is given to it, at some time, in some thread.
using Executor = std::function<void(std::function<void()>)>;

// What an open loop works with. All outlive it, and call back into it no more when it goes.
struct OpenLoopParts {
  Clock& clock;  // monotonic
  const Viewers& viewers;
  KeyManagers& key_managers;
  Executor check;  // grants are opened there, out of the way of other joins' answers
};

// Starts joins when the arrival process says, however those before are doing, and measures
// each from that intended start: neither slow key managers nor a slow generator make the
// load lighter or a latency shorter (no coordinated omission; G. Tene, "How NOT to Measure
// Latency"). A join:
//
//   connect (own connections only) -> challenge -> attest -> grant -> check (a sample)
//
// A call that fails is repeated at another replica with the evidence that there is, within
// the join's own budget of retries and time. Thread-safe, but StartDue and WaitUntil are for
// one thread.
class OpenLoop {
 public:
  // Begins now.
  OpenLoop(const OpenLoopOptions& options, ArrivalProcess arrivals, OpenLoopParts parts,
           Tally tally);

  // Starts what is due. Returns when to come again; nullopt once all is over.
  std::optional<Timestamp> StartDue();
  // Returns at that time, or earlier where there is something to do.
  void WaitUntil(Timestamp at);
  // Starts no more joins and tries none again; those under way end as they may.
  void Stop();

  size_t outstanding() const;
  // How long it has been running.
  std::chrono::microseconds elapsed() const;
  // Final once StartDue has returned nullopt.
  Tally tally() const;

 private:
  struct Join;
  using JoinPtr = std::shared_ptr<Join>;

  void Begin(const JoinPtr& join);
  void Connect(const JoinPtr& join);
  void Challenge(const JoinPtr& join);
  void OnChallenge(const JoinPtr& join, absl::StatusOr<v1::Challenge> challenge);
  void Grant(const JoinPtr& join);
  void OnGrant(const JoinPtr& join, absl::StatusOr<v1::SignedEnvelope> grant);
  void OnError(const JoinPtr& join, const absl::Status& error);
  void End(const JoinPtr& join, absl::Status status);
  std::chrono::microseconds CallTimeout(const Join& join) const;
  std::chrono::microseconds SinceBegin(Timestamp at) const;
  bool WantsTurn() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  const OpenLoopOptions options_;
  const OpenLoopParts parts_;
  const Timestamp begin_;

  mutable absl::Mutex mutex_;
  ArrivalProcess arrivals_ ABSL_GUARDED_BY(mutex_);
  std::optional<std::chrono::microseconds> next_ ABSL_GUARDED_BY(mutex_);
  std::multimap<Timestamp, JoinPtr> again_ ABSL_GUARDED_BY(mutex_);
  Timestamp next_turn_ ABSL_GUARDED_BY(mutex_);  // that StartDue returned
  uint64_t joins_ ABSL_GUARDED_BY(mutex_) = 0;
  size_t outstanding_ ABSL_GUARDED_BY(mutex_) = 0;
  bool stopped_ ABSL_GUARDED_BY(mutex_) = false;
  Uniform uniform_ ABSL_GUARDED_BY(mutex_);
  Tally tally_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace nark::load

#endif  // NARK_LOAD_OPEN_LOOP_H_
