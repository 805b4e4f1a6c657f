// Any input in pieces of any size: every map is one that headers may carry, and counts
// what it encrypts.

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdlib>

#include "sender/clear_policy.h"

namespace nark::sender {
namespace {

void Require(bool condition) {
  if (!condition) std::abort();
}

void FuzzPolicy(ClearPolicy& policy, ByteView bytes, size_t piece_bytes) {
  while (!bytes.empty()) {
    const ByteView piece = bytes.first(std::min(piece_bytes, bytes.size()));
    const wire::ClearMap map = policy.Next(piece);
    Require(wire::CheckClearMap(map, static_cast<uint32_t>(piece.size())).ok());
    Require(wire::ResolveClearMap(map, piece).ok());
    bytes = bytes.subspan(piece.size());
  }
}

}  // namespace
}  // namespace nark::sender

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size < 3) return 0;
  const size_t piece_bytes = 1 + (size_t{data[0]} << 8 | data[1]);
  const nark::ByteView bytes(data + 2, size - 2);
  nark::sender::FuzzPolicy(*nark::sender::EncryptVideo(), bytes, piece_bytes);
  nark::sender::FuzzPolicy(*nark::sender::EncryptFirst(1 + data[0]), bytes, piece_bytes);
  return 0;
}
