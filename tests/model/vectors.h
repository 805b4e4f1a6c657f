#ifndef NARK_TESTS_MODEL_VECTORS_H_
#define NARK_TESTS_MODEL_VECTORS_H_

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "common/base/bytes.h"
#include "common/object/session.h"
#include "nlohmann/json.hpp"

namespace nark::model {

// A file of this folder, as Bazel lays it out beside the test.
std::string ModelFile(std::string_view name);

// vectors.json, parsed once. The process ends where it cannot be read: no test of
// vectors may pass without them.
const nlohmann::json& Vectors();

// The hexadecimal field `name` of `object`, which must not be broken.
Bytes HexField(const nlohmann::json& object, std::string_view name);

// The same as an array of exactly that size.
template <size_t size>
std::array<uint8_t, size> ArrayField(const nlohmann::json& object, std::string_view name) {
  const Bytes bytes = HexField(object, name);
  std::array<uint8_t, size> array{};
  if (bytes.size() == size) std::copy(bytes.begin(), bytes.end(), array.begin());
  return array;
}

// The session of all vectors.
SessionName ModelSession();

// The model's plaintexts: SHA-256(label || u32 block), block after block.
Bytes Filler(std::string_view label, size_t size);

}  // namespace nark::model

#endif  // NARK_TESTS_MODEL_VECTORS_H_
