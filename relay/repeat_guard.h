#ifndef NARK_RELAY_REPEAT_GUARD_H_
#define NARK_RELAY_REPEAT_GUARD_H_

#include <chrono>
#include <cstdint>
#include <vector>

#include "common/base/bytes.h"
#include "common/base/clock.h"

namespace nark::relay {

// Ends circles of relays: the same bytes pass kMost times in kWindow, no more. A
// sender repeats a header or a page a few times only. Fixed memory (1 MiB); what it
// forgets under pressure passes once more. One thread only.
class RepeatGuard {
 public:
  static constexpr int kMost = 16;
  static constexpr std::chrono::seconds kWindow{10};

  RepeatGuard() : slots_(kSlots) {}
  // Whether the datagram may pass; counts it if so.
  bool Allow(ByteView datagram, Timestamp now);

 private:
  static constexpr size_t kSlots = 1 << 16;
  struct Slot {
    uint64_t hash = 0;
    uint32_t since_ms = 0;
    uint32_t passed = 0;
  };
  std::vector<Slot> slots_;
};

}  // namespace nark::relay

#endif  // NARK_RELAY_REPEAT_GUARD_H_
