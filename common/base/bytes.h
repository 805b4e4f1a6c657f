#ifndef NARK_COMMON_BASE_BYTES_H_
#define NARK_COMMON_BASE_BYTES_H_

#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace nark {

// Bytes that somebody else owns.
using ByteView = std::span<const uint8_t>;
using MutableByteView = std::span<uint8_t>;
// Bytes that are no secret. Secrets live in SecretBytes.
using Bytes = std::vector<uint8_t>;
// SHA-256 output.
using Digest = std::array<uint8_t, 32>;

// Views between the types of Protocol Buffers and ours; nothing is copied.
inline ByteView AsBytes(std::string_view text) {
  return {reinterpret_cast<const uint8_t*>(text.data()), text.size()};
}
inline std::string_view AsText(ByteView bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}
// Copies, for the fields of messages.
inline std::string ToText(ByteView bytes) { return std::string(AsText(bytes)); }
inline Bytes ToBytes(ByteView bytes) { return Bytes(bytes.begin(), bytes.end()); }

inline bool Equal(ByteView a, ByteView b) {
  return a.size() == b.size() && (a.empty() || std::memcmp(a.data(), b.data(), a.size()) == 0);
}

// Lower-case hexadecimal.
std::string ToHex(ByteView bytes);
// Empty where `hex` has an odd length or a character that is none.
Bytes FromHex(std::string_view hex);

// Big-endian integers, the order of every layout of Nark.
inline void StoreBig16(uint8_t* to, uint16_t v) {
  to[0] = static_cast<uint8_t>(v >> 8);
  to[1] = static_cast<uint8_t>(v);
}
inline void StoreBig32(uint8_t* to, uint32_t v) {
  StoreBig16(to, static_cast<uint16_t>(v >> 16));
  StoreBig16(to + 2, static_cast<uint16_t>(v));
}
inline void StoreBig64(uint8_t* to, uint64_t v) {
  StoreBig32(to, static_cast<uint32_t>(v >> 32));
  StoreBig32(to + 4, static_cast<uint32_t>(v));
}
inline uint16_t LoadBig16(const uint8_t* from) {
  return static_cast<uint16_t>(from[0] << 8 | from[1]);
}
inline uint32_t LoadBig32(const uint8_t* from) {
  return static_cast<uint32_t>(LoadBig16(from)) << 16 | LoadBig16(from + 2);
}
inline uint64_t LoadBig64(const uint8_t* from) {
  return static_cast<uint64_t>(LoadBig32(from)) << 32 | LoadBig32(from + 4);
}

}  // namespace nark

#endif  // NARK_COMMON_BASE_BYTES_H_
