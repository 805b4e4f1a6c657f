#include "common/wire/header.h"

#include <algorithm>
#include <utility>
#include <variant>

#include "common/base/status.h"
#include "common/wire/layout.h"

namespace nark::wire {
namespace {

constexpr uint8_t kRandomAccessFlag = 1;
constexpr size_t kControlTagBytes = 16;
constexpr uint8_t kRuleMark = 255;  // where the number of clear ranges stands
constexpr size_t kRangeBytes = 8;

absl::Status Malformed(std::string_view what) {
  return absl::InvalidArgumentError("malformed ADU header: " + std::string(what));
}

// Behind the byte that says what it is.
size_t ClearMapBytes(const ClearMap& clear) {
  if (const auto* rule = std::get_if<PacketRule>(&clear)) return 2 + 2 * rule->pids.size() + 4;
  return kRangeBytes * std::get<ClearRanges>(clear).size();
}

void WriteClearMap(const ClearMap& clear, uint8_t* to) {
  if (const auto* rule = std::get_if<PacketRule>(&clear)) {
    *to++ = kRuleMark;
    *to++ = rule->phase;
    *to++ = static_cast<uint8_t>(rule->pids.size());
    for (uint16_t pid : rule->pids) {
      StoreBig16(to, pid);
      to += 2;
    }
    StoreBig32(to, rule->encrypted_bytes);
    return;
  }
  const auto& ranges = std::get<ClearRanges>(clear);
  *to++ = static_cast<uint8_t>(ranges.size());
  for (const ClearRange& range : ranges) {
    StoreBig32(to, range.offset);
    StoreBig32(to + 4, range.length);
    to += kRangeBytes;
  }
}

// `mark` is the byte that says what it is. Values are checked by CheckHeader.
absl::StatusOr<ClearMap> ReadClearMap(uint8_t mark, Reader& reader) {
  if (mark == kRuleMark) {
    PacketRule rule;
    const ByteView head = reader.Take(2);
    if (head.empty()) return Malformed("truncated clear map");
    rule.phase = head[0];
    const size_t pids = head[1];
    if (pids > kMaxEncryptedPids) return Malformed("too many PIDs");
    const ByteView rest = reader.Take(2 * pids + 4);
    if (reader.failed()) return Malformed("truncated clear map");
    for (size_t i = 0; i < pids; ++i) rule.pids.push_back(LoadBig16(&rest[2 * i]));
    rule.encrypted_bytes = LoadBig32(&rest[2 * pids]);
    return ClearMap(std::move(rule));
  }
  if (mark > kMaxClearRanges) return Malformed("too many clear ranges");
  const ByteView map = reader.Take(kRangeBytes * mark);
  if (reader.failed()) return Malformed("truncated clear map");
  ClearRanges ranges;
  ranges.reserve(mark);
  for (size_t at = 0; at < map.size(); at += kRangeBytes) {
    ranges.push_back({LoadBig32(&map[at]), LoadBig32(&map[at + 4])});
  }
  return ClearMap(std::move(ranges));
}

// Where the fields of the core stand (header.h).
void WriteCore(const Header& header, uint16_t control_block_bytes, uint8_t* to) {
  to[0] = kHeaderVersion;
  to[1] = header.random_access ? kRandomAccessFlag : 0;
  to[2] = header.cipher;
  to[3] = kFragmentHashSha256;
  StoreBig64(to + 4, header.session_tag);
  StoreBig32(to + 12, header.sender_id);
  StoreBig64(to + 16, header.adu_id);
  StoreBig64(to + 24, header.signed_time_us);
  StoreBig64(to + 32, header.deadline_us);
  StoreBig32(to + 40, header.plaintext_bytes);
  StoreBig32(to + 44, header.ciphertext_bytes);
  StoreBig16(to + 48, header.fragment_bytes);
  StoreBig16(to + 50, header.source_fragments);
  StoreBig16(to + 52, header.parity_fragments);
  std::copy(header.fresh.begin(), header.fresh.end(), to + 54);
  StoreBig16(to + 70, control_block_bytes);
  WriteClearMap(header.clear_map, to + 72);
}

// Reads kCoreBytes bytes, all but the clear map.
absl::Status ReadFixedCore(const uint8_t* from, Header& header) {
  if (from[0] != kHeaderVersion) return Malformed("another version");
  if ((from[1] & ~kRandomAccessFlag) != 0) return Malformed("a reserved flag is set");
  if (from[3] != kFragmentHashSha256) return Malformed("unknown fragment hash");
  header.random_access = (from[1] & kRandomAccessFlag) != 0;
  header.cipher = from[2];
  header.session_tag = LoadBig64(from + 4);
  header.sender_id = LoadBig32(from + 12);
  header.adu_id = LoadBig64(from + 16);
  header.signed_time_us = LoadBig64(from + 24);
  header.deadline_us = LoadBig64(from + 32);
  header.plaintext_bytes = LoadBig32(from + 40);
  header.ciphertext_bytes = LoadBig32(from + 44);
  header.fragment_bytes = LoadBig16(from + 48);
  header.source_fragments = LoadBig16(from + 50);
  header.parity_fragments = LoadBig16(from + 52);
  std::copy_n(from + 54, header.fresh.size(), header.fresh.begin());
  return absl::OkStatus();
}

// The header alone; its views are `core` and `bytes` of the result.
absl::StatusOr<ParsedHeader> ParseHeader(ByteView bytes) {
  ParsedHeader parsed;
  Header& header = parsed.header;
  Reader reader(bytes);
  const ByteView fixed = reader.Take(kCoreBytes);
  if (fixed.empty()) return Malformed("truncated");
  RETURN_IF_ERROR(ReadFixedCore(fixed.data(), header));
  const size_t control_block_bytes = LoadBig16(fixed.data() + 70);
  ASSIGN_OR_RETURN(header.clear_map, ReadClearMap(fixed[72], reader));
  parsed.core = bytes.first(bytes.size() - reader.rest().size());
  header.control_block = ToBytes(reader.Take(control_block_bytes));
  const ByteView count = reader.Take(2);
  if (reader.failed()) return Malformed("truncated control block");
  const size_t hashes = LoadBig16(count.data());
  if (hashes > kMaxRootHashes) return Malformed("too many hashes");
  const ByteView hash_bytes = reader.Take(kFragmentHashBytes * hashes);
  if (reader.failed() || !reader.rest().empty()) return Malformed("its hashes do not fill it");
  header.hashes.resize(hashes);
  for (size_t i = 0; i < hashes; ++i) {
    std::copy_n(&hash_bytes[kFragmentHashBytes * i], kFragmentHashBytes, header.hashes[i].begin());
  }
  RETURN_IF_ERROR(CheckHeader(header));
  parsed.bytes = bytes;
  return parsed;
}

// How many pages hold the hashes of a level.
uint32_t PagesFor(uint32_t hashes, uint16_t fragment_bytes) {
  const uint32_t page_hashes = fragment_bytes / kFragmentHashBytes;
  return (hashes + page_hashes - 1) / page_hashes;
}

absl::Status CheckFragments(const Header& header) {
  if (header.fragment_bytes < kMinFragmentBytes || header.fragment_bytes % 16 != 0) {
    return Malformed("fragment size");
  }
  const uint32_t source =
      (header.ciphertext_bytes + header.fragment_bytes - 1) / header.fragment_bytes;
  if (header.source_fragments != source) return Malformed("number of source fragments");
  // Whoever makes the parity again pays for it: no more than the ADU itself.
  if (header.parity_fragments > source) return Malformed("more parity than source fragments");
  const uint32_t fragments = source + header.parity_fragments;
  if (fragments > kMaxFragments) return Malformed("too many fragments");
  if (header.hashes.size() != TopLevelSize(fragments, header.fragment_bytes)) {
    return Malformed("number of hashes");
  }
  return absl::OkStatus();
}

}  // namespace

size_t MaxRootHashes(uint16_t fragment_bytes) {
  return std::min<size_t>(kMaxRootHashes, fragment_bytes / (2 * kFragmentHashBytes));
}

std::vector<uint32_t> LevelSizes(uint32_t fragments, uint16_t fragment_bytes) {
  std::vector<uint32_t> sizes = {fragments};
  while (sizes.back() > MaxRootHashes(fragment_bytes)) {
    sizes.push_back(PagesFor(sizes.back(), fragment_bytes));
  }
  return sizes;
}

uint32_t TopLevelSize(uint32_t fragments, uint16_t fragment_bytes) {
  while (fragments > MaxRootHashes(fragment_bytes)) fragments = PagesFor(fragments, fragment_bytes);
  return fragments;
}

absl::Status CheckHeader(const Header& header) {
  if (header.plaintext_bytes == 0) return Malformed("empty ADU");
  if (header.plaintext_bytes > kMaxAduBytes) return Malformed("ADU larger than 16 MiB");
  if (header.ciphertext_bytes < header.plaintext_bytes ||
      header.ciphertext_bytes > header.plaintext_bytes + kMaxCipherGrowth) {
    return Malformed("ciphertext size");
  }
  if (header.deadline_us != 0 && header.deadline_us < header.signed_time_us) {
    return Malformed("deadline before its signed time");
  }
  if (header.control_block.size() < kMinControlBlockBytes + kControlTagBytes ||
      header.control_block.size() > kMaxControlBlockBytes + kControlTagBytes) {
    return Malformed("control block size");
  }
  RETURN_IF_ERROR(CheckClearMap(header.clear_map, header.plaintext_bytes));
  return CheckFragments(header);
}

size_t CoreBytes(const Header& header) { return kCoreBytes + ClearMapBytes(header.clear_map); }

Bytes SerialiseCore(const Header& header, uint16_t control_block_bytes) {
  Bytes core(CoreBytes(header));
  WriteCore(header, control_block_bytes, core.data());
  return core;
}

Bytes SerialiseHeader(const Header& header) {
  Bytes bytes;
  bytes.reserve(CoreBytes(header) + header.control_block.size() + 2 +
                kFragmentHashBytes * header.hashes.size());
  bytes.resize(CoreBytes(header));
  WriteCore(header, static_cast<uint16_t>(header.control_block.size()), bytes.data());
  Append(bytes, header.control_block);
  AppendBig16(bytes, static_cast<uint16_t>(header.hashes.size()));
  for (const FragmentHash& hash : header.hashes) Append(bytes, hash);
  return bytes;
}

absl::StatusOr<ParsedHeader> ParseSignedHeader(ByteView signed_header) {
  if (signed_header.size() > kMaxSignedHeaderBytes) return Malformed("too long");
  Reader reader(signed_header);
  const ByteView size = reader.Take(2);
  if (size.empty()) return Malformed("truncated");
  const ByteView bytes = reader.Take(LoadBig16(size.data()));
  if (reader.failed()) return Malformed("truncated");
  ASSIGN_OR_RETURN(ParsedHeader parsed, ParseHeader(bytes));
  RETURN_IF_ERROR(SplitAuthentication(reader.rest()).status());
  parsed.authentication = reader.rest();
  return parsed;
}

Bytes SerialiseWhole(ByteView signed_header, ByteView ciphertext) {
  Bytes payload;
  payload.reserve(2 + signed_header.size() + ciphertext.size());
  AppendBig16(payload, static_cast<uint16_t>(signed_header.size()));
  Append(payload, signed_header);
  Append(payload, ciphertext);
  return payload;
}

absl::StatusOr<ParsedWhole> ParseWhole(ByteView payload) {
  Reader reader(payload);
  const ByteView size = reader.Take(2);
  if (size.empty()) return Malformed("truncated");
  ParsedWhole parsed;
  parsed.signed_header = reader.Take(LoadBig16(size.data()));
  if (reader.failed()) return Malformed("truncated");
  parsed.ciphertext = reader.rest();
  return parsed;
}

}  // namespace nark::wire
