#include "common/crypto/des_cbc.h"

#include <openssl/evp.h>

#include <algorithm>
#include <array>

#include "absl/memory/memory.h"
#include "common/base/status.h"
#include "common/crypto/openssl.h"

namespace nark {
namespace {

// OpenSSL counts in int.
constexpr size_t kMaxUpdate = 1 << 30;

// Triple DES under one key thrice is DES, and needs no legacy provider.
const EVP_CIPHER* Cipher() {
  static const EVP_CIPHER* const cipher = EVP_CIPHER_fetch(nullptr, "DES-EDE3-CBC", nullptr);
  return cipher;
}

}  // namespace

DesCbc::~DesCbc() { EVP_CIPHER_CTX_free(context_); }

absl::StatusOr<std::unique_ptr<DesCbc>> DesCbc::Create() {
  if (Cipher() == nullptr) return OpenSslError("DES is not available");
  EVP_CIPHER_CTX* context = EVP_CIPHER_CTX_new();
  if (context == nullptr) return OpenSslError("cannot set up DES");
  return absl::WrapUnique(new DesCbc(context));
}

absl::Status DesCbc::Start(Direction direction, const SecretBytes& key, ByteView iv) {
  if (key.size() != kDesKeyBytes || iv.size() != kDesBlockBytes) {
    return absl::InvalidArgumentError("DES: wrong size of key or initialisation vector");
  }
  SecretBytes thrice(3 * kDesKeyBytes);
  for (size_t i = 0; i < 3; ++i) {
    std::copy_n(key.Reveal().begin(), kDesKeyBytes,
                thrice.RevealMutable().begin() + static_cast<ptrdiff_t>(i * kDesKeyBytes));
  }
  if (EVP_CipherInit_ex2(context_, Cipher(), thrice.Reveal().data(), iv.data(),
                         direction == Direction::kEncrypt ? 1 : 0, nullptr) != 1 ||
      EVP_CIPHER_CTX_set_padding(context_, 0) != 1) {
    return OpenSslError("DES: cannot set the key");
  }
  return absl::OkStatus();
}

// Whole blocks.
absl::Status DesCbc::Transform(ByteView in, MutableByteView out) {
  while (!in.empty()) {
    const size_t take = std::min(in.size(), kMaxUpdate);
    int written = 0;
    if (EVP_CipherUpdate(context_, out.data(), &written, in.data(), static_cast<int>(take)) != 1 ||
        written != static_cast<int>(take)) {
      return OpenSslError("DES: data refused");
    }
    in = in.subspan(take);
    out = out.subspan(take);
  }
  return absl::OkStatus();
}

absl::Status DesCbc::Encrypt(const SecretBytes& key, ByteView iv, ByteView plaintext,
                             MutableByteView out) {
  if (out.size() != PaddedBytes(plaintext.size())) {
    return absl::InvalidArgumentError("DES: out has not the size of the padded plaintext");
  }
  RETURN_IF_ERROR(Start(Direction::kEncrypt, key, iv));
  const size_t whole = plaintext.size() - plaintext.size() % kDesBlockBytes;
  std::array<uint8_t, kDesBlockBytes> last;
  last.fill(static_cast<uint8_t>(out.size() - plaintext.size()));
  std::copy(plaintext.begin() + static_cast<ptrdiff_t>(whole), plaintext.end(), last.begin());
  RETURN_IF_ERROR(Transform(plaintext.first(whole), out.first(whole)));
  return Transform(last, out.subspan(whole));
}

absl::Status DesCbc::Decrypt(const SecretBytes& key, ByteView iv, ByteView ciphertext,
                             size_t plaintext_bytes, MutableByteView out) {
  absl::Status status = absl::InvalidArgumentError("DES: sizes do not fit each other");
  if (out.size() == ciphertext.size() && ciphertext.size() == PaddedBytes(plaintext_bytes)) {
    status = Start(Direction::kDecrypt, key, iv);
    if (status.ok()) status = Transform(ciphertext, out);
  }
  if (status.ok()) {
    const auto pad = static_cast<uint8_t>(ciphertext.size() - plaintext_bytes);
    if (std::any_of(out.begin() + static_cast<ptrdiff_t>(plaintext_bytes), out.end(),
                    [pad](uint8_t byte) { return byte != pad; })) {
      status = absl::InvalidArgumentError("DES: wrong padding");
    }
  }
  if (!status.ok()) Wipe(out);
  return status;
}

}  // namespace nark
