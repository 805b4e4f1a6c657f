#include "common/crypto/keystream.h"

#include <openssl/evp.h>

#include <algorithm>
#include <array>

#include "common/base/status.h"
#include "common/crypto/openssl.h"

namespace nark {
namespace {

// What is encrypted, a piece at a time: stays in the first cache.
constexpr std::array<uint8_t, 4096> kZeros{};
constexpr uint8_t kZeroCounter[16] = {};

}  // namespace

Keystream::Keystream(evp_cipher_ctx_st* context) : context_(context) {}

Keystream::~Keystream() { EVP_CIPHER_CTX_free(context_); }

absl::StatusOr<std::unique_ptr<Keystream>> Keystream::Create() {
  EVP_CIPHER_CTX* context = EVP_CIPHER_CTX_new();
  if (context == nullptr ||
      EVP_EncryptInit_ex(context, EVP_aes_128_ctr(), nullptr, nullptr, nullptr) != 1) {
    EVP_CIPHER_CTX_free(context);
    return OpenSslError("AES-128-CTR");
  }
  return std::unique_ptr<Keystream>(new Keystream(context));
}

absl::Status Keystream::Start(const SecretBytes& key) {
  if (key.size() != kKeystreamKeyBytes) {
    return absl::InvalidArgumentError("a key of a key stream has 16 bytes");
  }
  started_ = EVP_EncryptInit_ex(context_, nullptr, nullptr, key.Reveal().data(), kZeroCounter) == 1;
  return started_ ? absl::OkStatus() : OpenSslError("AES-128-CTR");
}

absl::Status Keystream::Fill(MutableByteView out) {
  if (!started_) return absl::FailedPreconditionError("a key stream without a key");
  while (!out.empty()) {
    const size_t piece = std::min(out.size(), kZeros.size());
    int written = 0;
    if (EVP_EncryptUpdate(context_, out.data(), &written, kZeros.data(), static_cast<int>(piece)) !=
        1) {
      return OpenSslError("AES-128-CTR");
    }
    out = out.subspan(piece);
  }
  return absl::OkStatus();
}

absl::StatusOr<SecretBytes> KeystreamOf(const SecretBytes& key, size_t size) {
  ASSIGN_OR_RETURN(const std::unique_ptr<Keystream> stream, Keystream::Create());
  RETURN_IF_ERROR(stream->Start(key));
  SecretBytes bytes(size);
  RETURN_IF_ERROR(stream->Fill(bytes.RevealMutable()));
  return bytes;
}

}  // namespace nark
