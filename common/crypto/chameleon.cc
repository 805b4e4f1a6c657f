#include "common/crypto/chameleon.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cstring>
#include <utility>

#include "common/base/status.h"

namespace nark {
namespace {

// Of key stream at a time: stays in the first cache beside a part of the block.
constexpr size_t kTileBytes = 4096;

}  // namespace

absl::StatusOr<ChameleonBlock> ChameleonBlock::Of(SecretBytes bytes) {
  const size_t words = bytes.size() / sizeof(uint64_t);
  if (bytes.size() % sizeof(uint64_t) != 0 || !std::has_single_bit(words) ||
      words < size_t{1} << kMinWordsLog2 || words > size_t{1} << kMaxWordsLog2) {
    return absl::InvalidArgumentError("a chameleon block has 2^10 to 2^16 words of 64 bits");
  }
  return ChameleonBlock(std::move(bytes), static_cast<uint32_t>(std::countr_zero(words)));
}

Chameleon::Chameleon(std::shared_ptr<const ChameleonBlock> block,
                     std::unique_ptr<Keystream> keystream)
    : block_(std::move(block)), keystream_(std::move(keystream)) {}

absl::StatusOr<std::unique_ptr<Chameleon>> Chameleon::Create(
    std::shared_ptr<const ChameleonBlock> block) {
  ASSIGN_OR_RETURN(std::unique_ptr<Keystream> keystream, Keystream::Create());
  return std::unique_ptr<Chameleon>(new Chameleon(std::move(block), std::move(keystream)));
}

absl::Status Chameleon::Apply(const SecretBytes& key, ByteView in, MutableByteView out) {
  if (in.size() != out.size()) {
    return absl::InvalidArgumentError("the output's buffer has another size");
  }
  RETURN_IF_ERROR(keystream_->Start(key));
  const auto* block = reinterpret_cast<const uint64_t*>(block_->bytes().Reveal().data());
  const uint64_t mask = block_->words() - 1;
  std::array<uint8_t, kTileBytes> tile;
  for (size_t at = 0; at < in.size(); at += kTileBytes) {
    const size_t size = std::min(kTileBytes, in.size() - at);
    RETURN_IF_ERROR(keystream_->Fill(MutableByteView(tile).first((size + 7) / 8 * 8)));
    for (size_t i = 0; i < size; i += 8) {
      uint64_t choice, word = 0;
      std::memcpy(&choice, &tile[i], sizeof choice);
      uint64_t mixed = block[choice & mask] ^ block[choice >> 16 & mask] ^
                       block[choice >> 32 & mask] ^ block[choice >> 48 & mask];
      const size_t part = std::min<size_t>(8, size - i);
      std::memcpy(&word, &in[at + i], part);
      word ^= mixed;
      std::memcpy(&out[at + i], &word, part);
    }
  }
  return absl::OkStatus();
}

}  // namespace nark
