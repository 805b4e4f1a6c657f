#ifndef NARK_COMMON_WIRE_CIPHER_H_
#define NARK_COMMON_WIRE_CIPHER_H_

#include <memory>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/base/bytes.h"
#include "common/crypto/secret_bytes.h"
#include "common/wire/header.h"

namespace nark::wire {

// Encrypts and decrypts ADU bodies under one key each; keeps its context. One
// thread only.
class AduCipher {
 public:
  virtual ~AduCipher() = default;
  // `out` has CiphertextBytes(plaintext.size()) bytes, and may begin where
  // `plaintext` begins. Clear ranges (CheckClearMap) stay as they are, in place,
  // and are authenticated; the tag stands at the end. A key seals once.
  virtual absl::Status Seal(const SecretBytes& key, const std::vector<ClearRange>& clear,
                            ByteView plaintext, MutableByteView out) = 0;
  // `out` has the plaintext's size; wiped on failure (INVALID_ARGUMENT).
  virtual absl::Status Open(const SecretBytes& key, const std::vector<ClearRange>& clear,
                            ByteView ciphertext, MutableByteView out) = 0;
};

// A registered cipher. Stateless; thread-safe.
class CipherSuite {
 public:
  virtual ~CipherSuite() = default;
  virtual std::string_view id() const = 0;
  virtual uint8_t wire_number() const = 0;
  virtual size_t key_bytes() const = 0;
  virtual size_t CiphertextBytes(size_t plaintext_bytes) const = 0;
  virtual absl::StatusOr<std::unique_ptr<AduCipher>> Create() const = 0;
};

// INVALID_ARGUMENT where a header names another cipher, or its ciphertext has not
// the size that this one gives.
absl::Status CheckAgainstCipher(const Header& header, const CipherSuite& suite);

// INVALID_ARGUMENT naming the known ones otherwise. Wire numbers: 1 aes-128-gcm,
// 2 aes-256-gcm, 3 chacha20-poly1305.
absl::StatusOr<const CipherSuite*> FindCipher(std::string_view id);
absl::StatusOr<const CipherSuite*> FindCipher(uint8_t wire_number);
std::vector<std::string_view> CipherIds();

}  // namespace nark::wire

#endif  // NARK_COMMON_WIRE_CIPHER_H_
