#include "relay/repeat_guard.h"

#include "absl/hash/hash.h"
#include "absl/strings/string_view.h"
#include "common/base/status.h"

namespace nark::relay {

bool RepeatGuard::Allow(ByteView datagram, Timestamp now) {
  // All of its bytes: else a forged datagram with a true prefix could use up the true
  // one's passes.
  const uint64_t hash = absl::HashOf(Absl(AsText(datagram)));
  const auto now_ms = static_cast<uint32_t>(ToMicros(now) / 1000);
  const auto window_ms =
      static_cast<uint32_t>(std::chrono::duration_cast<std::chrono::milliseconds>(kWindow).count());
  Slot& slot = slots_[hash % kSlots];
  if (slot.hash != hash || now_ms - slot.since_ms > window_ms) slot = {hash, now_ms, 0};
  if (slot.passed >= kMost) return false;
  ++slot.passed;
  return true;
}

}  // namespace nark::relay
