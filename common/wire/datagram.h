#ifndef NARK_COMMON_WIRE_DATAGRAM_H_
#define NARK_COMMON_WIRE_DATAGRAM_H_

#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "common/base/bytes.h"

namespace nark::wire {

// Every datagram begins with (big-endian):
//
//    0  magic         2  "NK"
//    2  version       1  1
//    3  kind          1  DatagramKind
//    4  session tag   8  first 8 bytes of the session context
//   12  sender id     4
//   16  ADU id        8
//   24  index         4  header, whole: 0; hashes: page; source, parity: fragment,
//                        numbered through (the first parity fragment has the
//                        number of source fragments)
//   28  payload
inline constexpr size_t kPrefixBytes = 28;
inline constexpr uint8_t kVersion = 1;
inline constexpr size_t kDefaultDatagramBytes = 1452;
inline constexpr size_t kMaxAduBytes = 16 << 20;  // plaintext
inline constexpr size_t kFragmentHashBytes = 16;
using FragmentHash = std::array<uint8_t, kFragmentHashBytes>;

enum class DatagramKind : uint8_t {
  kHeader = 1,  // payload: u16 header bytes || header || authentication
  kSource = 2,  // payload: fragment of the ciphertext
  kParity = 3,  // payload: parity fragment
  kHashes = 4,  // payload: one page of fragment hashes
  kWhole = 5,   // payload: u16 signed-header bytes || signed header || ciphertext
};

struct Prefix {
  DatagramKind kind = DatagramKind::kHeader;
  uint64_t session_tag = 0;
  uint32_t sender_id = 0;
  uint64_t adu_id = 0;
  uint32_t index = 0;
};

// Writes kPrefixBytes bytes.
void WritePrefix(const Prefix& prefix, uint8_t* to);

// Why a datagram was dropped before anything was known of its ADU; each is a
// counter. kSession is the receiver's own: another session's tag.
enum class Drop : uint8_t { kNone, kShort, kMagic, kVersion, kKind, kSession };
// For the counter: "short", "magic", ...
std::string_view DropName(Drop drop);

struct ParsedDatagram {
  Drop drop = Drop::kNone;
  Prefix prefix;
  ByteView payload;
};
// Cheap; allocates nothing. Does not compare the session tag. A header or whole
// datagram with an index other than 0 is dropped as kKind.
ParsedDatagram ParseDatagram(ByteView datagram);

// The 16-byte hash of a fragment or of a page of hashes: SHA-256, truncated.
FragmentHash HashFragment(ByteView fragment);

}  // namespace nark::wire

#endif  // NARK_COMMON_WIRE_DATAGRAM_H_
