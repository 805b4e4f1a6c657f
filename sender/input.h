#ifndef NARK_SENDER_INPUT_H_
#define NARK_SENDER_INPUT_H_

#include <cstdint>
#include <memory>
#include <string>

#include "absl/functional/function_ref.h"
#include "absl/status/statusor.h"
#include "common/base/bytes.h"
#include "common/net/datagram_io.h"

namespace nark::sender {

// Of an input that comes as datagrams.
struct InputCounters {
  uint64_t datagrams = 0;
  uint64_t missing = 0;  // never arrived, where RTP numbers them
  uint64_t dropped = 0;  // arrived, and there was no room for them
};

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

  // kLive: it comes at its own pace and never ends by itself. Whoever is told to stop
  // closes it, and sends what had come.
  enum class Kind : uint8_t { kStored, kLive };
  virtual Kind kind() const { return Kind::kStored; }
  // Takes in no more: Read hands over what had arrived, until it has ended.
  virtual void Close() {}
  virtual InputCounters counters() const { return {}; }
};

// "-" or "file://con" (stdin), "file:PATH" or a plain path, "udp://..."
// (sender/udp_input.h). The message names the URI. `notify` is called on any thread.
absl::StatusOr<std::unique_ptr<Input>> OpenInput(const std::string& uri,
                                                 net::Notify notify = nullptr);

}  // namespace nark::sender

#endif  // NARK_SENDER_INPUT_H_
