#ifndef NARK_SENDER_PACER_H_
#define NARK_SENDER_PACER_H_

#include <chrono>
#include <cstdint>
#include <optional>

#include "common/base/clock.h"
#include "sender/adu.h"

namespace nark::sender {

// When to send an ADU: from `begin` on, spread over `length`.
struct Slot {
  Timestamp begin;
  std::chrono::microseconds length{0};
};

// Decides when each ADU is sent. It reads a clock that never jumps (SteadyClock;
// only differences count) and never waits itself. One thread only.
class Pacer {
 public:
  // At once.
  static Pacer Max() { return Pacer(Kind::kMax, 0); }
  // Evenly at this many bits per second (at least 1) of the input.
  static Pacer AtRate(uint64_t bits_per_second) { return Pacer(Kind::kRate, bits_per_second); }
  // As the programme plays; ADUs without programme time at once.
  static Pacer ByProgramme() { return Pacer(Kind::kProgramme, 0); }

  // The slot of the next ADU. A sender that has fallen behind catches up; by more
  // than kMaxLag and it goes on from `now` instead of sending all that in a burst.
  Slot Next(const Adu& adu, Timestamp now);

  static constexpr std::chrono::seconds kMaxLag{1};

 private:
  enum class Kind : uint8_t { kMax, kRate, kProgramme };
  Pacer(Kind kind, uint64_t bits_per_second) : kind_(kind), bits_per_second_(bits_per_second) {}
  Slot NextAtRate(const Adu& adu, Timestamp now);
  Slot NextByProgramme(const ProgrammeTime& time, Timestamp now);

  Kind kind_;
  uint64_t bits_per_second_;
  std::optional<Timestamp> due_;  // kRate: the end of the last slot
  // kProgramme: programme time 0 in the clock's time.
  std::optional<Timestamp> origin_;
};

}  // namespace nark::sender

#endif  // NARK_SENDER_PACER_H_
