#ifndef NARK_SENDER_SEGMENTER_H_
#define NARK_SENDER_SEGMENTER_H_

#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/base/bytes.h"
#include "nark/v1/session.pb.h"
#include "sender/adu.h"
#include "sender/marking.h"
#include "sender/transport_stream.h"
#include "sender/wave.h"

namespace nark::sender {

// Where to cut.
struct CutRule {
  enum class Kind : uint8_t { kGop, kDuration, kBytes };
  Kind kind = Kind::kDuration;
  std::chrono::milliseconds duration{1000};  // kDuration
  size_t bytes = 0;                          // kBytes
  Marking marking = Marking::kNone;          // not with kGop

  // INVALID_ARGUMENT where the terms set none, or one out of range, or one by pictures
  // where sound is to be marked.
  static absl::StatusOr<CutRule> FromTerms(const v1::Terms& terms);
};

// Cuts a stream of bytes into ADUs; joined they are the input, byte for byte,
// whatever it is.
//
// kGop cuts before each packet of the first programme's video PID that carries the
// random-access indicator (ISO/IEC 13818-1 section 2.4.3.4); what comes before the
// first one is an ADU of its own. kDuration cuts before the packet whose PCR
// reaches the next multiple of the duration since the first PCR; a WAV file is cut
// at the same multiples by its byte rate. kBytes cuts at each multiple. No ADU is
// larger than 16 MiB, nor empty.
//
// Input without the marks that the rule needs is cut into pieces of 64 KiB. That is
// decided once: after kNoSyncBytes where nothing looks like a transport stream,
// after kLookAheadBytes where it does, or at the end of input; warning() then says
// so. Marks found later change nothing.
//
// Where samples are to be marked, the input is a WAV file of 16-bit PCM, or status() says
// what it is: there is no falling back, and nothing but its header, and chunks of
// kMaxTrailerBytes at most behind its samples, is sent that Adu::samples does not name. No
// cut splits a block of samples, one of each channel: kBytes and 16 MiB are rounded down to
// whole blocks, and up to one. Chunks behind the samples are an ADU of their own. One thread
// only.
class Segmenter {
 public:
  static constexpr size_t kMaxBytes = 16 << 20;
  static constexpr size_t kFallbackBytes = 64 << 10;
  static constexpr size_t kNoSyncBytes = 256 << 10;
  static constexpr size_t kLookAheadBytes = 4 << 20;
  static constexpr size_t kMaxTrailerBytes = 1 << 20;

  explicit Segmenter(const CutRule& rule);

  // Takes the next bytes of the input. Call Next until it has nothing before
  // appending more: memory is bounded by 16 MiB and what is appended at once.
  void Append(ByteView bytes);
  // The input has ended; what is left becomes ADUs.
  void Finish();
  // The next whole ADU, or nothing.
  std::optional<Adu> Next();
  // Whether what was appended tells what the input is: then clock_source() or status() does.
  // Next finds out by itself.
  bool Recognise();

  // What the times of ADUs come from. kUnknown until the input is known well enough.
  enum class ClockSource : uint8_t { kUnknown, kPcr, kByteRate, kNone };
  ClockSource clock_source() const;

  // INVALID_ARGUMENT, for people, where the input cannot be marked; then Next has nothing
  // more.
  const absl::Status& status() const { return status_; }

  // One line for people, set where the rule could not be followed, or samples that are to be
  // marked are missing; else empty.
  const std::string& warning() const { return warning_; }

 private:
  enum class State : uint8_t { kProbing, kTransportStream, kWave, kPieces };
  enum class Sync : uint8_t { kYes, kNo, kUnknown };

  void Probe();
  void ProbeSamples();
  void FallBack();
  Sync SyncAt(size_t offset) const;
  std::optional<size_t> NextPacket();
  void ScanPackets(size_t stop);
  void OnPacket(size_t offset);
  std::optional<Adu> NextByMarks();
  std::optional<Adu> NextBySize(size_t bytes);
  std::optional<Adu> NextOfWave();
  std::optional<Adu> NextOfTrailer();
  void WarnOfMissingSamples();
  uint64_t NextWaveCut();
  uint64_t WholeBlocks(uint64_t end) const;
  Samples SamplesOfNext(size_t bytes) const;
  bool marks_samples() const { return rule_.marking == Marking::kSamples; }
  Adu Take(size_t bytes);
  void Compact();
  size_t pending() const { return buffer_.size() - begin_; }

  CutRule rule_;
  State state_ = State::kProbing;
  bool finished_ = false;
  absl::Status status_;
  std::string warning_;

  Bytes buffer_;
  size_t begin_ = 0;       // of the ADU that grows
  uint64_t consumed_ = 0;  // bytes of the input before it

  // Transport streams. Packets before scan_ have been looked at.
  TransportStreamScanner scanner_;
  size_t scan_ = 0;
  bool in_sync_ = false;
  bool ever_in_sync_ = false;
  bool marks_seen_ = false;
  std::chrono::microseconds next_boundary_;
  // Of the ADU that grows.
  bool random_access_ = false;
  std::optional<std::chrono::microseconds> begin_time_;
  // Where it ends, once known: what the next one begins with.
  struct Cut {
    size_t offset;
    bool random_access;
  };
  std::optional<Cut> cut_;

  WaveFormat wave_;
  int64_t wave_cuts_ = 0;
};

}  // namespace nark::sender

#endif  // NARK_SENDER_SEGMENTER_H_
