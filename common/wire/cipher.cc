#include "common/wire/cipher.h"

#include <array>
#include <string>

#include "common/wire/cipher_suites.h"

namespace nark::wire {
namespace {

// The registry: one line a suite. Wire numbers have one meaning for ever.
std::array<const CipherSuite*, 5> Suites() {
  return {&Aes128Gcm(), &Aes256Gcm(), &ChaCha20Poly1305(), &ChameleonCipher(), &DesCbcSuite()};
}

absl::Status Unknown(std::string_view name) {
  std::string message = "no cipher " + std::string(name) + "; known:";
  for (const CipherSuite* suite : Suites()) message += " " + std::string(suite->id());
  return absl::InvalidArgumentError(message);
}

}  // namespace

size_t CipherSuite::CiphertextBytes(size_t plaintext_bytes, const ClearMap& clear) const {
  return plaintext_bytes +
         GrowthBytes(EncryptedBytes(clear, static_cast<uint32_t>(plaintext_bytes)));
}

absl::Status CheckAgainstCipher(const Header& header, const CipherSuite& suite) {
  if (header.cipher != suite.wire_number()) {
    return absl::InvalidArgumentError("malformed ADU header: another cipher than " +
                                      std::string(suite.id()));
  }
  if (header.ciphertext_bytes != suite.CiphertextBytes(header.plaintext_bytes, header.clear_map)) {
    return absl::InvalidArgumentError("malformed ADU header: ciphertext size is not that of " +
                                      std::string(suite.id()));
  }
  return absl::OkStatus();
}

absl::StatusOr<const CipherSuite*> FindCipher(std::string_view id) {
  for (const CipherSuite* suite : Suites()) {
    if (suite->id() == id) return suite;
  }
  return Unknown("\"" + std::string(id) + "\"");
}

absl::StatusOr<const CipherSuite*> FindCipher(uint8_t wire_number) {
  for (const CipherSuite* suite : Suites()) {
    if (suite->wire_number() == wire_number) return suite;
  }
  return Unknown("number " + std::to_string(wire_number));
}

std::vector<std::string_view> CipherIds() {
  std::vector<std::string_view> ids;
  for (const CipherSuite* suite : Suites()) ids.push_back(suite->id());
  return ids;
}

}  // namespace nark::wire
