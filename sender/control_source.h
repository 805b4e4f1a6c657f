#ifndef NARK_SENDER_CONTROL_SOURCE_H_
#define NARK_SENDER_CONTROL_SOURCE_H_

#include <cstddef>
#include <vector>

#include "common/wire/header.h"

namespace nark::sender {

// What stands in the control blocks of a sender's ADUs.
class ControlSource {
 public:
  virtual ~ControlSource() = default;
  // For the next ADU; what fits `plaintext_bytes` (wire::SerialiseControlBlock).
  virtual std::vector<wire::ControlEntry> Next(size_t plaintext_bytes) = 0;
};

}  // namespace nark::sender

#endif  // NARK_SENDER_CONTROL_SOURCE_H_
