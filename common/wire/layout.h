#ifndef NARK_COMMON_WIRE_LAYOUT_H_
#define NARK_COMMON_WIRE_LAYOUT_H_

// What serialisers and parsers of this folder share; nobody else's business.

#include <cstddef>
#include <cstdint>

#include "absl/status/statusor.h"
#include "common/base/bytes.h"

namespace nark::wire {

inline void Append(Bytes& to, ByteView bytes) { to.insert(to.end(), bytes.begin(), bytes.end()); }
inline void AppendBig16(Bytes& to, uint16_t value) {
  to.push_back(static_cast<uint8_t>(value >> 8));
  to.push_back(static_cast<uint8_t>(value));
}
inline void AppendBig64(Bytes& to, uint64_t value) {
  uint8_t bytes[8];
  StoreBig64(bytes, value);
  Append(to, bytes);
}

// Takes bytes from the front. Once something was missing, it has failed and gives
// nothing more.
class Reader {
 public:
  explicit Reader(ByteView bytes) : rest_(bytes) {}
  // Empty where fewer than `count` are left.
  ByteView Take(size_t count) {
    if (failed_ || count > rest_.size()) {
      failed_ = true;
      return {};
    }
    const ByteView taken = rest_.first(count);
    rest_ = rest_.subspan(count);
    return taken;
  }
  bool failed() const { return failed_; }
  ByteView rest() const { return rest_; }

 private:
  ByteView rest_;
  bool failed_ = false;
};

// The parts of an authentication field, checked for shape.
struct AuthenticationParts {
  bool batch = false;
  uint16_t index = 0;  // of a batch
  uint16_t count = 0;
  ByteView path;  // 32 bytes each
  ByteView signature;
};
absl::StatusOr<AuthenticationParts> SplitAuthentication(ByteView field);

}  // namespace nark::wire

#endif  // NARK_COMMON_WIRE_LAYOUT_H_
