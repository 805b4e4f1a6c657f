#include "common/audit/stream_keys.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cstring>
#include <utility>

#include "common/base/status.h"
#include "common/crypto/hash.h"
#include "common/crypto/secret_bytes.h"

namespace nark::audit {
namespace {

// Of key stream at a time: for 4,096 samples.
constexpr size_t kTileBytes = 512;

// Four samples as a word whose least significant bits are the four bits of `nibble`, as it
// lies in memory on any machine.
constexpr uint64_t SamplesOf(uint8_t nibble) {
  std::array<uint8_t, 8> samples{};
  for (size_t t = 0; t < 4; ++t) samples[2 * t] = nibble >> t & 1;
  return std::bit_cast<uint64_t>(samples);
}

constexpr std::array<uint64_t, 16> kSamplesOfNibble = [] {
  std::array<uint64_t, 16> samples{};
  for (uint8_t nibble = 0; nibble < 16; ++nibble) samples[nibble] = SamplesOf(nibble);
  return samples;
}();

void SetFour(uint8_t nibble, uint8_t* samples) {
  uint64_t word;
  std::memcpy(&word, samples, sizeof word);
  word = (word & ~SamplesOf(15)) | kSamplesOfNibble[nibble];
  std::memcpy(samples, &word, sizeof word);
}

// `count` samples from bit 0 of `bits` on.
void SetLowBits(ByteView bits, uint8_t* samples, size_t count) {
  size_t t = 0;
  for (; t + 8 <= count; t += 8) {
    SetFour(bits[t / 8] & 15, samples + 2 * t);
    SetFour(bits[t / 8] >> 4, samples + 2 * t + 8);
  }
  for (; t < count; ++t) {
    uint8_t& low = samples[2 * t];
    low = static_cast<uint8_t>((low & 0xfe) | (bits[t / 8] >> (t % 8) & 1));
  }
}

}  // namespace

absl::StatusOr<AduMarkKeys> MarkKeysOf(const SecretBytes& stream_key, uint64_t adu_id) {
  if (stream_key.size() != kStreamKeyBytes) {
    return absl::InvalidArgumentError("the audit key of a stream has 32 bytes");
  }
  std::array<uint8_t, 8> id;
  for (size_t i = 0; i < id.size(); ++i) id[i] = static_cast<uint8_t>(adu_id >> (56 - 8 * i));
  AduMarkKeys keys;
  ASSIGN_OR_RETURN(keys.index, HkdfExpand(stream_key, LabelledEncoding("nark audit index v1", {id}),
                                          kKeystreamKeyBytes));
  ASSIGN_OR_RETURN(keys.plane, HkdfExpand(stream_key, LabelledEncoding("nark audit plane v1", {id}),
                                          kKeystreamKeyBytes));
  return keys;
}

absl::StatusOr<SecretBytes> BaseBlockBytes(const SecretBytes& base_block_key, uint32_t words_log2) {
  return KeystreamOf(base_block_key, size_t{8} << words_log2);
}

absl::StatusOr<LsbPlane> LsbPlane::Create() {
  ASSIGN_OR_RETURN(std::unique_ptr<Keystream> keystream, Keystream::Create());
  return LsbPlane(std::move(keystream));
}

absl::Status LsbPlane::Set(const SecretBytes& plane_key, MutableByteView samples) {
  RETURN_IF_ERROR(keystream_->Start(plane_key));
  std::array<uint8_t, kTileBytes> tile;
  const size_t count = samples.size() / 2;
  for (size_t at = 0; at < count; at += 8 * kTileBytes) {
    const size_t size = std::min(8 * kTileBytes, count - at);
    RETURN_IF_ERROR(keystream_->Fill(MutableByteView(tile).first((size + 7) / 8)));
    SetLowBits(tile, &samples[2 * at], size);
  }
  Wipe(tile);
  return absl::OkStatus();
}

}  // namespace nark::audit
