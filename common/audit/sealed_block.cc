#include "common/audit/sealed_block.h"

#include <algorithm>
#include <array>
#include <memory>
#include <utility>

#include "common/base/status.h"
#include "common/crypto/aead.h"
#include "common/crypto/hash.h"

namespace nark::audit {
namespace {

constexpr std::array<uint8_t, kAeadNonceBytes> kZeroNonce{};
constexpr size_t kIdBytes = sizeof(Digest);

Bytes AssociatedData(const Digest& block_id, const Digest& secure_space_id) {
  return LabelledEncoding("nark marked block v1", {block_id, secure_space_id});
}

}  // namespace

absl::StatusOr<Bytes> SealBlock(const SecretBytes& block_key, const Digest& block_id,
                                const Digest& secure_space_id, const ChameleonBlock& block) {
  ASSIGN_OR_RETURN(const std::unique_ptr<Aead> aead, Aead::Create(AeadAlgorithm::kAes256Gcm));
  Bytes sealed(SealedBlockBytes(block.words_log2()));
  std::copy(block_id.begin(), block_id.end(), sealed.begin());
  RETURN_IF_ERROR(aead->Seal(block_key, kZeroNonce, AssociatedData(block_id, secure_space_id),
                             block.bytes().Reveal(), MutableByteView(sealed).subspan(kIdBytes)));
  return sealed;
}

absl::StatusOr<ChameleonBlock> OpenBlock(const SecretBytes& block_key, const Digest& block_id,
                                         const Digest& secure_space_id, ByteView sealed) {
  ASSIGN_OR_RETURN(const Digest claimed, SealedBlockId(sealed));
  ASSIGN_OR_RETURN(const std::unique_ptr<Aead> aead, Aead::Create(AeadAlgorithm::kAes256Gcm));
  SecretBytes bytes(sealed.size() - kIdBytes - kAeadTagBytes);
  if (claimed != block_id ||
      !aead->Open(block_key, kZeroNonce, AssociatedData(block_id, secure_space_id),
                  sealed.subspan(kIdBytes), bytes.RevealMutable())
           .ok()) {
    return absl::InvalidArgumentError(
        "the marked block was damaged, or is another secure space's or provider's");
  }
  return ChameleonBlock::Of(std::move(bytes));
}

absl::StatusOr<Digest> SealedBlockId(ByteView sealed) {
  Digest id;
  if (sealed.size() <= kIdBytes + kAeadTagBytes) {
    return absl::InvalidArgumentError("the marked block is too short");
  }
  std::copy_n(sealed.begin(), id.size(), id.begin());
  return id;
}

size_t SealedBlockBytes(uint32_t words_log2) {
  return kIdBytes + (size_t{8} << words_log2) + kAeadTagBytes;
}

}  // namespace nark::audit
