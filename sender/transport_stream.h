#ifndef NARK_SENDER_TRANSPORT_STREAM_H_
#define NARK_SENDER_TRANSPORT_STREAM_H_

#include <chrono>
#include <cstdint>
#include <optional>

#include "common/base/bytes.h"

namespace nark::sender {

inline constexpr size_t kPacketBytes = 188;
inline constexpr uint8_t kSyncByte = 0x47;

// Makes one continuous time out of the PCRs of a programme (ISO/IEC 13818-1 section
// 2.4.3.5): 27 MHz, wrapping after 26.5 hours. One thread only.
class ProgrammeClock {
 public:
  // A greater step between two PCRs (they come at least every 100 ms) is a splice,
  // at which programme time stands still.
  static constexpr std::chrono::seconds kMaxStep{5};
  enum class Continuity : uint8_t { kContinuous, kAnnouncedSplice };

  // `pcr` in 27 MHz ticks. Returns the time since the first one.
  std::chrono::microseconds Advance(uint64_t pcr, Continuity continuity);

 private:
  std::optional<uint64_t> last_;
  uint64_t elapsed_ticks_ = 0;
};

// Collects one table's section out of packet payloads (section 2.4.4).
class SectionCollector {
 public:
  // Returns a whole section with a right CRC, valid until the next call, or nothing.
  ByteView Collect(ByteView payload, bool unit_start);

 private:
  ByteView TakeWhole();
  Bytes section_;
  Bytes whole_;
};

// Finds in a transport stream what ADUs are cut by: the first programme's video
// PID's random-access indicators and its PCRs. Whatever the bytes, it neither fails
// nor reads beyond the packet. One thread only.
class TransportStreamScanner {
 public:
  struct Packet {
    bool video_random_access = false;
    std::optional<std::chrono::microseconds> time;  // of the PCR in this packet
  };
  // `packet` has kPacketBytes bytes and begins with kSyncByte.
  Packet Look(ByteView packet);

  // PAT and PMT of the first programme have been seen.
  bool programme_known() const { return pcr_pid_.has_value(); }
  // The last PCR's time; empty before the first.
  std::optional<std::chrono::microseconds> time() const { return time_; }
  // Forgets the time, keeps the programme: the stream is looked at from its begin.
  void Rewind();

 private:
  void ReadPat(ByteView section);
  void ReadPmt(ByteView section);
  void ReadTables(uint16_t pid, ByteView payload, bool unit_start);

  SectionCollector pat_;
  SectionCollector pmt_;
  std::optional<uint16_t> pmt_pid_;
  std::optional<uint16_t> pcr_pid_;
  std::optional<uint16_t> video_pid_;
  ProgrammeClock clock_;
  std::optional<std::chrono::microseconds> time_;
};

// Whether a stream of this type (Table 2-34, and what is in use beside it) is video.
bool IsVideoStream(uint8_t stream_type);

// CRC-32/MPEG-2 (section 2.4.4, annex A); 0 over a section with its right CRC.
uint32_t SectionCrc(ByteView bytes);

}  // namespace nark::sender

#endif  // NARK_SENDER_TRANSPORT_STREAM_H_
