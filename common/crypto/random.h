#ifndef NARK_COMMON_CRYPTO_RANDOM_H_
#define NARK_COMMON_CRYPTO_RANDOM_H_

#include <cstdint>

#include "absl/status/status.h"
#include "common/base/bytes.h"
#include "common/crypto/secret_bytes.h"

namespace nark {

// Where cores get randomness from.
class Random {
 public:
  virtual ~Random() = default;
  // Fills `out` or fails; never half.
  virtual absl::Status Fill(MutableByteView out) = 0;
};

// The operating system's generator through OpenSSL. Thread-safe.
class SystemRandom final : public Random {
 public:
  absl::Status Fill(MutableByteView out) override;
};

// Reproducible bytes for tests and the simulator, never for keys that protect
// anything: SHA-256 in counter mode over the seed. One thread only.
class SeededRandom final : public Random {
 public:
  explicit SeededRandom(uint64_t seed) : seed_(seed) {}
  absl::Status Fill(MutableByteView out) override;
  // Uniform in [0, bound); bound is at least 1.
  uint64_t Below(uint64_t bound);

 private:
  uint64_t seed_;
  uint64_t counter_ = 0;
};

}  // namespace nark

#endif  // NARK_COMMON_CRYPTO_RANDOM_H_
