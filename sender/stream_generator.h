#ifndef NARK_SENDER_STREAM_GENERATOR_H_
#define NARK_SENDER_STREAM_GENERATOR_H_

#include <chrono>
#include <cstdint>
#include <vector>

#include "common/base/bytes.h"

namespace nark::sender {

// Makes MPEG transport streams for tests, packet by packet, independently of the
// scanner that reads them: own field layout, own bitwise CRC.
class StreamGenerator {
 public:
  static constexpr uint16_t kPmtPid = 0x100;
  static constexpr uint16_t kVideoPid = 0x101;
  static constexpr uint16_t kAudioPid = 0x102;
  static constexpr uint64_t kPcrModulus = (uint64_t{1} << 33) * 300;

  // PAT with a network entry first, then this programme and a second one; PMT with
  // audio before video.
  void Tables(uint16_t pcr_pid = kVideoPid);
  // A packet with or without the random-access indicator; PCR in 27 MHz ticks where
  // not negative.
  enum class RandomAccess : uint8_t { kNo, kYes };
  enum class Splice : uint8_t { kNo, kYes };
  void Packet(uint16_t pid, RandomAccess random_access, int64_t pcr = -1,
              Splice splice = Splice::kNo);
  // A section, cut over as many packets as it takes.
  void Section(uint16_t pid, Bytes section);
  void Raw(ByteView bytes) { bytes_.insert(bytes_.end(), bytes.begin(), bytes.end()); }

  size_t size() const { return bytes_.size(); }
  const Bytes& bytes() const { return bytes_; }

  // Seconds of a programme: every 40 ms a PCR on the video PID, a GOP of
  // `frames_per_gop` of these, `packets_per_frame` packets, audio with random-access
  // indicators of its own between. Returns the offsets of the GOPs.
  std::vector<size_t> Programme(int frames, int frames_per_gop, int packets_per_frame,
                                uint64_t first_pcr = 0);

 private:
  Bytes bytes_;
  uint8_t counter_ = 0;
};

}  // namespace nark::sender

#endif  // NARK_SENDER_STREAM_GENERATOR_H_
