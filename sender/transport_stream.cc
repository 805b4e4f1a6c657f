#include "sender/transport_stream.h"

#include <algorithm>
#include <array>

namespace nark::sender {
namespace {

constexpr uint64_t kPcrModulus = (uint64_t{1} << 33) * 300;
constexpr uint64_t kTicksPerSecond = 27'000'000;
constexpr uint64_t kTicksPerMicrosecond = 27;
constexpr uint16_t kPatPid = 0;
constexpr uint16_t kNoPcrPid = 0x1fff;
constexpr uint8_t kPatTable = 0;
constexpr uint8_t kPmtTable = 2;
constexpr size_t kMaxSectionBytes = 1024;
constexpr size_t kCrcBytes = 4;

uint16_t Pid(const uint8_t* at) { return LoadBig16(at) & 0x1fff; }

constexpr std::array<uint32_t, 256> MakeCrcTable() {
  std::array<uint32_t, 256> table{};
  for (uint32_t i = 0; i < 256; ++i) {
    uint32_t crc = i << 24;
    for (int bit = 0; bit < 8; ++bit) crc = crc << 1 ^ (crc >> 31 ? 0x04c11db7u : 0);
    table[i] = crc;
  }
  return table;
}
constexpr std::array<uint32_t, 256> kCrcTable = MakeCrcTable();

}  // namespace

bool IsVideoStream(uint8_t stream_type) {
  switch (stream_type) {
    case 0x01:  // MPEG-1
    case 0x02:  // MPEG-2
    case 0x10:  // MPEG-4 part 2
    case 0x1b:  // H.264
    case 0x1e:  // auxiliary video
    case 0x1f:  // H.264 SVC
    case 0x20:  // H.264 MVC
    case 0x21:  // JPEG 2000
    case 0x24:  // H.265
    case 0x33:  // H.266
    case 0x42:  // AVS
    case 0xd1:  // Dirac
    case 0xd2:  // AVS2
    case 0xea:  // VC-1
      return true;
    default:
      return false;
  }
}

uint32_t SectionCrc(ByteView bytes) {
  uint32_t crc = 0xffffffff;
  for (uint8_t byte : bytes) crc = crc << 8 ^ kCrcTable[crc >> 24 ^ byte];
  return crc;
}

std::chrono::microseconds ProgrammeClock::Advance(uint64_t pcr, Continuity continuity) {
  if (last_.has_value() && continuity == Continuity::kContinuous) {
    uint64_t step = (pcr + kPcrModulus - *last_) % kPcrModulus;
    if (step <= kTicksPerSecond * static_cast<uint64_t>(kMaxStep.count())) elapsed_ticks_ += step;
  }
  last_ = pcr;
  return std::chrono::microseconds(elapsed_ticks_ / kTicksPerMicrosecond);
}

ByteView SectionCollector::Collect(ByteView payload, bool unit_start) {
  if (!unit_start) {
    if (section_.empty()) return {};
    section_.insert(section_.end(), payload.begin(), payload.end());
    return TakeWhole();
  }
  // A pointer field comes first; what it skips ends the section before.
  if (payload.empty() || payload[0] >= payload.size()) {
    section_.clear();
    return {};
  }
  ByteView rest = payload.subspan(1, payload[0]);
  ByteView next = payload.subspan(1 + size_t{payload[0]});
  ByteView ended;
  if (!section_.empty()) {
    section_.insert(section_.end(), rest.begin(), rest.end());
    ended = TakeWhole();
  }
  section_.assign(next.begin(), next.end());
  // Both at once happens with tiny tables only, which repeat.
  return ended.empty() ? TakeWhole() : ended;
}

ByteView SectionCollector::TakeWhole() {
  if (section_.size() < 3) return {};
  size_t size = 3 + (LoadBig16(&section_[1]) & 0x0fffu);
  if (size > kMaxSectionBytes) {
    section_.clear();
    return {};
  }
  if (section_.size() < size) return {};
  whole_.assign(section_.begin(), section_.begin() + static_cast<ptrdiff_t>(size));
  section_.clear();
  return SectionCrc(whole_) == 0 ? ByteView(whole_) : ByteView();
}

void TransportStreamScanner::Rewind() {
  clock_ = ProgrammeClock();
  time_.reset();
  pat_ = SectionCollector();
  pmt_ = SectionCollector();
}

// Program association section: 8 bytes of header, then programme number and PID of
// its map, 4 bytes each, then the CRC.
void TransportStreamScanner::ReadPat(ByteView section) {
  if (section.size() < 8 + kCrcBytes || section[0] != kPatTable) return;
  for (size_t at = 8; at + 4 + kCrcBytes <= section.size(); at += 4) {
    bool network = LoadBig16(&section[at]) == 0;
    if (network) continue;
    uint16_t pid = Pid(&section[at + 2]);
    if (pmt_pid_ != pid) pmt_ = SectionCollector();
    pmt_pid_ = pid;
    return;
  }
}

// Program map section: 8 bytes of header, PCR PID, length of descriptors and these,
// then for each stream: type, PID, length of descriptors and these; then the CRC.
void TransportStreamScanner::ReadPmt(ByteView section) {
  if (section.size() < 12 + kCrcBytes || section[0] != kPmtTable) return;
  size_t end = section.size() - kCrcBytes;
  pcr_pid_ = Pid(&section[8]);
  video_pid_.reset();
  size_t at = 12 + (LoadBig16(&section[10]) & 0x0fffu);
  while (at + 5 <= end && !video_pid_.has_value()) {
    if (IsVideoStream(section[at])) video_pid_ = Pid(&section[at + 1]);
    at += 5 + (LoadBig16(&section[at + 3]) & 0x0fffu);
  }
  // Some muxers say that there is no PCR, and send it with the video.
  if (pcr_pid_ == kNoPcrPid && video_pid_.has_value()) pcr_pid_ = video_pid_;
}

void TransportStreamScanner::ReadTables(uint16_t pid, ByteView payload, bool unit_start) {
  if (pid == kPatPid) {
    ByteView section = pat_.Collect(payload, unit_start);
    if (!section.empty()) ReadPat(section);
  } else if (pid == pmt_pid_) {
    ByteView section = pmt_.Collect(payload, unit_start);
    if (!section.empty()) ReadPmt(section);
  }
}

// Packet: sync byte; error, unit start, priority and PID; scrambling, adaptation
// field control and continuity counter; then an adaptation field (length, flags,
// PCR: 33 bits of 90 kHz, 6 reserved, 9 of 27 MHz) and the payload, either or both.
TransportStreamScanner::Packet TransportStreamScanner::Look(ByteView packet) {
  Packet found;
  bool damaged = (packet[1] & 0x80) != 0;
  bool unit_start = (packet[1] & 0x40) != 0;
  bool adaptation = (packet[3] & 0x20) != 0;
  bool payload = (packet[3] & 0x10) != 0;
  uint16_t pid = Pid(&packet[1]);
  size_t payload_at = 4;
  if (damaged) return found;
  if (adaptation) {
    size_t length = packet[4];
    payload_at += 1 + length;
    if (payload_at > kPacketBytes) return found;
    uint8_t flags = length > 0 ? packet[5] : 0;
    found.video_random_access = pid == video_pid_ && (flags & 0x40) != 0;
    if ((flags & 0x10) != 0 && length >= 7 && pid == pcr_pid_ && pid != kNoPcrPid) {
      uint64_t base = uint64_t{LoadBig32(&packet[6])} << 1 | packet[10] >> 7;
      uint64_t extension = LoadBig16(&packet[10]) & 0x1ffu;
      bool splice = (flags & 0x80) != 0;
      time_ = clock_.Advance(base * 300 + extension,
                             splice ? ProgrammeClock::Continuity::kAnnouncedSplice
                                    : ProgrammeClock::Continuity::kContinuous);
      found.time = time_;
    }
  }
  if (payload && payload_at < kPacketBytes) {
    ReadTables(pid, packet.subspan(payload_at), unit_start);
  }
  return found;
}

}  // namespace nark::sender
