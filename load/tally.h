#ifndef NARK_LOAD_TALLY_H_
#define NARK_LOAD_TALLY_H_

#include <chrono>
#include <cstdint>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "load/microsecond_histogram.h"

namespace nark::load {

// A join that began later than this after it was meant to is counted as late: the
// generator's doing, not the key managers'.
inline constexpr std::chrono::microseconds kLateStart = std::chrono::milliseconds(10);

// How a join came to its connection: one that was kept, or one of its own, without TLS, with
// a full handshake, or with a resumed session.
enum class Handshake { kKept, kPlain, kFull, kResumed };

// One join that has ended. Times count from the run's beginning.
struct JoinRecord {
  std::chrono::microseconds intended{0};
  std::chrono::microseconds started{0};
  std::chrono::microseconds ended{0};
  // How long the steps took that succeeded, each from its own begin; 0 for those that
  // were not taken.
  std::chrono::microseconds connect{0};
  std::chrono::microseconds challenge{0};
  std::chrono::microseconds grant{0};
  Handshake handshake = Handshake::kKept;
  uint64_t attempts = 1;
  enum class Grant { kTaken, kChecked } checked = Grant::kTaken;
  absl::Status status;
};

// What was counted of a kind of failure.
struct FailureCount {
  uint64_t joins = 0;     // that ended so
  uint64_t attempts = 0;  // of all joins, also of those that were granted in the end
  std::string example;    // of the messages
};

// A stretch of the run.
struct Interval {
  uint64_t offered = 0;  // by intended start
  uint64_t not_started = 0;
  uint64_t granted = 0;  // by end
  uint64_t failed = 0;
  // Of granted joins, by intended start.
  MicrosecondHistogram latency;
};

struct Counts {
  uint64_t offered = 0;      // that the arrival process asked for
  uint64_t not_started = 0;  // because too many were outstanding
  uint64_t started = 0;
  uint64_t late = 0;  // started more than kLateStart late
  uint64_t granted = 0;
  uint64_t failed = 0;
  uint64_t attempts = 0;
  uint64_t checked = 0;  // grants that were opened and verified
  uint64_t full_handshakes = 0;
  uint64_t resumed_handshakes = 0;
};

// Everything that a run counts. Thread-compatible.
class Tally {
 public:
  // `run` is cut into some hundred intervals at most, of a round length.
  explicit Tally(std::chrono::microseconds run);

  void OnOffered(std::chrono::microseconds intended);
  void OnNotStarted(std::chrono::microseconds intended);
  void OnStarted(std::chrono::microseconds intended, std::chrono::microseconds started);
  void OnAttemptFailed(const absl::Status& status);
  void OnEnded(const JoinRecord& join);

  const Counts& counts() const { return counts_; }
  // Of granted joins, from the intended start to the grant's arrival.
  const MicrosecondHistogram& latency() const { return latency_; }
  // From the intended start to the real one, of all that were started.
  const MicrosecondHistogram& lag() const { return lag_; }
  // Of granted joins.
  const MicrosecondHistogram& connect() const { return connect_; }
  const MicrosecondHistogram& challenge() const { return challenge_; }
  const MicrosecondHistogram& grant() const { return grant_; }
  // By code ("UNAVAILABLE") and reason ("RATE_LIMITED"; empty where there was none).
  const std::map<std::pair<std::string, std::string>, FailureCount>& failures() const {
    return failures_;
  }
  std::chrono::microseconds interval() const { return interval_; }
  const std::vector<Interval>& intervals() const { return intervals_; }
  // When the last join ended.
  std::chrono::microseconds last_end() const { return last_end_; }

 private:
  Interval& IntervalOf(std::chrono::microseconds at);
  FailureCount& FailureOf(const absl::Status& status);

  std::chrono::microseconds interval_;
  Counts counts_;
  MicrosecondHistogram latency_, lag_, connect_, challenge_, grant_;
  std::map<std::pair<std::string, std::string>, FailureCount> failures_;
  std::vector<Interval> intervals_;
  std::chrono::microseconds last_end_{0};
};

}  // namespace nark::load

#endif  // NARK_LOAD_TALLY_H_
