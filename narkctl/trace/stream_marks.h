#ifndef NARK_NARKCTL_TRACE_STREAM_MARKS_H_
#define NARK_NARKCTL_TRACE_STREAM_MARKS_H_

#include <chrono>
#include <cstdint>
#include <vector>

#include "absl/status/statusor.h"
#include "common/audit/family.h"
#include "common/audit/stream_keys.h"
#include "common/crypto/keystream.h"
#include "common/crypto/secret_bytes.h"
#include "nark/v1/session.pb.h"

namespace nark::trace {

// A row of bits, 64 a word, the first the lowest.
using BitRow = std::vector<uint64_t>;
inline bool BitAt(const BitRow& bits, size_t at) { return bits[at / 64] >> (at % 64) & 1; }

// A sample that one symbol alone marks: where a receiver's codeword has 1, its least
// significant bit is not the plane's.
struct Single {
  uint32_t sample = 0;  // in the ADU
  uint32_t symbol = 0;
};

// What the audit secret says of the samples of one ADU, as many as were asked for.
struct AduMarks {
  size_t samples = 0;
  BitRow plane;  // least significant bits before anybody's mark
  BitRow bare;   // 1 where no symbol marks the sample: every copy has the plane's bit
  std::vector<Single> singles;  // ascending by sample
};

// What the sender did to one stream of a session. One thread only.
class StreamMarks {
 public:
  // `family` outlives it. `stream_key`: Family::StreamKey.
  static absl::StatusOr<StreamMarks> Create(const audit::Family& family, SecretBytes stream_key);

  // The plane alone, of so many samples, padded to whole words.
  absl::StatusOr<BitRow> PlaneOf(uint64_t adu_id, size_t samples);
  absl::StatusOr<AduMarks> MarksOf(uint64_t adu_id, size_t samples);

  const audit::Family& family() const { return *family_; }

 private:
  StreamMarks(const audit::Family& family, SecretBytes stream_key,
              std::unique_ptr<Keystream> keystream)
      : family_(&family), stream_key_(std::move(stream_key)), keystream_(std::move(keystream)) {}

  const audit::Family* family_;
  SecretBytes stream_key_;
  std::unique_ptr<Keystream> keystream_;
};

// How a sender cuts sound into ADUs, of samples of all channels. What it cannot know (how long
// a file's header was, when a sender began) moves a boundary by a little.
class AduLayout {
 public:
  // UNIMPLEMENTED for a rule that knows nothing of sound.
  static absl::StatusOr<AduLayout> Of(const v1::AduTiming& timing, uint32_t sample_rate,
                                      uint32_t channels);

  // Where the ADU of this number begins, if that of number 0 begins at 0 and `header_bytes`
  // go before its samples.
  uint64_t BeginOf(uint64_t number, uint64_t header_bytes = 0) const;
  size_t SamplesOf(uint64_t number) const {
    return static_cast<size_t>(BeginOf(number + 1) - BeginOf(number));
  }
  uint32_t channels() const { return channels_; }

 private:
  AduLayout() = default;
  uint64_t duration_ms_ = 0;  // else
  uint64_t bytes_ = 0;
  uint32_t sample_rate_ = 0, channels_ = 0;
};

}  // namespace nark::trace

#endif  // NARK_NARKCTL_TRACE_STREAM_MARKS_H_
