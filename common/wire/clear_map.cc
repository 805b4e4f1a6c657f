#include "common/wire/clear_map.h"

#include <algorithm>
#include <string_view>

#include "common/base/status.h"

namespace nark::wire {
namespace {

constexpr uint16_t kFirstPid = 0x0010;  // those below are tables'
constexpr uint16_t kLastPid = 0x1ffe;   // 0x1fff is for packets of nothing
constexpr uint8_t kSyncByte = 0x47;
constexpr uint32_t kPacketHeaderBytes = 4;

absl::Status Malformed(std::string_view what) {
  return absl::InvalidArgumentError("malformed clear map: " + std::string(what));
}

absl::Status CheckRanges(const ClearRanges& clear, uint32_t plaintext_bytes) {
  if (clear.size() > kMaxClearRanges) return Malformed("too many clear ranges");
  uint64_t end = 0;
  uint64_t total = 0;
  for (const ClearRange& range : clear) {
    if (range.length == 0) return Malformed("empty clear range");
    if (range.offset < end) return Malformed("clear ranges overlap or are out of order");
    end = uint64_t{range.offset} + range.length;
    total += range.length;
  }
  if (end > plaintext_bytes) return Malformed("a clear range beyond the plaintext");
  if (total == plaintext_bytes) return Malformed("nothing is encrypted");
  return absl::OkStatus();
}

absl::Status CheckRule(const PacketRule& rule, uint32_t plaintext_bytes) {
  if (rule.phase >= kTransportPacketBytes) return Malformed("a packet has 188 bytes");
  if (rule.pids.empty() || rule.pids.size() > kMaxEncryptedPids) return Malformed("number of PIDs");
  for (size_t i = 0; i < rule.pids.size(); ++i) {
    if (rule.pids[i] < kFirstPid || rule.pids[i] > kLastPid) return Malformed("no PID of a stream");
    if (i > 0 && rule.pids[i] <= rule.pids[i - 1]) return Malformed("PIDs out of order");
  }
  if (rule.encrypted_bytes == 0) return Malformed("nothing is encrypted");
  if (rule.encrypted_bytes > plaintext_bytes) return Malformed("more is encrypted than there is");
  return absl::OkStatus();
}

// How many bytes of a packet of an encrypted PID are clear: header and adaptation field.
uint32_t ClearHead(const uint8_t* packet) {
  const bool adaptation = (packet[3] & 0x20) != 0;
  if (!adaptation) return kPacketHeaderBytes;
  const uint32_t end = kPacketHeaderBytes + 1 + packet[4];
  // A field that does not fit is none; its length is read all the same, so it is clear.
  return end <= kTransportPacketBytes ? end : kPacketHeaderBytes + 1;
}

// Ranges that touch become one.
void Add(ClearRanges& ranges, uint32_t offset, uint32_t length) {
  if (!ranges.empty() && ranges.back().offset + ranges.back().length == offset) {
    ranges.back().length += length;
  } else {
    ranges.push_back({offset, length});
  }
}

}  // namespace

bool EncryptsAll(const ClearMap& clear) {
  const auto* ranges = std::get_if<ClearRanges>(&clear);
  return ranges != nullptr && ranges->empty();
}

absl::Status CheckClearMap(const ClearMap& clear, uint32_t plaintext_bytes) {
  if (const auto* rule = std::get_if<PacketRule>(&clear)) return CheckRule(*rule, plaintext_bytes);
  return CheckRanges(std::get<ClearRanges>(clear), plaintext_bytes);
}

uint32_t EncryptedBytes(const ClearMap& clear, uint32_t plaintext_bytes) {
  if (const auto* rule = std::get_if<PacketRule>(&clear)) return rule->encrypted_bytes;
  return plaintext_bytes - static_cast<uint32_t>(TotalBytes(std::get<ClearRanges>(clear)));
}

ClearRanges ClearBytesOfPackets(uint8_t phase, const std::vector<uint16_t>& pids, ByteView body) {
  ClearRanges clear;
  for (size_t at = phase; at + kTransportPacketBytes <= body.size(); at += kTransportPacketBytes) {
    const uint8_t* packet = &body[at];
    if (packet[0] != kSyncByte) continue;
    const uint16_t pid = LoadBig16(packet + 1) & 0x1fff;
    const bool encrypted = std::find(pids.begin(), pids.end(), pid) != pids.end();
    Add(clear, static_cast<uint32_t>(at), encrypted ? ClearHead(packet) : kTransportPacketBytes);
  }
  return clear;
}

absl::StatusOr<ClearRanges> ResolveClearMap(const ClearMap& clear, ByteView body) {
  const auto plaintext_bytes = static_cast<uint32_t>(body.size());
  // No ADU is empty, but a cipher may be asked to encrypt nothing of nothing.
  if (EncryptsAll(clear)) return ClearRanges();
  RETURN_IF_ERROR(CheckClearMap(clear, plaintext_bytes));
  const auto* rule = std::get_if<PacketRule>(&clear);
  if (rule == nullptr) return std::get<ClearRanges>(clear);
  ClearRanges ranges = ClearBytesOfPackets(rule->phase, rule->pids, body);
  if (TotalBytes(ranges) + rule->encrypted_bytes != body.size()) {
    return Malformed("its rule encrypts another number of bytes than it says");
  }
  return ranges;
}

ClearRanges Complement(const ClearRanges& ranges, uint32_t plaintext_bytes) {
  ClearRanges runs;
  uint32_t at = 0;
  for (const ClearRange& range : ranges) {
    if (range.offset > at) runs.push_back({at, range.offset - at});
    at = range.offset + range.length;
  }
  if (at < plaintext_bytes) runs.push_back({at, plaintext_bytes - at});
  return runs;
}

size_t TotalBytes(const ClearRanges& ranges) {
  size_t total = 0;
  for (const ClearRange& range : ranges) total += range.length;
  return total;
}

absl::Status MaskEncrypted(const ClearMap& clear, MutableByteView body) {
  ASSIGN_OR_RETURN(const ClearRanges ranges, ResolveClearMap(clear, body));
  for (const ClearRange& run : Complement(ranges, static_cast<uint32_t>(body.size()))) {
    std::fill_n(body.begin() + run.offset, run.length, uint8_t{0});
  }
  const auto* rule = std::get_if<PacketRule>(&clear);
  if (rule == nullptr) return absl::OkStatus();
  for (size_t at = rule->phase; at + kTransportPacketBytes <= body.size();
       at += kTransportPacketBytes) {
    uint8_t* packet = &body[at];
    if (packet[0] != kSyncByte) continue;
    const uint16_t pid = LoadBig16(packet + 1) & 0x1fff;
    if (std::find(rule->pids.begin(), rule->pids.end(), pid) == rule->pids.end()) continue;
    if (ClearHead(packet) == kTransportPacketBytes) continue;
    packet[3] = static_cast<uint8_t>((packet[3] & 0x3f) | 0x80);
  }
  return absl::OkStatus();
}

}  // namespace nark::wire
