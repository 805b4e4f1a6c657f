#ifndef NARK_LOAD_UNIFORM_H_
#define NARK_LOAD_UNIFORM_H_

#include <cstdint>
#include <random>

namespace nark::load {

// Numbers in [0, 1) from a seed, the same on every machine (std's distributions are not).
// For spacing and jitter, never for keys. One thread only.
class Uniform {
 public:
  explicit Uniform(uint64_t seed) : bits_(seed) {}
  double Next() { return static_cast<double>(bits_() >> 11) * 0x1p-53; }

 private:
  std::mt19937_64 bits_;
};

}  // namespace nark::load

#endif  // NARK_LOAD_UNIFORM_H_
