#ifndef NARK_SENDER_WAITER_H_
#define NARK_SENDER_WAITER_H_

#include <optional>

#include "common/base/clock.h"

namespace nark::sender {

// Why a wait ended.
enum class Wake : uint8_t {
  kDue,    // the time has come
  kInput,  // the descriptor can be read
  kStop,   // the process is asked to end; every later wait says so at once
};

// How the sender waits: for a time of the steady clock, for its input, and always
// for the request to end. One thread only.
class Waiter {
 public:
  virtual ~Waiter() = default;
  virtual Timestamp Now() = 0;
  // Until `due` (never where absent) or until `descriptor` (none where negative) can
  // be read.
  virtual Wake Wait(std::optional<Timestamp> due, int descriptor) = 0;
};

}  // namespace nark::sender

#endif  // NARK_SENDER_WAITER_H_
