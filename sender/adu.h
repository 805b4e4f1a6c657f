#ifndef NARK_SENDER_ADU_H_
#define NARK_SENDER_ADU_H_

#include <chrono>
#include <cstdint>
#include <optional>

#include "common/base/bytes.h"

namespace nark::sender {

// A stretch of programme time, counted from the first PCR of the input and made
// continuous over wraps and splices.
struct ProgrammeTime {
  std::chrono::microseconds begin{0};
  std::chrono::microseconds end{0};  // at least begin
  friend bool operator==(const ProgrammeTime&, const ProgrammeTime&) = default;
};

// Which bytes of an ADU are 16-bit PCM samples, little-endian. Those are marked for each
// receiver; all others reach every receiver as they are.
struct Samples {
  uint32_t offset = 0;
  uint32_t bytes = 0;  // even; 0: none
  friend bool operator==(const Samples&, const Samples&) = default;
};

// An ADU as the segmenter cut it.
struct Adu {
  Bytes bytes;
  bool random_access = false;  // decoding can start with it
  // When the programme plays it; empty where the input has no clock.
  std::optional<ProgrammeTime> time;
  // Set where ADUs are to be marked.
  std::optional<Samples> samples;
};

}  // namespace nark::sender

#endif  // NARK_SENDER_ADU_H_
