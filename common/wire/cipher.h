#ifndef NARK_COMMON_WIRE_CIPHER_H_
#define NARK_COMMON_WIRE_CIPHER_H_

#include <memory>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/audit/stream_keys.h"
#include "common/base/bytes.h"
#include "common/crypto/chameleon.h"
#include "common/crypto/secret_bytes.h"
#include "common/wire/header.h"

namespace nark::wire {

// How an ADU is sealed so that each receiver's copy bears its mark.
struct AduMarks {
  audit::AduMarkKeys keys;
  // Where in the ADU its 16-bit samples are, whole and in order.
  uint32_t offset = 0;
  uint32_t bytes = 0;
};

// Encrypts and decrypts ADU bodies under one key each; keeps its context. One
// thread only.
class AduCipher {
 public:
  virtual ~AduCipher() = default;
  // `out` has CiphertextBytes(plaintext.size(), clear) bytes, and may begin where
  // `plaintext` begins. Clear bytes stay as they are, in place, and are
  // authenticated where the cipher does; what is more than the plaintext stands at
  // the end. A key seals once. INVALID_ARGUMENT where the map does not fit the ADU.
  //
  // A cipher that marks wants MarkNext before each Seal (FAILED_PRECONDITION); others
  // ignore it. What its Open writes differs from what was sealed in the marks of the block
  // that it was created with; a block of another family makes noise of the samples.
  virtual void MarkNext(AduMarks /*marks*/) {}
  virtual absl::Status Seal(const SecretBytes& key, const ClearMap& clear, ByteView plaintext,
                            MutableByteView out) = 0;
  // `out` has the plaintext's size; wiped on failure (INVALID_ARGUMENT).
  virtual absl::Status Open(const SecretBytes& key, const ClearMap& clear, ByteView ciphertext,
                            MutableByteView out) = 0;
};

// What a cipher promises; what it cannot promise is asked for explicitly.
struct CipherProperties {
  bool secure;
  // Whether Open notices every change of the ciphertext and of clear bytes. Where it
  // does not, integrity is that of the header's fragment hashes.
  bool authenticated;
  // Whether it needs a block, and leaves its mark: sessions with an audit trail.
  bool marks = false;
};

// A registered cipher. Stateless; thread-safe.
class CipherSuite {
 public:
  virtual ~CipherSuite() = default;
  virtual std::string_view id() const = 0;
  virtual uint8_t wire_number() const = 0;
  virtual CipherProperties properties() const = 0;
  virtual size_t key_bytes() const = 0;
  // By how much the ciphertext of an ADU exceeds its plaintext, of which so many bytes
  // are encrypted; at most kMaxCipherGrowth.
  virtual size_t GrowthBytes(size_t encrypted_bytes) const = 0;
  // FAILED_PRECONDITION where it marks and there is no block.
  absl::StatusOr<std::unique_ptr<AduCipher>> Create() const { return Create(nullptr); }
  virtual absl::StatusOr<std::unique_ptr<AduCipher>> Create(
      std::shared_ptr<const ChameleonBlock> block) const = 0;

  size_t CiphertextBytes(size_t plaintext_bytes) const {
    return plaintext_bytes + GrowthBytes(plaintext_bytes);
  }
  // With a map that CheckClearMap takes.
  size_t CiphertextBytes(size_t plaintext_bytes, const ClearMap& clear) const;
};

// INVALID_ARGUMENT where a header names another cipher, or its ciphertext has not
// the size that this one gives.
absl::Status CheckAgainstCipher(const Header& header, const CipherSuite& suite);

// INVALID_ARGUMENT naming the known ones otherwise.
absl::StatusOr<const CipherSuite*> FindCipher(std::string_view id);
absl::StatusOr<const CipherSuite*> FindCipher(uint8_t wire_number);
// By wire number, ascending.
std::vector<std::string_view> CipherIds();

}  // namespace nark::wire

#endif  // NARK_COMMON_WIRE_CIPHER_H_
