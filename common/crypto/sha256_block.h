#ifndef NARK_COMMON_CRYPTO_SHA256_BLOCK_H_
#define NARK_COMMON_CRYPTO_SHA256_BLOCK_H_

#include <array>
#include <cstdint>

#include "common/base/bytes.h"

namespace nark {

// SHA-256 of 33 bytes, a 32-byte node and one more: a single compression, without
// the cost of a general hash. Keeps its block, so that nothing of a node is left
// on the stack; wiped on destruction. One thread only.
class Sha256Node {
 public:
  Sha256Node();
  ~Sha256Node();
  Sha256Node(const Sha256Node&) = delete;
  Sha256Node& operator=(const Sha256Node&) = delete;

  // child = SHA-256(node[32] || last), 32 bytes. `child` may be `node`.
  void Hash(const uint8_t* node, uint8_t last, uint8_t* child);

 private:
  alignas(64) std::array<uint8_t, 64> block_;
  // Holds OpenSSL's SHA256_CTX.
  alignas(8) std::array<uint8_t, 112> state_;
  std::array<uint32_t, 8> initial_;  // the chaining value of FIPS 180-4, 5.3.3
};

}  // namespace nark

#endif  // NARK_COMMON_CRYPTO_SHA256_BLOCK_H_
