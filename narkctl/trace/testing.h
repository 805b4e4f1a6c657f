#ifndef NARK_NARKCTL_TRACE_TESTING_H_
#define NARK_NARKCTL_TRACE_TESTING_H_

#include <cstdint>
#include <memory>
#include <random>
#include <vector>

#include "absl/status/statusor.h"
#include "common/audit/family.h"
#include "common/base/bytes.h"
#include "common/crypto/chameleon.h"
#include "narkctl/trace/evidence.h"
#include "narkctl/trace/lsb_alignment.h"
#include "narkctl/trace/recording.h"
#include "narkctl/trace/stream_marks.h"
#include "narkctl/trace/trace.h"

namespace nark::trace {

using Pcm = std::vector<int16_t>;

// A sender and its receivers: copies of a programme as the real cipher leaves them. Dies of
// what fails. One thread only.
class Studio {
 public:
  struct Settings {
    uint64_t seed = 1;
    uint32_t words_log2 = 16;
    uint32_t duration_ms = 1000;
    uint32_t sample_rate = 44100;
    uint32_t channels = 2;
  };
  explicit Studio(const Settings& settings);

  const audit::Family& family() const { return *family_; }
  StreamMarks& marks() { return *marks_; }
  const AduLayout& layout() const { return *layout_; }
  std::mt19937_64& random() { return random_; }

  std::vector<StreamToSearch> Streams() const;
  v1::AduTiming timing() const;
  // A leak of 16-bit samples, and what it shows.
  Recording RecordingOf(const Pcm& samples) const;
  Examination ExaminationOf(const Pcm& leak, AduRange range) const;
  Examination ExaminationOf(const Recording& leak, const Recording* master, AduRange range) const;

  static Digest IdOf(uint32_t receiver);
  static std::vector<Digest> Ids(uint32_t receivers);

  // What the sender is given as ADU `adu_id`: tones and noise, some 20 dB below full scale.
  Pcm MasterOf(uint64_t adu_id) const;
  // The same of ADUs [first, last], one after the other.
  Pcm MasterOf(AduRange adus) const;
  // What a receiver makes of a sound that is sent as ADU `adu_id`, or as ADUs that follow.
  Pcm CopyOf(uint32_t receiver, uint64_t adu_id, const Pcm& master);
  Pcm CopyOf(uint32_t receiver, AduRange adus);

 private:
  std::unique_ptr<audit::Family> family_;
  std::unique_ptr<StreamMarks> marks_;
  std::unique_ptr<AduLayout> layout_;
  Settings settings_;
  std::mt19937_64 random_;
  SecretBytes stream_key_;
  std::unique_ptr<Chameleon> base_, marked_;
  uint32_t marked_receiver_ = ~uint32_t{0};
};

// How some put their copies together. kPieces: 50 ms of each in turn; kRandom: each sample of
// one of them; kMajority: the bit that more of them have; kAverage: the mean, rounded. Ties
// are drawn.
enum class Collusion : uint8_t { kPieces, kRandom, kMajority, kAverage };
Pcm Collude(const std::vector<Pcm>& copies, Collusion how, size_t piece, std::mt19937_64& random);

// Judges receivers 0 to n - 1, whose codewords it keeps.
class Court {
 public:
  Court(const audit::Family& family, uint32_t receivers, double error_probability);
  // Numbers of those accused.
  std::vector<uint32_t> Judge(const Evidence& evidence) const;

 private:
  const audit::Family& family_;
  const double error_probability_;
  std::vector<SecretBytes> codewords_;
};

// Least significant bits of rounded samples.
BitRow LsbOf(const Pcm& samples);

}  // namespace nark::trace

#endif  // NARK_NARKCTL_TRACE_TESTING_H_
