#ifndef NARK_COMMON_BASE_CLOCK_H_
#define NARK_COMMON_BASE_CLOCK_H_

#include <chrono>
#include <cstdint>

namespace nark {

// A point in time, microseconds since the Unix epoch: the unit of every
// `*_time_us` field.
using Timestamp = std::chrono::sys_time<std::chrono::microseconds>;

inline uint64_t ToMicros(Timestamp t) {
  return static_cast<uint64_t>(t.time_since_epoch().count());
}
inline Timestamp FromMicros(uint64_t us) {
  return Timestamp(std::chrono::microseconds(static_cast<int64_t>(us)));
}

// Where cores get the time from. Thread-safe.
class Clock {
 public:
  virtual ~Clock() = default;
  // Wall time; may jump.
  virtual Timestamp Now() = 0;
};

class SystemClock final : public Clock {
 public:
  Timestamp Now() override {
    return std::chrono::time_point_cast<std::chrono::microseconds>(
        std::chrono::system_clock::now());
  }
};

// A clock that a test or the simulator moves. One thread only.
class ManualClock final : public Clock {
 public:
  explicit ManualClock(Timestamp start) : now_(start) {}
  Timestamp Now() override { return now_; }
  void Set(Timestamp t) { now_ = t; }
  void Advance(std::chrono::microseconds by) { now_ += by; }

 private:
  Timestamp now_;
};

}  // namespace nark

#endif  // NARK_COMMON_BASE_CLOCK_H_
