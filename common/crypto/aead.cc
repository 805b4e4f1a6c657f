#include "common/crypto/aead.h"

#include <openssl/evp.h>

#include <algorithm>

#include "common/base/status.h"
#include "common/crypto/openssl.h"

namespace nark {
namespace {

// OpenSSL counts in int.
constexpr size_t kMaxUpdate = 1 << 30;

// Fetched once: a fetch costs more than sealing a datagram.
const EVP_CIPHER* CipherOf(AeadAlgorithm algorithm) {
  static const EVP_CIPHER* const aes128 = EVP_CIPHER_fetch(nullptr, "AES-128-GCM", nullptr);
  static const EVP_CIPHER* const aes256 = EVP_CIPHER_fetch(nullptr, "AES-256-GCM", nullptr);
  static const EVP_CIPHER* const chacha = EVP_CIPHER_fetch(nullptr, "ChaCha20-Poly1305", nullptr);
  switch (algorithm) {
    case AeadAlgorithm::kAes128Gcm:
      return aes128;
    case AeadAlgorithm::kAes256Gcm:
      return aes256;
    case AeadAlgorithm::kChaCha20Poly1305:
      return chacha;
  }
  return nullptr;
}

absl::Status Misuse() {
  return absl::FailedPreconditionError("AEAD: Start, AddAssociatedData, Update, Finish, in order");
}

}  // namespace

size_t AeadKeyBytes(AeadAlgorithm algorithm) {
  switch (algorithm) {
    case AeadAlgorithm::kAes128Gcm:
      return 16;
    case AeadAlgorithm::kAes256Gcm:
    case AeadAlgorithm::kChaCha20Poly1305:
      return 32;
  }
  return 0;
}

Aead::Aead(AeadAlgorithm algorithm) : algorithm_(algorithm) {}

Aead::~Aead() {
  EVP_CIPHER_CTX_free(seal_);
  EVP_CIPHER_CTX_free(open_);
}

absl::StatusOr<std::unique_ptr<Aead>> Aead::Create(AeadAlgorithm algorithm) {
  if (AeadKeyBytes(algorithm) == 0) return absl::InvalidArgumentError("no such AEAD");
  const EVP_CIPHER* cipher = CipherOf(algorithm);
  if (cipher == nullptr) return OpenSslError("AEAD not available");
  std::unique_ptr<Aead> aead(new Aead(algorithm));
  aead->seal_ = EVP_CIPHER_CTX_new();
  aead->open_ = EVP_CIPHER_CTX_new();
  if (aead->seal_ == nullptr || aead->open_ == nullptr ||
      EVP_EncryptInit_ex2(aead->seal_, cipher, nullptr, nullptr, nullptr) != 1 ||
      EVP_DecryptInit_ex2(aead->open_, cipher, nullptr, nullptr, nullptr) != 1) {
    return OpenSslError("cannot set up an AEAD");
  }
  return aead;
}

absl::Status Aead::Start(evp_cipher_ctx_st* context, const SecretBytes& key, ByteView nonce) {
  phase_ = Phase::kIdle;
  if (key.size() != AeadKeyBytes(algorithm_) || nonce.size() != kAeadNonceBytes) {
    return absl::InvalidArgumentError("AEAD: wrong size of key or nonce");
  }
  // -1 leaves the direction of the context as it is.
  if (EVP_CipherInit_ex2(context, nullptr, key.Reveal().data(), nonce.data(), -1, nullptr) != 1) {
    return OpenSslError("AEAD: cannot set the key");
  }
  current_ = context;
  phase_ = Phase::kAssociatedData;
  return absl::OkStatus();
}

absl::Status Aead::StartSeal(const SecretBytes& key, ByteView nonce) {
  return Start(seal_, key, nonce);
}

absl::Status Aead::StartOpen(const SecretBytes& key, ByteView nonce) {
  return Start(open_, key, nonce);
}

absl::Status Aead::AddAssociatedData(ByteView data) {
  if (phase_ != Phase::kAssociatedData) return Misuse();
  while (!data.empty()) {
    size_t take = std::min(data.size(), kMaxUpdate);
    int written = 0;
    if (EVP_CipherUpdate(current_, nullptr, &written, data.data(), static_cast<int>(take)) != 1) {
      phase_ = Phase::kIdle;
      return OpenSslError("AEAD: associated data refused");
    }
    data = data.subspan(take);
  }
  return absl::OkStatus();
}

absl::Status Aead::Update(ByteView in, MutableByteView out) {
  if (phase_ == Phase::kIdle) return Misuse();
  if (out.size() != in.size()) return absl::InvalidArgumentError("AEAD: out and in differ in size");
  phase_ = Phase::kText;
  while (!in.empty()) {
    size_t take = std::min(in.size(), kMaxUpdate);
    int written = 0;
    if (EVP_CipherUpdate(current_, out.data(), &written, in.data(), static_cast<int>(take)) != 1 ||
        written != static_cast<int>(take)) {
      phase_ = Phase::kIdle;
      return OpenSslError("AEAD: data refused");
    }
    in = in.subspan(take);
    out = out.subspan(take);
  }
  return absl::OkStatus();
}

absl::Status Aead::FinishSeal(MutableByteView tag) {
  if (phase_ == Phase::kIdle || current_ != seal_) return Misuse();
  if (tag.size() != kAeadTagBytes) return absl::InvalidArgumentError("AEAD: a tag has 16 bytes");
  phase_ = Phase::kIdle;
  uint8_t none[EVP_MAX_BLOCK_LENGTH];
  int written = 0;
  if (EVP_EncryptFinal_ex(seal_, none, &written) != 1 || written != 0 ||
      EVP_CIPHER_CTX_ctrl(seal_, EVP_CTRL_AEAD_GET_TAG, kAeadTagBytes, tag.data()) != 1) {
    return OpenSslError("AEAD: cannot finish");
  }
  return absl::OkStatus();
}

absl::Status Aead::FinishOpen(ByteView tag) {
  if (phase_ == Phase::kIdle || current_ != open_) return Misuse();
  if (tag.size() != kAeadTagBytes) return absl::InvalidArgumentError("AEAD: a tag has 16 bytes");
  phase_ = Phase::kIdle;
  uint8_t none[EVP_MAX_BLOCK_LENGTH];
  int written = 0;
  // OpenSSL's parameter is not const; it only reads.
  void* expected = const_cast<uint8_t*>(tag.data());
  if (EVP_CIPHER_CTX_ctrl(open_, EVP_CTRL_AEAD_SET_TAG, kAeadTagBytes, expected) != 1) {
    return OpenSslError("AEAD: cannot set the tag");
  }
  if (EVP_DecryptFinal_ex(open_, none, &written) != 1) {
    return OpenSslRefusal(absl::StatusCode::kInvalidArgument, "AEAD: not authentic");
  }
  return absl::OkStatus();
}

absl::Status Aead::Seal(const SecretBytes& key, ByteView nonce, ByteView associated_data,
                        ByteView plaintext, MutableByteView out) {
  if (out.size() != plaintext.size() + kAeadTagBytes) {
    return absl::InvalidArgumentError("AEAD: out must have 16 bytes more than the plaintext");
  }
  RETURN_IF_ERROR(StartSeal(key, nonce));
  RETURN_IF_ERROR(AddAssociatedData(associated_data));
  RETURN_IF_ERROR(Update(plaintext, out.first(plaintext.size())));
  return FinishSeal(out.last(kAeadTagBytes));
}

absl::Status Aead::Open(const SecretBytes& key, ByteView nonce, ByteView associated_data,
                        ByteView ciphertext, MutableByteView out) {
  if (ciphertext.size() < kAeadTagBytes || out.size() != ciphertext.size() - kAeadTagBytes) {
    Wipe(out);
    return absl::InvalidArgumentError("AEAD: out must have 16 bytes less than the ciphertext");
  }
  absl::Status status = StartOpen(key, nonce);
  if (status.ok()) status = AddAssociatedData(associated_data);
  if (status.ok()) status = Update(ciphertext.first(out.size()), out);
  if (status.ok()) status = FinishOpen(ciphertext.last(kAeadTagBytes));
  if (!status.ok()) Wipe(out);
  return status;
}

}  // namespace nark
