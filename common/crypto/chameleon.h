#ifndef NARK_COMMON_CRYPTO_CHAMELEON_H_
#define NARK_COMMON_CRYPTO_CHAMELEON_H_

#include <cstdint>
#include <memory>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/base/bytes.h"
#include "common/crypto/keystream.h"
#include "common/crypto/secret_bytes.h"

namespace nark {

// The block of a Chameleon cipher: 2^k words of 64 bits, little-endian. Who has a
// receiver's block can make recordings that bear its mark. Immutable; thread-safe.
class ChameleonBlock {
 public:
  static constexpr uint32_t kMinWordsLog2 = 10;
  static constexpr uint32_t kMaxWordsLog2 = 16;  // 512 KiB

  // Of 8 << k bytes, kMinWordsLog2 <= k <= kMaxWordsLog2; else INVALID_ARGUMENT.
  static absl::StatusOr<ChameleonBlock> Of(SecretBytes bytes);

  uint32_t words_log2() const { return words_log2_; }
  size_t words() const { return size_t{1} << words_log2_; }
  const SecretBytes& bytes() const { return bytes_; }

 private:
  ChameleonBlock(SecretBytes bytes, uint32_t words_log2)
      : bytes_(std::move(bytes)), words_log2_(words_log2) {}

  SecretBytes bytes_;
  uint32_t words_log2_;
};

// How many words of the block are XORed into one of the output.
inline constexpr size_t kChameleonWords = 4;

// How the words are fetched: the same bytes come of each.
enum class ChameleonLoop {
  kPortable,
  kAvx2,    // with AES-NI
  kAvx512,  // with VAES
};
// Those that this processor can run, the widest last. Of one element at least.
std::vector<ChameleonLoop> ChameleonLoops();
std::string_view NameOf(ChameleonLoop loop);

// The Chameleon cipher (Anderson and Manifavas, 1997; sections 2.3 and 4.3 of the paper):
// output word j is the XOR of the block's words i0..i3, the four 16-bit lanes,
// little-endian and modulo the block's words, of the j-th 64 bits of Keystream(key).
// Whoever decrypts with a block that differs in some bits gets plaintext that differs in
// those bits of the words chosen.
//
// It traces, and hides nothing: of a block of 512 KiB, as much known plaintext yields most,
// and 1.5 MiB all (docs/threat-model.md). Its key says which words are chosen, and may be
// known. One thread only.
class Chameleon {
 public:
  // With the widest loop that this processor can run, ...
  static absl::StatusOr<std::unique_ptr<Chameleon>> Create(
      std::shared_ptr<const ChameleonBlock> block);
  // ... or with a given one. UNIMPLEMENTED where it cannot.
  static absl::StatusOr<std::unique_ptr<Chameleon>> Create(
      std::shared_ptr<const ChameleonBlock> block, ChameleonLoop loop);

  // XORs `in` with the output under `key` (16 bytes). `out` has the same size, and begins
  // where `in` begins or does not overlap it. INVALID_ARGUMENT.
  absl::Status Apply(const SecretBytes& key, ByteView in, MutableByteView out);

 private:
  Chameleon(std::shared_ptr<const ChameleonBlock> block, std::unique_ptr<Keystream> keystream,
            ChameleonLoop loop);

  const std::shared_ptr<const ChameleonBlock> block_;
  const std::unique_ptr<Keystream> keystream_;  // of the portable loop
  const ChameleonLoop loop_;
};

}  // namespace nark

#endif  // NARK_COMMON_CRYPTO_CHAMELEON_H_
