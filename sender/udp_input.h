#ifndef NARK_SENDER_UDP_INPUT_H_
#define NARK_SENDER_UDP_INPUT_H_

#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "common/net/datagram_io.h"
#include "sender/input.h"

namespace nark::sender {

// What is kept of a stream that arrives while ADUs are sent; more is dropped, and
// counted.
inline constexpr size_t kUdpInputBytes = 32 << 20;

// The payloads of datagrams, in the order in which they come; where they are RTP with a
// transport stream, without its header (sender/rtp.h). A thread of its own takes them
// in, so that pacing does not overrun the socket's buffer. `notify` is called on that
// thread.
absl::StatusOr<std::unique_ptr<Input>> OpenUdpInput(const std::string& uri, net::Notify notify);

}  // namespace nark::sender

#endif  // NARK_SENDER_UDP_INPUT_H_
