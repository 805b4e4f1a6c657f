#include "common/audit/sealed_block.h"

#include <array>
#include <memory>
#include <utility>

#include "common/base/status.h"
#include "common/crypto/aead.h"
#include "common/crypto/hash.h"

namespace nark::audit {
namespace {

constexpr std::array<uint8_t, kAeadNonceBytes> kZeroNonce{};

Bytes AssociatedData(const Digest& block_id, const Digest& secure_space_id) {
  return LabelledEncoding("nark marked block v1", {block_id, secure_space_id});
}

}  // namespace

absl::StatusOr<Bytes> SealBlock(const SecretBytes& block_key, const Digest& block_id,
                                const Digest& secure_space_id, const ChameleonBlock& block) {
  ASSIGN_OR_RETURN(const std::unique_ptr<Aead> aead, Aead::Create(AeadAlgorithm::kAes256Gcm));
  Bytes sealed(block.bytes().size() + kAeadTagBytes);
  RETURN_IF_ERROR(aead->Seal(block_key, kZeroNonce, AssociatedData(block_id, secure_space_id),
                             block.bytes().Reveal(), sealed));
  return sealed;
}

absl::StatusOr<ChameleonBlock> OpenBlock(const SecretBytes& block_key, const Digest& block_id,
                                         const Digest& secure_space_id, ByteView sealed) {
  if (sealed.size() <= kAeadTagBytes) {
    return absl::InvalidArgumentError("the marked block is too short");
  }
  ASSIGN_OR_RETURN(const std::unique_ptr<Aead> aead, Aead::Create(AeadAlgorithm::kAes256Gcm));
  SecretBytes bytes(sealed.size() - kAeadTagBytes);
  if (!aead->Open(block_key, kZeroNonce, AssociatedData(block_id, secure_space_id), sealed,
                  bytes.RevealMutable())
           .ok()) {
    return absl::InvalidArgumentError(
        "the marked block was damaged, or is another secure space's or provider's");
  }
  return ChameleonBlock::Of(std::move(bytes));
}

size_t SealedBlockBytes(uint32_t words_log2) { return (size_t{8} << words_log2) + kAeadTagBytes; }

}  // namespace nark::audit
