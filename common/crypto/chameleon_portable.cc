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

// Whole words, by as many of key stream.
void XorWords(const uint64_t* block, uint64_t mask, ByteView stream, const uint8_t* in,
              uint8_t* out) {
  for (size_t i = 0; i < stream.size(); i += 8) {
    const uint64_t choice = LoadLittle64(&stream[i]);
    uint64_t word;
    std::memcpy(&word, in + i, sizeof word);
    word ^= block[choice & mask] ^ block[choice >> 16 & mask] ^ block[choice >> 32 & mask] ^
            block[choice >> 48 & mask];
    std::memcpy(out + i, &word, sizeof word);
  }
}

}  // namespace

absl::Status ApplyPortable(Keystream& keystream, const ChameleonJob& job) {
  RETURN_IF_ERROR(keystream.Start(job.key));
  alignas(64) std::array<uint8_t, kTileBytes> tile;
  for (size_t at = 0; at < job.in.size(); at += kTileBytes) {
    const size_t size = std::min(kTileBytes, job.in.size() - at);
    RETURN_IF_ERROR(keystream.Fill(MutableByteView(tile).first((size + 7) / 8 * 8)));
    const uint8_t* const in = &job.in[at];
    uint8_t* const out = &job.out[at];
    const size_t whole = size / 8 * 8;
    XorWords(job.block, job.mask, ByteView(tile).first(whole), in, out);
    if (whole == size) continue;
    std::array<uint8_t, 8> last{};
    std::copy(in + whole, in + size, last.begin());
    XorWords(job.block, job.mask, ByteView(tile).subspan(whole, 8), last.data(), last.data());
    std::copy_n(last.begin(), size - whole, out + whole);
  }
  return absl::OkStatus();
}

}  // namespace nark
