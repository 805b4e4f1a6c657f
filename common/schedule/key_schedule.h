#ifndef NARK_COMMON_SCHEDULE_KEY_SCHEDULE_H_
#define NARK_COMMON_SCHEDULE_KEY_SCHEDULE_H_

#include "absl/status/statusor.h"
#include "common/base/bytes.h"
#include "common/crypto/hash.h"
#include "common/crypto/secret_bytes.h"
#include "common/object/session.h"
#include "common/schedule/generator.h"

namespace nark::schedule {

// The root of one sender in one (sub-)session:
//   HKDF-SHA-256(salt = "nark sender root v1", ikm = session seed, info =
//     provider[32] || session id[16] || u32 sub-session ||
//     u8 len(generator id) || generator id || u8 depth || u32 sender id), 32 bytes
absl::StatusOr<SecretBytes> SenderRoot(const SecretBytes& session_seed, const SessionName& session,
                                       uint32_t sub_session, const Parameters& generator,
                                       uint32_t sender_id);

// The keys of one ADU, from its leaf. `core` are the header's bytes before the control
// block (wire/header.h). Thread-safe after creation.
class AduKeys {
 public:
  // INVALID_ARGUMENT where the leaf has not 32 bytes.
  static absl::StatusOr<AduKeys> Of(const SecretBytes& leaf);

  // Opens the control block; never leaves the secure space.
  //   HKDF-Expand(leaf, "nark control key v1" || session context[32] || core, 16)
  SecretBytes ControlKey(const Digest& session_context, ByteView core) const;

  // Encrypts the ADU. INVALID_ARGUMENT where key_bytes is not 1 to 32.
  //   HKDF-Expand(leaf, "nark data key v1" || session context[32] ||
  //     SHA-256(control block ciphertext)[32] || core, key_bytes)
  absl::StatusOr<SecretBytes> DataKey(const Digest& session_context, ByteView core,
                                      ByteView control_block, size_t key_bytes) const;

 private:
  explicit AduKeys(const SecretBytes& leaf) : leaf_(leaf.Reveal()) {}
  HmacSha256Key leaf_;
};

// The same, of a leaf that only one key is wanted of.
absl::StatusOr<SecretBytes> ControlKey(const SecretBytes& leaf, const Digest& session_context,
                                       ByteView core);
absl::StatusOr<SecretBytes> DataKey(const SecretBytes& leaf, const Digest& session_context,
                                    ByteView core, ByteView control_block, size_t key_bytes);

}  // namespace nark::schedule

#endif  // NARK_COMMON_SCHEDULE_KEY_SCHEDULE_H_
