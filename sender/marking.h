#ifndef NARK_SENDER_MARKING_H_
#define NARK_SENDER_MARKING_H_

#include <cstdint>
#include <string_view>

#include "absl/status/status.h"
#include "nark/v1/session.pb.h"

namespace nark::sender {

// What of a stream is marked for each receiver. kSamples goes with an audit trail: 16-bit
// PCM samples are marked, and never sent otherwise.
enum class Marking : uint8_t { kNone, kSamples };

Marking MarkingOf(const v1::Terms& terms);

// INVALID_ARGUMENT naming the flag, where `marking` does not go with these: an input of
// datagrams, of which some get lost, and anything but encrypting all.
absl::Status CheckFlags(Marking marking, std::string_view input, std::string_view encrypt,
                        std::string_view encrypt_first);

}  // namespace nark::sender

#endif  // NARK_SENDER_MARKING_H_
