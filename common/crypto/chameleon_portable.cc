#include <algorithm>
#include <array>
#include <bit>
#include <cstring>

#include "common/base/status.h"
#include "common/crypto/chameleon_loop.h"

namespace nark {
namespace {

// Of key stream at a time: stays in the first cache beside a part of the block.
constexpr size_t kTileBytes = 4096;

uint64_t LoadLittle64(const uint8_t* bytes) {
  uint64_t word;
  std::memcpy(&word, bytes, sizeof word);
  return std::endian::native == std::endian::little ? word : __builtin_bswap64(word);
}

}  // namespace

absl::Status ApplyPortable(Keystream& keystream, const ChameleonJob& job) {
  RETURN_IF_ERROR(keystream.Start(job.key));
  const uint64_t* block = job.block;
  const uint64_t mask = job.mask;
  std::array<uint8_t, kTileBytes> tile;
  for (size_t at = 0; at < job.in.size(); at += kTileBytes) {
    const size_t size = std::min(kTileBytes, job.in.size() - at);
    RETURN_IF_ERROR(keystream.Fill(MutableByteView(tile).first((size + 7) / 8 * 8)));
    const uint8_t* in = &job.in[at];
    uint8_t* out = &job.out[at];
    for (size_t i = 0; i < size; i += 8) {
      const uint64_t choice = LoadLittle64(&tile[i]);
      const uint64_t mixed = block[choice & mask] ^ block[choice >> 16 & mask] ^
                             block[choice >> 32 & mask] ^ block[choice >> 48 & mask];
      uint64_t word = 0;
      if (size - i >= sizeof word) {
        std::memcpy(&word, in + i, sizeof word);
        word ^= mixed;
        std::memcpy(out + i, &word, sizeof word);
      } else {
        std::memcpy(&word, in + i, size - i);
        word ^= mixed;
        std::memcpy(out + i, &word, size - i);
      }
    }
  }
  return absl::OkStatus();
}

}  // namespace nark
