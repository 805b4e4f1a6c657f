#include "common/wire/testing.h"

#include <algorithm>

#include "common/wire/fragment.h"

namespace nark::wire {
namespace {

void FillHashes(SeededRandom& random, Header& header) {
  const uint32_t fragments = uint32_t{header.source_fragments} + header.parity_fragments;
  header.hashes.resize(LevelSizes(fragments, header.fragment_bytes).back());
  for (FragmentHash& hash : header.hashes) (void)random.Fill(hash);
}

ClearRanges RandomRanges(SeededRandom& random, uint32_t plaintext_bytes) {
  ClearRanges ranges;
  uint64_t end = 0;
  for (uint64_t n = random.Below(kMaxClearRanges + 1); n > 0; --n) {
    const uint64_t offset = end + 1 + random.Below(100);
    const uint64_t length = 1 + random.Below(200);
    if (offset + length > plaintext_bytes) break;
    ranges.push_back({static_cast<uint32_t>(offset), static_cast<uint32_t>(length)});
    end = offset + length;
  }
  return ranges;
}

PacketRule RandomRule(SeededRandom& random, uint32_t plaintext_bytes) {
  PacketRule rule;
  rule.phase = static_cast<uint8_t>(random.Below(kTransportPacketBytes));
  uint64_t pid = 0x10 + random.Below(100);
  for (uint64_t n = 1 + random.Below(kMaxEncryptedPids); n > 0; --n) {
    rule.pids.push_back(static_cast<uint16_t>(pid));
    pid += 1 + random.Below(1000);
  }
  rule.encrypted_bytes = static_cast<uint32_t>(1 + random.Below(plaintext_bytes));
  return rule;
}

}  // namespace

Header RandomHeader(SeededRandom& random) {
  Header header;
  header.random_access = random.Below(2) == 1;
  header.cipher = static_cast<uint8_t>(1 + random.Below(3));
  header.session_tag = random.Below(~uint64_t{0});
  header.sender_id = static_cast<uint32_t>(random.Below(uint64_t{1} << 32));
  header.adu_id = random.Below(~uint64_t{0});
  header.signed_time_us = random.Below(uint64_t{1} << 60);
  if (random.Below(2) == 1) header.deadline_us = header.signed_time_us + random.Below(1 << 30);
  const uint64_t most = uint64_t{1} << (4 + random.Below(21));
  header.plaintext_bytes = static_cast<uint32_t>(1 + random.Below(most));
  header.ciphertext_bytes = header.plaintext_bytes + 16;
  header.fragment_bytes =
      static_cast<uint16_t>(kMinFragmentBytes + 16 * random.Below((65520 - 512) / 16 + 1));
  header.source_fragments =
      static_cast<uint16_t>(SourceFragments(header.ciphertext_bytes, header.fragment_bytes));
  if (random.Below(2) == 1)
    header.parity_fragments =
        static_cast<uint16_t>(random.Below(header.source_fragments + uint64_t{1}));
  (void)random.Fill(header.fresh);
  if (random.Below(3) == 0) {
    header.clear_map = RandomRule(random, header.plaintext_bytes);
  } else {
    header.clear_map = RandomRanges(random, header.plaintext_bytes);
  }
  header.control_block.resize(kMinControlBlockBytes + 16 + random.Below(177));
  (void)random.Fill(header.control_block);
  FillHashes(random, header);
  return header;
}

Header SmallHeader(uint64_t session_tag) {
  Header header;
  header.cipher = 1;
  header.session_tag = session_tag;
  header.sender_id = 1;
  header.adu_id = 5;
  header.signed_time_us = 1700000000000000;
  header.deadline_us = 1700000010000000;
  header.plaintext_bytes = 100;
  header.ciphertext_bytes = 116;
  header.fragment_bytes = 1424;
  header.source_fragments = 1;
  header.fresh.fill(7);
  header.clear_map = ClearRanges{{0, 10}, {50, 50}};
  header.control_block.assign(kMinControlBlockBytes + 16, 3);
  header.hashes.resize(1);
  return header;
}

namespace {

constexpr size_t kFlagsAt = 1;
constexpr size_t kAduIdAt = 16;
constexpr size_t kBatchIndexAt = 1;
constexpr size_t kBatchCountAt = 3;
constexpr size_t kBatchPathAt = 6;
constexpr size_t kSignatureBytes = sizeof(Signature);

struct Halves {
  Bytes header;  // with its length
  Bytes field;
};
Halves Halve(const Bytes& signed_header) {
  const auto end = signed_header.begin() + 2 + LoadBig16(signed_header.data());
  return {Bytes(signed_header.begin(), end), Bytes(end, signed_header.end())};
}
Bytes Joined(const Bytes& header, const Bytes& field) {
  Bytes joined = header;
  joined.insert(joined.end(), field.begin(), field.end());
  return joined;
}

}  // namespace

std::vector<Splice> SplicesOf(const std::vector<Bytes>& batch, const std::vector<Bytes>& other) {
  std::vector<Splice> splices;
  const auto add = [&](const char* name, const Bytes& header, const Bytes& field) {
    splices.push_back({name, Joined(header, field)});
  };
  for (size_t i = 0; i < batch.size(); ++i) {
    const Halves own = Halve(batch[i]), foreign = Halve(other[i]);
    add("the other batch's field", own.header, foreign.field);
    add("the other batch's header", foreign.header, own.field);
    Bytes field = own.field;
    std::copy(foreign.field.begin() + kBatchPathAt, foreign.field.end() - kSignatureBytes,
              field.begin() + kBatchPathAt);
    add("the other batch's path", own.header, field);
    field = own.field;
    std::copy(foreign.field.end() - kSignatureBytes, foreign.field.end(),
              field.end() - kSignatureBytes);
    add("the other batch's signature", own.header, field);
    for (size_t j = 0; j < batch.size(); ++j) {
      if (j == i) continue;
      add("another header's place and path", own.header, Halve(batch[j]).field);
      field = own.field;
      StoreBig16(&field[kBatchIndexAt], static_cast<uint16_t>(j));
      add("another header's index", own.header, field);
    }
    field = own.field;
    for (size_t a = kBatchPathAt, b = field.size() - kSignatureBytes - 32; a < b;
         a += 32, b -= 32) {
      std::swap_ranges(field.begin() + static_cast<ptrdiff_t>(a),
                       field.begin() + static_cast<ptrdiff_t>(a + 32),
                       field.begin() + static_cast<ptrdiff_t>(b));
    }
    if (field != own.field) add("its path upside down", own.header, field);
    for (const int change : {-1, 1}) {
      field = own.field;
      StoreBig16(&field[kBatchCountAt], static_cast<uint16_t>(batch.size() + change));
      add("another count", own.header, field);
    }
    field.assign(1, 1);
    field.insert(field.end(), own.field.end() - kSignatureBytes, own.field.end());
    add("the batch's signature as its own", own.header, field);
    Bytes header = own.header;
    header[2 + kAduIdAt + 7] ^= 0x40;
    add("another ADU id", header, own.field);
    header = own.header;
    header[2 + kFlagsAt] ^= 1;
    add("another random access point", header, own.field);
  }
  return splices;
}

}  // namespace nark::wire
