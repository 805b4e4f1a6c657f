#ifndef NARK_SENDER_WAVE_H_
#define NARK_SENDER_WAVE_H_

#include <chrono>
#include <cstdint>
#include <optional>

#include "common/base/bytes.h"

namespace nark::sender {

// What the begin of a RIFF WAVE file says of its sound.
struct WaveFormat {
  uint64_t data_offset = 0;  // of the first sample
  uint32_t byte_rate = 0;    // at least 1
  uint32_t block_bytes = 1;  // one sample of every channel

  // Where in the file the sound of `time` begins, a whole block.
  uint64_t OffsetOf(std::chrono::microseconds time) const;
  // When the byte at `offset` is heard; 0 for the header.
  std::chrono::microseconds TimeOf(uint64_t offset) const;
};

enum class WaveProbe : uint8_t { kNo, kNeedsMore, kYes };

// Looks at the begin of a file. Chunks (little-endian: id[4], u32 size, content,
// padded to even) up to "data"; "fmt " has the byte rate at 8 and the block size at
// 12 of its content. Sizes are not trusted beyond that.
WaveProbe ProbeWave(ByteView begin, WaveFormat& format);

}  // namespace nark::sender

#endif  // NARK_SENDER_WAVE_H_
