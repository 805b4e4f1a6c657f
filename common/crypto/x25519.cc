#include <openssl/evp.h>

#include "common/base/status.h"
#include "common/crypto/hpke.h"
#include "common/crypto/openssl.h"

namespace nark {
namespace {

constexpr size_t kX25519Bytes = 32;

absl::Status BadKeys() {
  return OpenSslRefusal(absl::StatusCode::kInvalidArgument, "X25519: keys refused");
}

absl::StatusOr<SecretBytes> Derive(EVP_PKEY* own, ByteView public_key) {
  if (public_key.size() != kX25519Bytes) return BadKeys();
  UniquePkey peer(
      EVP_PKEY_new_raw_public_key_ex(nullptr, "X25519", nullptr, public_key.data(), kX25519Bytes));
  UniquePkeyContext context(EVP_PKEY_CTX_new_from_pkey(nullptr, own, nullptr));
  if (peer == nullptr || context == nullptr || EVP_PKEY_derive_init(context.get()) != 1) {
    return OpenSslError("cannot set up X25519");
  }
  SecretBytes shared(kX25519Bytes);
  size_t size = shared.size();
  // Fails where the result is all zeros: a public point of small order.
  if (EVP_PKEY_derive_set_peer(context.get(), peer.get()) != 1 ||
      EVP_PKEY_derive(context.get(), shared.RevealMutable().data(), &size) != 1 ||
      size != kX25519Bytes) {
    return BadKeys();
  }
  return shared;
}

}  // namespace

absl::StatusOr<HpkePrivateKey> HpkePrivateKey::FromRaw(SecretBytes raw) {
  if (raw.size() != kX25519Bytes) return BadKeys();
  UniquePkey key(EVP_PKEY_new_raw_private_key_ex(nullptr, "X25519", nullptr, raw.Reveal().data(),
                                                 kX25519Bytes));
  X25519PublicKey half;
  size_t size = half.size();
  if (key == nullptr || EVP_PKEY_get_raw_public_key(key.get(), half.data(), &size) != 1 ||
      size != kX25519Bytes) {
    return OpenSslError("cannot set up an X25519 key");
  }
  return HpkePrivateKey(std::shared_ptr<evp_pkey_st>(key.release(), EVP_PKEY_free), std::move(raw),
                        half);
}

absl::StatusOr<SecretBytes> X25519(const HpkePrivateKey& private_key, ByteView public_key) {
  if (private_key.external() == nullptr) return Derive(private_key.evp(), public_key);
  // A point of small order gives zeros with every key: found here with a key of no
  // meaning, so that what a token fails with is never the point's fault.
  SecretBytes probe(kX25519Bytes);
  RETURN_IF_ERROR(X25519(probe, public_key).status());
  ASSIGN_OR_RETURN(SecretBytes shared, private_key.external()->Agree(public_key));
  if (shared.size() != kX25519Bytes) return BadKeys();
  return shared;
}

absl::StatusOr<SecretBytes> X25519(const SecretBytes& private_key, ByteView public_key) {
  ASSIGN_OR_RETURN(HpkePrivateKey key, HpkePrivateKey::FromRaw(private_key.Clone()));
  return X25519(key, public_key);
}

}  // namespace nark
