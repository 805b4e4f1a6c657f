#ifndef NARK_SECURESPACE_FRESHNESS_H_
#define NARK_SECURESPACE_FRESHNESS_H_

#include <cstdint>
#include <map>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/base/bytes.h"
#include "securespace/codec.h"
#include "securespace/journal.h"
#include "securespace/rollback_counter.h"

namespace nark::securespace {

// Holds the files of a state against a rollback counter. Each record begins with a
// stamp, sealed with it:
//
//    0  format     1  2; a record without a stamp begins with 1
//    1  counter   32  identity of the counter
//   33  mark       8  the counter's value once the record counts
//   41  others    32  hash over where every other file of the state ends
//   73  the record itself
//
// A record is made durable, then the counter incremented, then what follows from the
// record may leave. The newest record therefore has the counter's value as its mark,
// or one more if a crash fell between, and vouches for all other files.
//
// Opening is a record of its own. Otherwise a record that was written, never counted
// and kept aside would fit the counter again after another one took its turn.
//
// Without a counter there are no stamps, and nothing is checked. One thread only.
class Freshness {
 public:
  // `counter` may be null, else it outlives this.
  explicit Freshness(RollbackCounter* counter);

  bool counts() const { return counter_ != nullptr; }
  // The counter's value, as last seen.
  uint64_t value() const { return value_; }

  // Before the first record of a state that is new.
  absl::Status Begin();

  // Loading: takes the stamp off a record of `file`, whose last one counts.
  // FAILED_PRECONDITION where the state was made with another counter, or with one
  // and there is none, or the other way round.
  absl::StatusOr<ByteView> TakeStamp(const std::string& file, ByteView record);
  // `file` ends there, read or written.
  void EndsAt(const std::string& file, const JournalPosition& end);
  // Once all is loaded. `first`, the list of files, is the newest of two with one mark.
  // FAILED_PRECONDITION where the state is not the newest one, DATA_LOSS where one of
  // its files is not. Catches up with a record that was not counted.
  absl::Status Check(const std::string& first);

  // Writing: begins the next record of `file`.
  void Stamp(const std::string& file, Writer& to) const;
  // Counts what was written since the last time. FAILED_PRECONDITION where somebody
  // else counted too: another process has a copy of this state open.
  absl::Status Count();

 private:
  struct Stamped {
    uint64_t mark = 0;
    Digest others{};
  };
  Digest OthersThan(const std::string& file) const;

  RollbackCounter* counter_;
  uint64_t value_ = 0;
  std::map<std::string, JournalPosition> ends_;
  std::map<std::string, Stamped> stamps_;  // of the last record read of each file
};

}  // namespace nark::securespace

#endif  // NARK_SECURESPACE_FRESHNESS_H_
