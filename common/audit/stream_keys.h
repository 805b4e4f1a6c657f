#ifndef NARK_COMMON_AUDIT_STREAM_KEYS_H_
#define NARK_COMMON_AUDIT_STREAM_KEYS_H_

#include <cstdint>
#include <memory>

#include "absl/status/statusor.h"
#include "common/base/bytes.h"
#include "common/crypto/keystream.h"
#include "common/crypto/secret_bytes.h"

namespace nark::audit {

inline constexpr size_t kStreamKeyBytes = 32;

// How the samples of one ADU are marked, by HKDF-Expand of its stream's key with info =
// LabelledEncoding(label, u64 ADU id), 16 bytes each:
struct AduMarkKeys {
  SecretBytes index;  // "nark audit index v1": Chameleon's key; every receiver learns it
  SecretBytes plane;  // "nark audit plane v1": the least significant bits as they are sent
};
absl::StatusOr<AduMarkKeys> MarkKeysOf(const SecretBytes& stream_key, uint64_t adu_id);

// The block that bears no mark: the key's Keystream, 8 << words_log2 bytes.
absl::StatusOr<SecretBytes> BaseBlockBytes(const SecretBytes& base_block_key, uint32_t words_log2);

// Puts known bits into the least significant bits of 16-bit little-endian samples: of
// sample t bit t mod 8 of byte t / 8 of a key stream. Who knows the recording that a sender
// was given does not know what was sent where marks are, and so cannot solve for them.
// Keeps its context. One thread only.
class LsbPlane {
 public:
  static absl::StatusOr<LsbPlane> Create();
  // An odd last byte is not a sample, and is left alone.
  absl::Status Set(const SecretBytes& plane_key, MutableByteView samples);

 private:
  explicit LsbPlane(std::unique_ptr<Keystream> keystream) : keystream_(std::move(keystream)) {}
  std::unique_ptr<Keystream> keystream_;
};

}  // namespace nark::audit

#endif  // NARK_COMMON_AUDIT_STREAM_KEYS_H_
