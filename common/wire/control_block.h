#ifndef NARK_COMMON_WIRE_CONTROL_BLOCK_H_
#define NARK_COMMON_WIRE_CONTROL_BLOCK_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/base/bytes.h"
#include "common/crypto/aead.h"
#include "common/crypto/secret_bytes.h"
#include "common/wire/header.h"

namespace nark::wire {

// Actions of ControlEntry.
inline constexpr uint8_t kControlStop = 1;     // number: issue time, microseconds
inline constexpr uint8_t kControlContact = 2;  // number: contact sequence
inline constexpr uint8_t kControlDigest = 3;   // number: ADU id; target: its digest

// The digest of a decrypted ADU, which a secure space may demand before the next key:
// LabelledHash("nark adu digest v1", session context, u32 sender id || u64 ADU id, fresh
// bytes, plaintext). The fresh bytes make it this sending's: who has the same plaintext
// from elsewhere learns it no earlier.
Digest AduDigest(const Digest& session_context, const Header& header, ByteView plaintext);

// Encrypts and decrypts control blocks (plaintext layout: wire/header.h):
// AES-128-GCM under the ADU's control key (schedule/key_schedule.h), nonce of
// twelve zero bytes, since a control key is used once; no associated data, since
// the key is bound to the header's core. Keeps its context. One thread only.
class ControlCipher {
 public:
  static absl::StatusOr<std::unique_ptr<ControlCipher>> Create();
  // Returns plaintext.size() + 16 bytes.
  absl::StatusOr<Bytes> Seal(const SecretBytes& control_key, ByteView plaintext);
  // INVALID_ARGUMENT where it does not open.
  absl::StatusOr<Bytes> Open(const SecretBytes& control_key, ByteView ciphertext);

 private:
  explicit ControlCipher(std::unique_ptr<Aead> aead) : aead_(std::move(aead)) {}
  std::unique_ptr<Aead> aead_;
};

}  // namespace nark::wire

#endif  // NARK_COMMON_WIRE_CONTROL_BLOCK_H_
