#include "common/net/datagram_record.h"

#include <algorithm>
#include <array>
#include <cstring>

namespace nark::net {
namespace {

using Table = std::array<std::array<uint32_t, 256>, 8>;

// Eight bytes a step; row n is the effect of a byte n places ahead.
constexpr Table MakeTable() {
  Table table{};
  for (uint32_t byte = 0; byte < 256; ++byte) {
    uint32_t crc = byte;
    for (int bit = 0; bit < 8; ++bit) crc = (crc >> 1) ^ ((crc & 1) != 0 ? 0x82f63b78u : 0);
    table[0][byte] = crc;
  }
  for (size_t row = 1; row < 8; ++row) {
    for (uint32_t byte = 0; byte < 256; ++byte) {
      const uint32_t before = table[row - 1][byte];
      table[row][byte] = (before >> 8) ^ table[0][before & 0xff];
    }
  }
  return table;
}
constexpr Table kTable = MakeTable();

uint32_t LoadLittle32(const uint8_t* from) {
  return static_cast<uint32_t>(from[0]) | static_cast<uint32_t>(from[1]) << 8 |
         static_cast<uint32_t>(from[2]) << 16 | static_cast<uint32_t>(from[3]) << 24;
}

uint32_t ChecksumOf(ByteView head, ByteView content) {
  return Crc32c(content, Crc32c(head.subspan(4, 4)));
}

}  // namespace

uint32_t Crc32c(ByteView bytes, uint32_t seed) {
  uint32_t crc = ~seed;
  const uint8_t* at = bytes.data();
  size_t left = bytes.size();
  for (; left >= 8; at += 8, left -= 8) {
    const uint32_t low = crc ^ LoadLittle32(at);
    const uint32_t high = LoadLittle32(at + 4);
    crc = kTable[7][low & 0xff] ^ kTable[6][low >> 8 & 0xff] ^ kTable[5][low >> 16 & 0xff] ^
          kTable[4][low >> 24] ^ kTable[3][high & 0xff] ^ kTable[2][high >> 8 & 0xff] ^
          kTable[1][high >> 16 & 0xff] ^ kTable[0][high >> 24];
  }
  for (; left > 0; ++at, --left) crc = (crc >> 8) ^ kTable[0][(crc ^ *at) & 0xff];
  return ~crc;
}

void AppendRecord(RecordKind kind, ByteView content, Bytes& to) {
  const size_t at = to.size();
  to.resize(at + kRecordHeadBytes);
  std::copy(std::begin(kRecordMark), std::end(kRecordMark), &to[at]);
  StoreBig32(&to[at + 4],
             static_cast<uint32_t>(kind) << 24 | static_cast<uint32_t>(content.size()));
  StoreBig32(&to[at + 8], ChecksumOf(ByteView(to).subspan(at, kRecordHeadBytes), content));
  to.insert(to.end(), content.begin(), content.end());
}

ParsedRecord ParseRecord(ByteView bytes) {
  ParsedRecord parsed;
  const size_t marked = std::min(bytes.size(), sizeof kRecordMark);
  if (!Equal(bytes.first(marked), ByteView(kRecordMark).first(marked))) return parsed;
  parsed.result = ParsedRecord::Result::kNeedsMore;
  parsed.bytes = kRecordHeadBytes;
  if (bytes.size() < kRecordHeadBytes) return parsed;
  const uint32_t word = LoadBig32(&bytes[4]);
  const size_t length = word & 0xffffff;
  const uint32_t kind = word >> 24;
  if (length == 0 || length > kMaxRecordContent || kind < 1 || kind > 3) return ParsedRecord{};
  parsed.bytes += length;
  if (bytes.size() < parsed.bytes) return parsed;
  parsed.kind = static_cast<RecordKind>(kind);
  parsed.content = bytes.subspan(kRecordHeadBytes, length);
  const uint32_t sum = ChecksumOf(bytes.first(kRecordHeadBytes), parsed.content);
  const bool holds = LoadBig32(&bytes[8]) == sum;
  parsed.result = holds ? ParsedRecord::Result::kRecord : ParsedRecord::Result::kDamaged;
  return parsed;
}

size_t FindMark(ByteView bytes, size_t from) {
  while (from < bytes.size()) {
    const void* found = std::memchr(&bytes[from], kRecordMark[0], bytes.size() - from);
    if (found == nullptr) break;
    const size_t at = static_cast<size_t>(static_cast<const uint8_t*>(found) - bytes.data());
    const size_t there = std::min(bytes.size() - at, sizeof kRecordMark);
    if (Equal(bytes.subspan(at, there), ByteView(kRecordMark).first(there))) return at;
    from = at + 1;
  }
  return bytes.size();
}

// Of a datagram (docs/wire.md, sections 5 and 6):
//
//    0  "NK"  2 || version 1  1 || kind  1 || session tag  8 || sender id  4 || ADU id  8 ||
//   24  index  4 || bytes of header  2
//   30  header, with the signed time at 24
bool ReadIndexEntry(ByteView datagram, IndexEntry& entry) {
  constexpr size_t kSignedTime = 30 + 24;
  if (datagram.size() < kSignedTime + 8 || datagram[0] != 'N' || datagram[1] != 'K' ||
      datagram[2] != 1 || (datagram[3] != 1 && datagram[3] != 5)) {
    return false;
  }
  entry.tag = LoadBig64(&datagram[4]);
  entry.sender_id = LoadBig32(&datagram[12]);
  entry.adu_id = LoadBig64(&datagram[16]);
  entry.signed_time_us = LoadBig64(&datagram[kSignedTime]);
  return true;
}

}  // namespace nark::net
