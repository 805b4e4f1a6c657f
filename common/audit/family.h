#ifndef NARK_COMMON_AUDIT_FAMILY_H_
#define NARK_COMMON_AUDIT_FAMILY_H_

#include <cstdint>
#include <vector>

#include "absl/status/statusor.h"
#include "common/base/bytes.h"
#include "common/crypto/chameleon.h"
#include "common/crypto/secret_bytes.h"
#include "common/object/session.h"

namespace nark::audit {

inline constexpr size_t kAuditSecretBytes = 32;
// A 64-bit word of a block goes over four 16-bit samples: its lanes.
inline constexpr size_t kLanes = 4;

// One symbol of all codewords of a family, carried by the word of its number: where in the
// word, and how often it is 1.
struct Symbol {
  uint8_t lane = 0;   // 0 to 3: bit 16 * lane is the mark
  uint32_t ones = 0;  // of 65,536 codewords so many have a 1 here
  double bias() const { return ones / 65536.0; }
};

// The blocks that one audit secret yields: a base block without marks, and for each secure
// space a block that differs from it in the bits that its codeword sets. Nothing is stored;
// whoever has the secret derives the same anywhere.
//
// Codewords are Tardos' (JACM 2008), symmetric and binary: each symbol has a bias of its
// own, after the arcsine law, cut to 64 values so that every machine agrees to the bit:
// sin^2(pi / 2 * (level + 1/2) / 64).
//
// From the secret, by HKDF-Expand with info = LabelledEncoding(label, block shape, ...):
//   "nark audit block id v1"      32 bytes   names the family
//   "nark audit base block v1"    16 bytes   Keystream: the base block
//   "nark audit code v1"          16 bytes   Keystream: a byte a symbol, lane << 6 | level
//   "nark audit codeword v1"      16 bytes   with the secure-space id; Keystream: two bytes,
//                                            little-endian, a symbol: 1 where less than `ones`
//   "nark audit block key v1"     32 bytes   with the secure-space id
//   "nark audit stream v1"        32 bytes   with provider, session id, sub-session, sender
// The shape is u8 words_log2; the last one has none. Immutable; thread-safe.
class Family {
 public:
  // A secret of 32 bytes; INVALID_ARGUMENT for another size, or a block of none.
  static absl::StatusOr<Family> Of(SecretBytes audit_secret, uint32_t words_log2);

  const SecretBytes& secret() const { return secret_; }
  const Digest& id() const { return id_; }
  uint32_t words_log2() const { return words_log2_; }
  // By number.
  const std::vector<Symbol>& symbols() const { return symbols_; }

  // One byte a symbol, 0 or 1.
  absl::StatusOr<SecretBytes> CodewordOf(const Digest& secure_space_id) const;
  absl::StatusOr<ChameleonBlock> MarkedBlockOf(const Digest& secure_space_id) const;

  // What a sender needs (stream_keys.h), ...
  absl::StatusOr<SecretBytes> BaseBlockKey() const;
  absl::StatusOr<SecretBytes> StreamKey(const SessionName& session, uint32_t sub_session,
                                        uint32_t sender_id) const;
  // ... and what a grant carries (sealed_block.h).
  absl::StatusOr<SecretBytes> BlockKey(const Digest& secure_space_id) const;

 private:
  Family(SecretBytes secret, uint32_t words_log2);
  absl::Status Derive();
  absl::StatusOr<SecretBytes> Expand(std::string_view label, ByteView part, size_t size) const;

  SecretBytes secret_;
  uint32_t words_log2_;
  Digest id_{};
  std::vector<Symbol> symbols_;
};

}  // namespace nark::audit

#endif  // NARK_COMMON_AUDIT_FAMILY_H_
