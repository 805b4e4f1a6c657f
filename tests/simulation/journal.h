#ifndef NARK_TESTS_SIMULATION_JOURNAL_H_
#define NARK_TESTS_SIMULATION_JOURNAL_H_

#include <cstdint>
#include <random>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "common/base/clock.h"
#include "common/crypto/hash.h"

namespace nark::simulation {

// What happened in a run, in order. Keys and signatures differ from run to run
// (OpenSSL makes them), so it holds decisions, ids, sizes and times, not bytes: two
// runs of one seed write the same. One thread only.
class Journal {
 public:
  explicit Journal(ManualClock& clock) : clock_(clock) {}

  // `who` did `what`.
  void Event(const std::string& who, const std::string& what);
  // An invariant does not hold.
  void Violation(const std::string& what);
  void Require(bool holds, const std::string& what) {
    if (!holds) Violation(what);
  }
  void Require(const absl::Status& status, const std::string& what) {
    if (!status.ok()) Violation(what + ": " + status.ToString());
  }

  const std::vector<std::string>& violations() const { return violations_; }
  uint64_t events() const { return events_; }
  // SHA-256 over all events.
  std::string Hash() const { return hash_; }
  // The last ones, for a failure's message.
  std::string Tail() const;

 private:
  ManualClock& clock_;
  std::vector<std::string> violations_;
  std::vector<std::string> recent_;
  std::string hash_;
  uint64_t events_ = 0;
};

// Chance of one purpose; each has its own, so that one that draws more often does
// not change what happens to another.
class Dice {
 public:
  Dice(uint64_t seed, uint64_t purpose) : random_(seed * 1000003 + purpose) {}
  uint64_t Below(uint64_t limit) { return random_() % limit; }
  uint64_t Between(uint64_t least, uint64_t most) { return least + Below(most - least + 1); }
  bool OneIn(uint64_t times) { return Below(times) == 0; }

 private:
  std::mt19937_64 random_;
};

}  // namespace nark::simulation

#endif  // NARK_TESTS_SIMULATION_JOURNAL_H_
