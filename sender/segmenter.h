#ifndef NARK_SENDER_SEGMENTER_H_
#define NARK_SENDER_SEGMENTER_H_

#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "absl/status/statusor.h"
#include "common/base/bytes.h"
#include "nark/v1/session.pb.h"
#include "sender/adu.h"
#include "sender/transport_stream.h"
#include "sender/wave.h"

namespace nark::sender {

// Where to cut.
struct CutRule {
  enum class Kind : uint8_t { kGop, kDuration, kBytes };
  Kind kind = Kind::kDuration;
  std::chrono::milliseconds duration{1000};  // kDuration
  size_t bytes = 0;                          // kBytes

  // INVALID_ARGUMENT where the terms set none, or one out of range.
  static absl::StatusOr<CutRule> FromTerms(const v1::AduTiming& timing);
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
// so. Marks found later change nothing. One thread only.
class Segmenter {
 public:
  static constexpr size_t kMaxBytes = 16 << 20;
  static constexpr size_t kFallbackBytes = 64 << 10;
  static constexpr size_t kNoSyncBytes = 256 << 10;
  static constexpr size_t kLookAheadBytes = 4 << 20;

  explicit Segmenter(const CutRule& rule);

  // Takes the next bytes of the input. Call Next until it has nothing before
  // appending more: memory is bounded by 16 MiB and what is appended at once.
  void Append(ByteView bytes);
  // The input has ended; what is left becomes ADUs.
  void Finish();
  // The next whole ADU, or nothing.
  std::optional<Adu> Next();

  // What the times of ADUs come from. kUnknown until the input is known well enough.
  enum class ClockSource : uint8_t { kUnknown, kPcr, kByteRate, kNone };
  ClockSource clock_source() const;

  // One line for people, set where the rule could not be followed; else empty.
  const std::string& warning() const { return warning_; }

 private:
  enum class State : uint8_t { kProbing, kTransportStream, kWave, kPieces };
  enum class Sync : uint8_t { kYes, kNo, kUnknown };

  void Probe();
  void FallBack();
  Sync SyncAt(size_t offset) const;
  std::optional<size_t> NextPacket();
  void ScanPackets(size_t stop);
  void OnPacket(size_t offset);
  std::optional<Adu> NextByMarks();
  std::optional<Adu> NextBySize(size_t bytes);
  std::optional<Adu> NextOfWave();
  Adu Take(size_t bytes);
  void Compact();
  size_t pending() const { return buffer_.size() - begin_; }

  CutRule rule_;
  State state_ = State::kProbing;
  bool finished_ = false;
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
