#ifndef NARK_SENDER_WAVE_H_
#define NARK_SENDER_WAVE_H_

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>

#include "common/base/bytes.h"

namespace nark::sender {

// What the begin of a RIFF WAVE file says of its sound.
struct WaveFormat {
  uint64_t data_offset = 0;  // of the first sample
  // Of samples; nothing where they go on to the end, as a pipe has it.
  std::optional<uint32_t> data_bytes;
  uint16_t encoding = 0;  // WAVE_FORMAT_...; that of the sub-format where it is extensible
  uint16_t channels = 0;
  uint32_t sample_rate = 0;      // of each channel, in hertz
  uint32_t byte_rate = 0;        // at least 1
  uint32_t block_bytes = 1;      // one sample of every channel
  uint16_t bits_per_sample = 0;  // that say something

  // Whether the samples are 16-bit PCM, little-endian, one of every channel in turn.
  bool IsPcm16() const;
  // For people, such as "24-bit PCM of 2 channels in blocks of 6 bytes".
  std::string ToString() const;

  // Where the samples end; the largest number where they go on.
  uint64_t data_end() const;
  // Where in the file the sound of `time` begins, a whole block.
  uint64_t OffsetOf(std::chrono::microseconds time) const;
  // When the byte at `offset` is heard; 0 for the header.
  std::chrono::microseconds TimeOf(uint64_t offset) const;
};

enum class WaveProbe : uint8_t { kNo, kNeedsMore, kYes };

// Looks at the begin of a file. Chunks (little-endian: id[4], u32 size, content,
// padded to even) up to "data". The content of "fmt ":
//
//   u16 format tag || u16 channels || u32 sample rate || u32 byte rate || u16 block bytes ||
//   u16 bits a sample || where the tag is 0xfffe: u16 22 || u16 valid bits || u32 speakers ||
//   u16 format tag || 00 00 00 00 10 00 80 00 00 aa 00 38 9b 71
//
// Programs that write to a pipe do not know the size of "data", and put there 0, what is
// close to 2^32 (ffmpeg) or to 2^31 (sox, arecord): then it goes on to the end. Sizes are
// not trusted beyond that.
WaveProbe ProbeWave(ByteView begin, WaveFormat& format);

// Whether bytes that stand behind the samples are chunks, whole and nothing else, and none
// that holds sound. The last one's padding may be missing.
bool AreTrailingChunks(ByteView bytes);

}  // namespace nark::sender

#endif  // NARK_SENDER_WAVE_H_
