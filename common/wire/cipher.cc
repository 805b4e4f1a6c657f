#include "common/wire/cipher.h"

#include <algorithm>
#include <array>
#include <string>
#include <utility>

#include "common/base/status.h"
#include "common/crypto/aead.h"

namespace nark::wire {
namespace {

// A key encrypts one ADU, so its nonce may be constant.
constexpr std::array<uint8_t, kAeadNonceBytes> kZeroNonce{};

// Calls visit(offset, length) for every encrypted run between the clear ranges.
template <typename Visit>
absl::Status ForEachSealedRun(const std::vector<ClearRange>& clear, size_t plaintext_bytes,
                              Visit visit) {
  size_t at = 0;
  for (const ClearRange& range : clear) {
    if (range.offset > at) RETURN_IF_ERROR(visit(at, range.offset - at));
    at = size_t{range.offset} + range.length;
  }
  if (at < plaintext_bytes) RETURN_IF_ERROR(visit(at, plaintext_bytes - at));
  return absl::OkStatus();
}

// An AEAD of RFC 5116. The associated data are the clear bytes, joined; which
// bytes they are is bound into the key.
class AeadAduCipher final : public AduCipher {
 public:
  explicit AeadAduCipher(std::unique_ptr<Aead> aead) : aead_(std::move(aead)) {}

  absl::Status Seal(const SecretBytes& key, const std::vector<ClearRange>& clear,
                    ByteView plaintext, MutableByteView out) override {
    if (out.size() != plaintext.size() + kAeadTagBytes) {
      return absl::InvalidArgumentError("the ciphertext's buffer has another size");
    }
    if (clear.empty()) return aead_->Seal(key, kZeroNonce, {}, plaintext, out);
    RETURN_IF_ERROR(CheckClearMap(clear, static_cast<uint32_t>(plaintext.size())));
    RETURN_IF_ERROR(aead_->StartSeal(key, kZeroNonce));
    RETURN_IF_ERROR(Transform(clear, plaintext, out));
    return aead_->FinishSeal(out.last(kAeadTagBytes));
  }

  absl::Status Open(const SecretBytes& key, const std::vector<ClearRange>& clear,
                    ByteView ciphertext, MutableByteView out) override {
    if (ciphertext.size() != out.size() + kAeadTagBytes) {
      Wipe(out);
      return absl::InvalidArgumentError("the plaintext's buffer has another size");
    }
    if (clear.empty()) return aead_->Open(key, kZeroNonce, {}, ciphertext, out);
    absl::Status status = OpenWithClearBytes(key, clear, ciphertext, out);
    if (!status.ok()) Wipe(out);
    return status;
  }

 private:
  absl::Status OpenWithClearBytes(const SecretBytes& key, const std::vector<ClearRange>& clear,
                                  ByteView ciphertext, MutableByteView out) {
    RETURN_IF_ERROR(CheckClearMap(clear, static_cast<uint32_t>(out.size())));
    RETURN_IF_ERROR(aead_->StartOpen(key, kZeroNonce));
    RETURN_IF_ERROR(Transform(clear, ciphertext.first(out.size()), out));
    return aead_->FinishOpen(ciphertext.last(kAeadTagBytes));
  }

  // Between Start and Finish; `out` begins with in.size() bytes of room.
  absl::Status Transform(const std::vector<ClearRange>& clear, ByteView in, MutableByteView out) {
    for (const ClearRange& range : clear) {
      const ByteView bytes = in.subspan(range.offset, range.length);
      RETURN_IF_ERROR(aead_->AddAssociatedData(bytes));
      if (out.data() != in.data()) {
        std::copy(bytes.begin(), bytes.end(), out.begin() + range.offset);
      }
    }
    return ForEachSealedRun(clear, in.size(), [&](size_t offset, size_t length) {
      return aead_->Update(in.subspan(offset, length), out.subspan(offset, length));
    });
  }

  std::unique_ptr<Aead> aead_;
};

class AeadSuite final : public CipherSuite {
 public:
  constexpr AeadSuite(std::string_view id, uint8_t wire_number, AeadAlgorithm algorithm)
      : id_(id), wire_number_(wire_number), algorithm_(algorithm) {}

  std::string_view id() const override { return id_; }
  uint8_t wire_number() const override { return wire_number_; }
  size_t key_bytes() const override { return AeadKeyBytes(algorithm_); }
  size_t CiphertextBytes(size_t plaintext_bytes) const override {
    return plaintext_bytes + kAeadTagBytes;
  }
  absl::StatusOr<std::unique_ptr<AduCipher>> Create() const override {
    ASSIGN_OR_RETURN(std::unique_ptr<Aead> aead, Aead::Create(algorithm_));
    return std::unique_ptr<AduCipher>(std::make_unique<AeadAduCipher>(std::move(aead)));
  }

 private:
  std::string_view id_;
  uint8_t wire_number_;
  AeadAlgorithm algorithm_;
};

// The registry. Wire numbers have one meaning for ever; 4 is kept for chameleon
// and 5 for des-cbc.
const std::array<const CipherSuite*, 3>& Suites() {
  static const AeadSuite aes_128("aes-128-gcm", 1, AeadAlgorithm::kAes128Gcm);
  static const AeadSuite aes_256("aes-256-gcm", 2, AeadAlgorithm::kAes256Gcm);
  static const AeadSuite chacha("chacha20-poly1305", 3, AeadAlgorithm::kChaCha20Poly1305);
  static const std::array<const CipherSuite*, 3> suites = {&aes_128, &aes_256, &chacha};
  return suites;
}

absl::Status Unknown(std::string_view name) {
  std::string message = "no cipher " + std::string(name) + "; known:";
  for (const CipherSuite* suite : Suites()) message += " " + std::string(suite->id());
  return absl::InvalidArgumentError(message);
}

}  // namespace

absl::Status CheckAgainstCipher(const Header& header, const CipherSuite& suite) {
  if (header.cipher != suite.wire_number()) {
    return absl::InvalidArgumentError("malformed ADU header: another cipher than " +
                                      std::string(suite.id()));
  }
  if (header.ciphertext_bytes != suite.CiphertextBytes(header.plaintext_bytes)) {
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
