#include "common/fec/field.h"

namespace nark::fec {

const Field& Field::Get() {
  static const Field field;
  return field;
}

Field::Field() {
  unsigned power = 1;
  for (unsigned i = 0; i < 255; ++i) {
    exponent_[i] = exponent_[i + 255] = static_cast<uint8_t>(power);
    logarithm_[power] = static_cast<uint8_t>(i);
    power <<= 1;
    if (power > 255) power ^= 0x11d;
  }
}

Element Field::Product(Element a, Element b) const {
  // (h z + l) (h' z + l') with z^2 = z + kConstant.
  const uint8_t high = ByteProduct(High(a), High(b));
  const uint8_t low = ByteProduct(Low(a), Low(b)) ^ ByteProduct(high, kConstant);
  const uint8_t cross = ByteProduct(High(a), Low(b)) ^ ByteProduct(Low(a), High(b)) ^ high;
  return static_cast<Element>(cross << 8 | low);
}

Element Field::Inverse(Element element) const {
  const uint8_t high = High(element), low = Low(element);
  // Times its conjugate, h z + (h + l), an element is in GF(2^8).
  const uint8_t norm = ByteProduct(low, static_cast<uint8_t>(low ^ high)) ^
                       ByteProduct(ByteProduct(high, high), kConstant);
  const uint8_t inverse = ByteInverse(norm);
  return static_cast<Element>(ByteProduct(high, inverse) << 8 |
                              ByteProduct(static_cast<uint8_t>(low ^ high), inverse));
}

}  // namespace nark::fec
