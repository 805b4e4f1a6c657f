#ifndef NARK_SENDER_CONTROL_SOURCE_H_
#define NARK_SENDER_CONTROL_SOURCE_H_

#include <cstddef>
#include <cstdint>
#include <vector>

#include "common/object/session.h"
#include "common/wire/header.h"

namespace nark::sender {

// What stands in the control blocks of a sender's ADUs.
class ControlSource {
 public:
  virtual ~ControlSource() = default;
  // For the next ADU; what fits `plaintext_bytes` (wire::SerialiseControlBlock).
  virtual std::vector<wire::ControlEntry> Next(size_t plaintext_bytes) = 0;
};

// How many bytes of a sub-session's control blocks are left for orders: where the terms
// demand digests, each ADU's own takes 42.
inline size_t RoomForOrders(const v1::Terms& terms, uint32_t sub_session) {
  constexpr size_t kDigestEntryBytes = 1 + 8 + 1 + 32;
  return terms.control_block_bytes() - (DemandsDigest(terms, sub_session) ? kDigestEntryBytes : 0);
}

}  // namespace nark::sender

#endif  // NARK_SENDER_CONTROL_SOURCE_H_
