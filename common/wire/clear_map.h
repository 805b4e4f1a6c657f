#ifndef NARK_COMMON_WIRE_CLEAR_MAP_H_
#define NARK_COMMON_WIRE_CLEAR_MAP_H_

#include <cstddef>
#include <cstdint>
#include <variant>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/base/bytes.h"

namespace nark::wire {

inline constexpr size_t kMaxClearRanges = 32;
inline constexpr size_t kMaxEncryptedPids = 8;
// The size of a packet of an MPEG transport stream (ISO/IEC 13818-1, 2.4.3.2).
inline constexpr uint32_t kTransportPacketBytes = 188;

struct ClearRange {
  uint32_t offset = 0;  // into the plaintext
  uint32_t length = 0;  // at least 1
  friend bool operator==(const ClearRange&, const ClearRange&) = default;
};
// Ascending and disjoint; may touch.
using ClearRanges = std::vector<ClearRange>;

// Encrypts what some packets of a transport stream carry, and leaves the rest clear
// (docs/wire.md, section 6). Which bytes these are follows from the packets' headers,
// which stay clear.
struct PacketRule {
  uint8_t phase = 0;           // where the first packet begins: 0 to 187
  std::vector<uint16_t> pids;  // 1 to kMaxEncryptedPids of 0x0010 to 0x1ffe, ascending
  // So many bytes are encrypted, at least 1: so sizes follow from the header alone.
  uint32_t encrypted_bytes = 0;
  friend bool operator==(const PacketRule&, const PacketRule&) = default;
};

// Which bytes of an ADU stay readable for everybody: ranges, none to begin with, or
// those that a rule gives.
using ClearMap = std::variant<ClearRanges, PacketRule>;

// Whether nothing stays clear.
bool EncryptsAll(const ClearMap& clear);

// INVALID_ARGUMENT where a range is empty, out of order, overlaps another or leaves the
// plaintext, where there are too many, a rule's phase or PIDs are none, or where no byte
// would be encrypted: nobody is to pay for a key to nothing.
absl::Status CheckClearMap(const ClearMap& clear, uint32_t plaintext_bytes);

// How many bytes a map that CheckClearMap takes leaves to be encrypted.
uint32_t EncryptedBytes(const ClearMap& clear, uint32_t plaintext_bytes);

// The clear bytes of this ADU, checked: at most kMaxClearRanges of a list, and as many
// as there are of a rule. `body` is the plaintext, or the ciphertext up to the
// plaintext's size: both give the same. INVALID_ARGUMENT as CheckClearMap, and where a
// rule does not encrypt as many bytes as it says.
absl::StatusOr<ClearRanges> ResolveClearMap(const ClearMap& clear, ByteView body);

// What the rule of these PIDs, with packets from `phase` on, leaves clear of a body;
// for senders, that count what it encrypts.
ClearRanges ClearBytesOfPackets(uint8_t phase, const std::vector<uint16_t>& pids, ByteView body);

// The runs between the ranges; of ranges as ResolveClearMap gives them.
ClearRanges Complement(const ClearRanges& ranges, uint32_t plaintext_bytes);
size_t TotalBytes(const ClearRanges& ranges);

// Makes of a body what everybody may see: encrypted bytes become zeros, and packets
// of a rule that lose any are marked as scrambled (transport_scrambling_control '10',
// ISO/IEC 13818-1, 2.4.3.3), so that players skip them. Errors of ResolveClearMap.
absl::Status MaskEncrypted(const ClearMap& clear, MutableByteView body);

}  // namespace nark::wire

#endif  // NARK_COMMON_WIRE_CLEAR_MAP_H_
