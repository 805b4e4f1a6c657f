#ifndef NARK_COMMON_WIRE_MARKED_TESTING_H_
#define NARK_COMMON_WIRE_MARKED_TESTING_H_

#include <cstdint>
#include <memory>

#include "common/object/testing.h"
#include "common/wire/cipher.h"

namespace nark::wire {

// One ADU of a test's session.
struct TestAduName {
  uint32_t sub_session = 0;
  uint32_t sender_id = 1;
  uint64_t adu_id = 0;
};

// A cipher that seals this ADU next as the session's sender does; where it marks, all of the
// ADU's whole samples. Ends the test program where something fails.
std::unique_ptr<AduCipher> SealingCipher(const TestSession& session, const TestAduName& adu,
                                         size_t plaintext_bytes);

}  // namespace nark::wire

#endif  // NARK_COMMON_WIRE_MARKED_TESTING_H_
