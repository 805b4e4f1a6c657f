#ifndef NARK_COMMON_NET_DATAGRAM_RECORD_H_
#define NARK_COMMON_NET_DATAGRAM_RECORD_H_

#include <cstddef>
#include <cstdint>

#include "common/base/bytes.h"

namespace nark::net {

// The records of a datagram file (docs/wire.md, "Files"):
//
//    0  mark      4  ad 4e 41 d7
//    4  kind      1  RecordKind
//    5  length    3  of the content, 1 to 65507
//    8  checksum  4  CRC-32C over kind, length and content
//   12  content
//
// Integers are big-endian. A reader that finds anything else looks for the next mark
// whose checksum holds.
inline constexpr uint8_t kRecordMark[] = {0xad, 0x4e, 0x41, 0xd7};
inline constexpr size_t kRecordHeadBytes = 12;
inline constexpr size_t kMaxRecordContent = 65507;

enum class RecordKind : uint8_t {
  kDatagram = 1,
  kIndexPage = 2,  // up to kMaxPageEntries IndexEntries
  kIndexEnd = 3,   // u64 offset of the first page || u32 pages; the last record
};

// Where an ADU begins in the file, as its first header says.
struct IndexEntry {
  uint64_t tag = 0;  // of the (sub-)session
  uint32_t sender_id = 0;
  uint64_t adu_id = 0;
  uint64_t signed_time_us = 0;
  uint64_t offset = 0;  // of the record
};
inline constexpr size_t kIndexEntryBytes = 36;
inline constexpr size_t kMaxPageEntries = 1024;
// Beyond it every second entry goes: a file of any length has an index of 2.3 MB at most.
inline constexpr size_t kMaxIndexEntries = 1 << 16;
// Beyond it streams get no index: nobody records so many.
inline constexpr size_t kMaxIndexedStreams = 4096;

// CRC-32C (RFC 3720, appendix B.4). Of damage it tells, of malice nothing.
uint32_t Crc32c(ByteView bytes, uint32_t seed = 0);

// Appends a record. `content` has 1 to kMaxRecordContent bytes.
void AppendRecord(RecordKind kind, ByteView content, Bytes& to);

// The record at the beginning of `bytes`, which may go on behind it.
struct ParsedRecord {
  enum class Result { kRecord, kDamaged, kNeedsMore } result = Result::kDamaged;
  RecordKind kind = RecordKind::kDatagram;
  ByteView content;
  // Of all of it; kNeedsMore: how many are needed from its beginning; kDamaged: how many were
  // read to find out, 0 where the first few said it.
  size_t bytes = 0;
};
ParsedRecord ParseRecord(ByteView bytes);

// The first place from `from` on where a mark stands or may begin; the size of `bytes`
// where there is none.
size_t FindMark(ByteView bytes, size_t from);

// What an index says of a datagram that holds a header; false for any other.
bool ReadIndexEntry(ByteView datagram, IndexEntry& entry);

}  // namespace nark::net

#endif  // NARK_COMMON_NET_DATAGRAM_RECORD_H_
