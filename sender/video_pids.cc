#include "sender/video_pids.h"

#include <utility>

namespace nark::sender {
namespace {

constexpr uint16_t kPatPid = 0;
constexpr uint8_t kPatTable = 0;
constexpr uint8_t kPmtTable = 2;
constexpr size_t kCrcBytes = 4;

uint16_t Pid(const uint8_t* at) { return LoadBig16(at) & 0x1fff; }
// Tables may be announced before they hold.
bool InForce(ByteView section) { return (section[5] & 1) != 0; }

}  // namespace

// Table id, length, stream id, version and "current", section and last section: 8
// bytes; then programme number and PID of its map, 4 bytes each, and the CRC.
void VideoPids::ReadPat(ByteView section) {
  if (section.size() < 8 + kCrcBytes || section[0] != kPatTable || !InForce(section)) return;
  ++version_;
  const bool whole_table = section[7] == 0;
  if (whole_table) programmes_.clear();
  for (size_t at = 8; at + 4 + kCrcBytes <= section.size(); at += 4) {
    const uint16_t number = LoadBig16(&section[at]);
    if (number != 0) programmes_[number] = Pid(&section[at + 2]);
  }
  std::map<uint16_t, SectionCollector> pmts;
  for (const auto& [number, pid] : programmes_) pmts[pid] = std::move(pmts_[pid]);
  pmts_ = std::move(pmts);
  std::erase_if(video_, [this](const auto& known) { return !programmes_.contains(known.first); });
}

// The same 8 bytes with the programme number at 3, PCR PID, length of descriptors and
// these; for each stream type, PID, length of descriptors and these; the CRC.
void VideoPids::ReadPmt(ByteView section) {
  if (section.size() < 12 + kCrcBytes || section[0] != kPmtTable || !InForce(section)) return;
  const uint16_t number = LoadBig16(&section[3]);
  if (!programmes_.contains(number)) return;
  ++version_;
  std::set<uint16_t>& video = video_[number];
  video.clear();
  const size_t end = section.size() - kCrcBytes;
  size_t at = 12 + (LoadBig16(&section[10]) & 0x0fffu);
  while (at + 5 <= end) {
    if (IsVideoStream(section[at])) video.insert(Pid(&section[at + 1]));
    at += 5 + (LoadBig16(&section[at + 3]) & 0x0fffu);
  }
}

void VideoPids::Look(ByteView packet) {
  const bool damaged = (packet[1] & 0x80) != 0;
  const bool unit_start = (packet[1] & 0x40) != 0;
  const bool payload = (packet[3] & 0x10) != 0;
  if (damaged || !payload) return;
  const uint16_t pid = Pid(&packet[1]);
  const auto pmt = pmts_.find(pid);
  if (pid != kPatPid && pmt == pmts_.end()) return;
  const size_t payload_at = (packet[3] & 0x20) != 0 ? 5 + size_t{packet[4]} : 4;
  if (payload_at >= kPacketBytes) return;
  if (pid == kPatPid) {
    const ByteView section = pat_.Collect(packet.subspan(payload_at), unit_start);
    if (!section.empty()) ReadPat(section);
  } else {
    const ByteView section = pmt->second.Collect(packet.subspan(payload_at), unit_start);
    if (!section.empty()) ReadPmt(section);
  }
}

bool VideoPids::complete() const {
  return !programmes_.empty() && video_.size() == programmes_.size();
}

std::set<uint16_t> VideoPids::pids() const {
  std::set<uint16_t> all;
  for (const auto& [number, video] : video_) all.insert(video.begin(), video.end());
  return all;
}

}  // namespace nark::sender
