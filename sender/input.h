#ifndef NARK_SENDER_INPUT_H_
#define NARK_SENDER_INPUT_H_

#include <memory>
#include <string>

#include "absl/functional/function_ref.h"
#include "absl/status/statusor.h"
#include "common/base/bytes.h"

namespace nark::sender {

// Where the plain stream comes from. One thread only.
class Input {
 public:
  virtual ~Input() = default;
  // For poll(): Read does not block for long once it is readable.
  virtual int descriptor() const = 0;
  enum class State : uint8_t { kOpen, kEnded };
  // Hands over what is there, in order; blocks where nothing is and the input is no
  // socket.
  virtual absl::StatusOr<State> Read(absl::FunctionRef<void(ByteView)> consume) = 0;
};

// "-" or "file://con" (stdin), "file:PATH" or a plain path, "udp://..." (each
// datagram's content). The message names the URI.
absl::StatusOr<std::unique_ptr<Input>> OpenInput(const std::string& uri);

}  // namespace nark::sender

#endif  // NARK_SENDER_INPUT_H_
