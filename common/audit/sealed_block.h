#ifndef NARK_COMMON_AUDIT_SEALED_BLOCK_H_
#define NARK_COMMON_AUDIT_SEALED_BLOCK_H_

#include "absl/status/statusor.h"
#include "common/base/bytes.h"
#include "common/crypto/chameleon.h"
#include "common/crypto/secret_bytes.h"

namespace nark::audit {

// A marked block on its way to its secure space, and while a host keeps it: the block id,
// then AES-256-GCM under the block key of its grants, nonce of zeros (a block key seals one
// block alone), associated data LabelledEncoding("nark marked block v1", block id,
// secure-space id). The same bytes whoever makes it.
absl::StatusOr<Bytes> SealBlock(const SecretBytes& block_key, const Digest& block_id,
                                const Digest& secure_space_id, const ChameleonBlock& block);
// INVALID_ARGUMENT where any bit of it is not as it was made, or it is another's.
absl::StatusOr<ChameleonBlock> OpenBlock(const SecretBytes& block_key, const Digest& block_id,
                                         const Digest& secure_space_id, ByteView sealed);

// What it says it is; INVALID_ARGUMENT where it is too short to be one.
absl::StatusOr<Digest> SealedBlockId(ByteView sealed);

// Of a block of 2^words_log2 words.
size_t SealedBlockBytes(uint32_t words_log2);

}  // namespace nark::audit

#endif  // NARK_COMMON_AUDIT_SEALED_BLOCK_H_
