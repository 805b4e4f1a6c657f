#include "common/wire/datagram.h"

#include <algorithm>

#include "common/crypto/hash.h"

namespace nark::wire {
namespace {

constexpr uint8_t kMagic[2] = {'N', 'K'};

bool IsKind(uint8_t byte) {
  return byte >= static_cast<uint8_t>(DatagramKind::kHeader) &&
         byte <= static_cast<uint8_t>(DatagramKind::kWhole);
}

bool HasIndex(DatagramKind kind) {
  return kind != DatagramKind::kHeader && kind != DatagramKind::kWhole;
}

}  // namespace

void WritePrefix(const Prefix& prefix, uint8_t* to) {
  to[0] = kMagic[0];
  to[1] = kMagic[1];
  to[2] = kVersion;
  to[3] = static_cast<uint8_t>(prefix.kind);
  StoreBig64(to + 4, prefix.session_tag);
  StoreBig32(to + 12, prefix.sender_id);
  StoreBig64(to + 16, prefix.adu_id);
  StoreBig32(to + 24, prefix.index);
}

std::string_view DropName(Drop drop) {
  switch (drop) {
    case Drop::kNone:
      return "none";
    case Drop::kShort:
      return "short";
    case Drop::kMagic:
      return "magic";
    case Drop::kVersion:
      return "version";
    case Drop::kKind:
      return "kind";
    case Drop::kSession:
      return "session";
  }
  return "unknown";
}

ParsedDatagram ParseDatagram(ByteView datagram) {
  ParsedDatagram parsed;
  const auto dropped = [&parsed](Drop drop) {
    parsed.drop = drop;
    return parsed;
  };
  if (datagram.size() < kPrefixBytes) return dropped(Drop::kShort);
  const uint8_t* from = datagram.data();
  if (from[0] != kMagic[0] || from[1] != kMagic[1]) return dropped(Drop::kMagic);
  if (from[2] != kVersion) return dropped(Drop::kVersion);
  if (!IsKind(from[3])) return dropped(Drop::kKind);
  const auto kind = static_cast<DatagramKind>(from[3]);
  const uint32_t index = LoadBig32(from + 24);
  if (!HasIndex(kind) && index != 0) return dropped(Drop::kKind);
  parsed.prefix.kind = kind;
  parsed.prefix.session_tag = LoadBig64(from + 4);
  parsed.prefix.sender_id = LoadBig32(from + 12);
  parsed.prefix.adu_id = LoadBig64(from + 16);
  parsed.prefix.index = index;
  parsed.payload = datagram.subspan(kPrefixBytes);
  return parsed;
}

FragmentHash HashFragment(ByteView fragment) {
  const Digest digest = Sha256(fragment);
  FragmentHash hash;
  std::copy_n(digest.begin(), hash.size(), hash.begin());
  return hash;
}

}  // namespace nark::wire
