// The suites over an AEAD of RFC 5116. The associated data are the clear bytes,
// joined; which bytes they are is bound into the key. The tag of 16 bytes is last.

#include <algorithm>
#include <array>
#include <utility>

#include "common/base/status.h"
#include "common/crypto/aead.h"
#include "common/wire/cipher_suites.h"

namespace nark::wire {
namespace {

// A key encrypts one ADU, so its nonce may be constant.
constexpr std::array<uint8_t, kAeadNonceBytes> kZeroNonce{};

class AeadAduCipher final : public AduCipher {
 public:
  explicit AeadAduCipher(std::unique_ptr<Aead> aead) : aead_(std::move(aead)) {}

  absl::Status Seal(const SecretBytes& key, const ClearMap& clear, ByteView plaintext,
                    MutableByteView out) override {
    if (out.size() != plaintext.size() + kAeadTagBytes) {
      return absl::InvalidArgumentError("the ciphertext's buffer has another size");
    }
    if (EncryptsAll(clear)) return aead_->Seal(key, kZeroNonce, {}, plaintext, out);
    ASSIGN_OR_RETURN(const ClearRanges ranges, ResolveClearMap(clear, plaintext));
    RETURN_IF_ERROR(aead_->StartSeal(key, kZeroNonce));
    RETURN_IF_ERROR(Transform(ranges, plaintext, out.first(plaintext.size())));
    return aead_->FinishSeal(out.last(kAeadTagBytes));
  }

  absl::Status Open(const SecretBytes& key, const ClearMap& clear, ByteView ciphertext,
                    MutableByteView out) override {
    if (ciphertext.size() != out.size() + kAeadTagBytes) {
      Wipe(out);
      return absl::InvalidArgumentError("the plaintext's buffer has another size");
    }
    if (EncryptsAll(clear)) return aead_->Open(key, kZeroNonce, {}, ciphertext, out);
    absl::Status status = OpenWithClearBytes(key, clear, ciphertext, out);
    if (!status.ok()) Wipe(out);
    return status;
  }

 private:
  absl::Status OpenWithClearBytes(const SecretBytes& key, const ClearMap& clear,
                                  ByteView ciphertext, MutableByteView out) {
    ASSIGN_OR_RETURN(const ClearRanges ranges,
                     ResolveClearMap(clear, ciphertext.first(out.size())));
    RETURN_IF_ERROR(aead_->StartOpen(key, kZeroNonce));
    RETURN_IF_ERROR(Transform(ranges, ciphertext.first(out.size()), out));
    return aead_->FinishOpen(ciphertext.last(kAeadTagBytes));
  }

  // Between Start and Finish.
  absl::Status Transform(const ClearRanges& clear, ByteView in, MutableByteView out) {
    for (const ClearRange& range : clear) {
      const ByteView bytes = in.subspan(range.offset, range.length);
      RETURN_IF_ERROR(aead_->AddAssociatedData(bytes));
      if (out.data() != in.data()) {
        std::copy(bytes.begin(), bytes.end(), out.begin() + range.offset);
      }
    }
    for (const ClearRange& run : Complement(clear, static_cast<uint32_t>(in.size()))) {
      RETURN_IF_ERROR(
          aead_->Update(in.subspan(run.offset, run.length), out.subspan(run.offset, run.length)));
    }
    return absl::OkStatus();
  }

  std::unique_ptr<Aead> aead_;
};

class AeadSuite final : public CipherSuite {
 public:
  AeadSuite(std::string_view id, uint8_t wire_number, AeadAlgorithm algorithm)
      : id_(id), wire_number_(wire_number), algorithm_(algorithm) {}

  std::string_view id() const override { return id_; }
  uint8_t wire_number() const override { return wire_number_; }
  CipherProperties properties() const override { return {.secure = true, .authenticated = true}; }
  size_t key_bytes() const override { return AeadKeyBytes(algorithm_); }
  size_t GrowthBytes(size_t) const override { return kAeadTagBytes; }
  absl::StatusOr<std::unique_ptr<AduCipher>> Create(
      std::shared_ptr<const ChameleonBlock> /*block*/) const override {
    ASSIGN_OR_RETURN(std::unique_ptr<Aead> aead, Aead::Create(algorithm_));
    return std::unique_ptr<AduCipher>(std::make_unique<AeadAduCipher>(std::move(aead)));
  }

 private:
  std::string_view id_;
  uint8_t wire_number_;
  AeadAlgorithm algorithm_;
};

}  // namespace

const CipherSuite& Aes128Gcm() {
  static const AeadSuite suite("aes-128-gcm", 1, AeadAlgorithm::kAes128Gcm);
  return suite;
}

const CipherSuite& Aes256Gcm() {
  static const AeadSuite suite("aes-256-gcm", 2, AeadAlgorithm::kAes256Gcm);
  return suite;
}

const CipherSuite& ChaCha20Poly1305() {
  static const AeadSuite suite("chacha20-poly1305", 3, AeadAlgorithm::kChaCha20Poly1305);
  return suite;
}

}  // namespace nark::wire
