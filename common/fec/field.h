#ifndef NARK_COMMON_FEC_FIELD_H_
#define NARK_COMMON_FEC_FIELD_H_

#include <array>
#include <cstddef>
#include <cstdint>

namespace nark::fec {

// An element of GF(2^16), written as GF(2^8)[z] / (z^2 + z + 32) over
// GF(2)[x] / (x^8 + x^4 + x^3 + x^2 + 1): the number 256 high + low is high z + low.
// Numbers below 256 are the elements of GF(2^8) itself, so arithmetic among them stays
// there. Addition is exclusive or.
using Element = uint16_t;

inline uint8_t Low(Element element) { return static_cast<uint8_t>(element); }
inline uint8_t High(Element element) { return static_cast<uint8_t>(element >> 8); }

// Arithmetic of the field. Immutable, so thread-safe.
class Field {
 public:
  static const Field& Get();

  uint8_t ByteProduct(uint8_t a, uint8_t b) const {
    return a == 0 || b == 0 ? 0 : exponent_[size_t{logarithm_[a]} + logarithm_[b]];
  }
  Element Product(Element a, Element b) const;
  // Of an element that is not 0.
  Element Inverse(Element element) const;

  // What z^2 is besides z.
  static constexpr uint8_t kConstant = 32;

 private:
  Field();
  uint8_t ByteInverse(uint8_t a) const { return exponent_[255 - size_t{logarithm_[a]}]; }

  std::array<uint8_t, 256> logarithm_{};  // [0] means nothing
  std::array<uint8_t, 512> exponent_{};
};

}  // namespace nark::fec

#endif  // NARK_COMMON_FEC_FIELD_H_
