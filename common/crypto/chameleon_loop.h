#ifndef NARK_COMMON_CRYPTO_CHAMELEON_LOOP_H_
#define NARK_COMMON_CRYPTO_CHAMELEON_LOOP_H_

#include <array>
#include <cstdint>

#include "absl/status/status.h"
#include "common/base/bytes.h"
#include "common/crypto/keystream.h"
#include "common/crypto/secret_bytes.h"

namespace nark {

// The loops behind Chameleon::Apply, a file each. All write the same bytes: out = in XOR
// the cipher's output. `key` has 16 bytes; `block` has mask + 1 words, each as it lies in
// memory; `out` has the size of `in`, and begins where it begins or does not overlap it.
struct ChameleonJob {
  const SecretBytes& key;
  const uint64_t* block;
  uint64_t mask;
  ByteView in;
  MutableByteView out;
};

// Any processor. The indices are OpenSSL's AES-128-CTR, a tile at a time.
absl::Status ApplyPortable(Keystream& keystream, const ChameleonJob& job);

#ifdef __x86_64__
// These make the indices where they are used, so that AES fills the time in which the
// gathers wait for the second cache.
bool CanApplyAvx2();  // AVX2 and AES-NI
void ApplyAvx2(const ChameleonJob& job);
bool CanApplyAvx512();  // AVX-512 F and BW, and VAES
void ApplyAvx512(const ChameleonJob& job);

// The eleven round keys of AES-128 (FIPS 197, 5.2), for a processor with AES-NI. Wiped on
// destruction.
class AesRoundKeys {
 public:
  static constexpr size_t kRounds = 10;

  explicit AesRoundKeys(const SecretBytes& key);
  ~AesRoundKeys() { Wipe(keys_); }
  AesRoundKeys(const AesRoundKeys&) = delete;
  AesRoundKeys& operator=(const AesRoundKeys&) = delete;

  // Of round 0 to kRounds: 16 bytes, aligned.
  const uint8_t* operator[](size_t round) const { return &keys_[16 * round]; }

 private:
  alignas(16) std::array<uint8_t, 16 * (kRounds + 1)> keys_;
};
#endif

}  // namespace nark

#endif  // NARK_COMMON_CRYPTO_CHAMELEON_LOOP_H_
