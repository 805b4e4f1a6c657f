#ifndef NARK_NARKCTL_TRACE_RECORDING_H_
#define NARK_NARKCTL_TRACE_RECORDING_H_

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"

namespace nark::trace {

// Sound as a file has it. Samples of all channels in turn, in steps of 16-bit PCM: -32768 to
// 32767, and between where the file has more bits or was compressed with loss.
struct Recording {
  uint32_t sample_rate = 0;
  uint32_t channels = 0;
  std::vector<float> samples;

  size_t frames() const { return channels == 0 ? 0 : samples.size() / channels; }
};

// Bytes of no format: 16-bit little-endian samples.
struct RawFormat {
  uint32_t sample_rate = 0;
  uint32_t channels = 0;
};
// "RATE,CHANNELS". INVALID_ARGUMENT.
absl::StatusOr<RawFormat> ParseRawFormat(const std::string& text);

// WAV, FLAC, Ogg with Vorbis or Opus, MP3 and whatever else libsndfile reads, in a process of
// its own (apart.h): to be called while there is one thread.
// INVALID_ARGUMENT, for a format that it does not, with the ffmpeg command that makes WAV of
// it, and for what is no file; NOT_FOUND; RESOURCE_EXHAUSTED for more than 2^29 samples.
absl::StatusOr<Recording> ReadRecording(const std::string& path,
                                        const std::optional<RawFormat>& raw = std::nullopt);

}  // namespace nark::trace

#endif  // NARK_NARKCTL_TRACE_RECORDING_H_
