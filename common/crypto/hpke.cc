#include "common/crypto/hpke.h"

#include <initializer_list>
#include <string_view>

#include "common/base/status.h"
#include "common/crypto/hash.h"
#include "common/crypto/hpke_context.h"

namespace nark {
namespace {

constexpr size_t kKeyBytes = 16;
constexpr size_t kSecretBytes = 32;

// "KEM" || I2OSP(kem_id, 2), with DHKEM(X25519, HKDF-SHA256) (sections 4.1, 7.1).
constexpr std::array<uint8_t, 5> kKemSuite = {'K', 'E', 'M', 0x00, 0x20};
// "HPKE" || kem_id || kdf_id || aead_id, with HKDF-SHA256 and AES-128-GCM (section 5.1).
constexpr std::array<uint8_t, 10> kHpkeSuite = {'H',  'P',  'K',  'E',  0x00,
                                                0x20, 0x00, 0x01, 0x00, 0x01};

// LabeledExtract (section 4): Extract(salt, "HPKE-v1" || suite_id || label || ikm).
SecretBytes LabeledExtract(ByteView suite, ByteView salt, std::string_view label,
                           ByteView input_key) {
  return HkdfExtract(salt, {AsBytes("HPKE-v1"), suite, AsBytes(label), input_key});
}

// LabeledExpand: Expand(prk, I2OSP(L, 2) || "HPKE-v1" || suite_id || label || info, L).
absl::StatusOr<SecretBytes> LabeledExpand(ByteView suite, const SecretBytes& pseudorandom_key,
                                          std::string_view label, ByteView info, size_t length) {
  Bytes labelled(2);
  StoreBig16(labelled.data(), static_cast<uint16_t>(length));
  for (ByteView part : {AsBytes("HPKE-v1"), suite, AsBytes(label), info}) {
    labelled.insert(labelled.end(), part.begin(), part.end());
  }
  return HkdfExpand(pseudorandom_key, labelled, length);
}

// ExtractAndExpand(dh, kem_context), kem_context = enc || pkR (section 4.1).
absl::StatusOr<SecretBytes> ExtractAndExpand(const SecretBytes& dh, ByteView enc,
                                             const X25519PublicKey& recipient) {
  std::array<uint8_t, 64> context;
  std::copy(enc.begin(), enc.end(), context.begin());
  std::copy(recipient.begin(), recipient.end(), context.begin() + 32);
  SecretBytes eae_prk = LabeledExtract(kKemSuite, {}, "eae_prk", dh.Reveal());
  return LabeledExpand(kKemSuite, eae_prk, "shared_secret", context, kSecretBytes);
}

}  // namespace

absl::StatusOr<HpkePrivateKey> HpkePrivateKey::Generate(Random& random) {
  SecretBytes input_key(32);
  RETURN_IF_ERROR(random.Fill(input_key.RevealMutable()));
  return Derive(input_key.Reveal());
}

absl::StatusOr<HpkePrivateKey> HpkePrivateKey::Derive(ByteView input_key_material) {
  if (input_key_material.size() < 32) {
    return absl::InvalidArgumentError("HPKE: input key material has at least 32 bytes");
  }
  SecretBytes dkp_prk = LabeledExtract(kKemSuite, {}, "dkp_prk", input_key_material);
  ASSIGN_OR_RETURN(SecretBytes raw, LabeledExpand(kKemSuite, dkp_prk, "sk", {}, 32));
  return FromRaw(std::move(raw));
}

absl::StatusOr<SecretBytes> HpkeEncap(const HpkePrivateKey& ephemeral,
                                      const X25519PublicKey& recipient) {
  ASSIGN_OR_RETURN(SecretBytes dh, X25519(ephemeral, recipient));
  return ExtractAndExpand(dh, ephemeral.public_key(), recipient);
}

absl::StatusOr<SecretBytes> HpkeDecap(const HpkePrivateKey& recipient, ByteView enc) {
  ASSIGN_OR_RETURN(SecretBytes dh, X25519(recipient, enc));
  return ExtractAndExpand(dh, enc, recipient.public_key());
}

absl::StatusOr<HpkeContext> HpkeContext::Create(const SecretBytes& shared_secret, ByteView info) {
  // key_schedule_context = mode_base || psk_id_hash || info_hash
  SecretBytes psk_id_hash = LabeledExtract(kHpkeSuite, {}, "psk_id_hash", {});
  SecretBytes info_hash = LabeledExtract(kHpkeSuite, {}, "info_hash", info);
  std::array<uint8_t, 65> context{};
  std::copy_n(psk_id_hash.Reveal().begin(), 32, context.begin() + 1);
  std::copy_n(info_hash.Reveal().begin(), 32, context.begin() + 33);
  SecretBytes secret = LabeledExtract(kHpkeSuite, shared_secret.Reveal(), "secret", {});
  ASSIGN_OR_RETURN(SecretBytes key, LabeledExpand(kHpkeSuite, secret, "key", context, kKeyBytes));
  ASSIGN_OR_RETURN(SecretBytes base_nonce,
                   LabeledExpand(kHpkeSuite, secret, "base_nonce", context, kAeadNonceBytes));
  ASSIGN_OR_RETURN(std::unique_ptr<Aead> aead, Aead::Create(AeadAlgorithm::kAes128Gcm));
  return HpkeContext(std::move(aead), std::move(key), std::move(base_nonce));
}

std::array<uint8_t, kAeadNonceBytes> HpkeContext::Nonce() const {
  std::array<uint8_t, kAeadNonceBytes> nonce{};
  StoreBig64(nonce.data() + 4, sequence_);
  ByteView base = base_nonce_.Reveal();
  for (size_t i = 0; i < nonce.size(); ++i) nonce[i] ^= base[i];
  return nonce;
}

absl::StatusOr<Bytes> HpkeContext::Seal(ByteView associated_data, ByteView plaintext) {
  Bytes ciphertext(plaintext.size() + kAeadTagBytes);
  RETURN_IF_ERROR(aead_->Seal(key_, Nonce(), associated_data, plaintext, ciphertext));
  ++sequence_;
  return ciphertext;
}

absl::StatusOr<SecretBytes> HpkeContext::Open(ByteView associated_data, ByteView ciphertext) {
  if (ciphertext.size() < kAeadTagBytes) return absl::InvalidArgumentError("HPKE: too short");
  SecretBytes plaintext(ciphertext.size() - kAeadTagBytes);
  RETURN_IF_ERROR(
      aead_->Open(key_, Nonce(), associated_data, ciphertext, plaintext.RevealMutable()));
  ++sequence_;
  return plaintext;
}

absl::StatusOr<HpkeSealed> HpkeSeal(const X25519PublicKey& recipient, ByteView info,
                                    ByteView associated_data, ByteView plaintext, Random& random) {
  ASSIGN_OR_RETURN(HpkePrivateKey ephemeral, HpkePrivateKey::Generate(random));
  ASSIGN_OR_RETURN(SecretBytes shared, HpkeEncap(ephemeral, recipient));
  ASSIGN_OR_RETURN(HpkeContext context, HpkeContext::Create(shared, info));
  ASSIGN_OR_RETURN(Bytes ciphertext, context.Seal(associated_data, plaintext));
  return HpkeSealed{ephemeral.public_key(), std::move(ciphertext)};
}

namespace {

absl::StatusOr<SecretBytes> OpenOnce(const HpkePrivateKey& recipient, ByteView enc, ByteView info,
                                     ByteView associated_data, ByteView ciphertext) {
  ASSIGN_OR_RETURN(SecretBytes shared, HpkeDecap(recipient, enc));
  ASSIGN_OR_RETURN(HpkeContext context, HpkeContext::Create(shared, info));
  return context.Open(associated_data, ciphertext);
}

}  // namespace

absl::StatusOr<SecretBytes> HpkeOpen(const HpkePrivateKey& recipient, ByteView enc, ByteView info,
                                     ByteView associated_data, ByteView ciphertext) {
  absl::StatusOr<SecretBytes> plaintext =
      OpenOnce(recipient, enc, info, associated_data, ciphertext);
  // The cause of a broken parcel would tell a forger how far he came.
  if (absl::IsInvalidArgument(plaintext.status())) {
    return absl::InvalidArgumentError("HPKE: does not open");
  }
  return plaintext;
}

}  // namespace nark
