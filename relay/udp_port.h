#ifndef NARK_RELAY_UDP_PORT_H_
#define NARK_RELAY_UDP_PORT_H_

#include <memory>
#include <string>

#include "absl/functional/function_ref.h"
#include "absl/status/statusor.h"
#include "common/base/bytes.h"
#include "common/net/datagram_io.h"
#include "relay/endpoint.h"
#include "relay/forwarder.h"

namespace nark::relay {

// The one UDP socket that subscribers talk to and are sent to from: sendmmsg across
// subscribers, with UDP GSO where the kernel has it. One thread only.
class UdpPort : public FanOut {
 public:
  // `listen`: "HOST:PORT", numeric, [IPv6] in brackets; port 0 lets the system choose.
  // "[::]" serves IPv4 as well. INVALID_ARGUMENT for an address that is none,
  // UNAVAILABLE where it cannot be bound.
  static absl::StatusOr<std::unique_ptr<UdpPort>> Open(const std::string& listen,
                                                       net::Offload offload = net::Offload::kUse);

  // With the port that was chosen.
  virtual const std::string& address() const = 0;
  virtual int descriptor() const = 0;  // for poll()
  // Hands over what is there, at most `most`, without blocking; returns how many.
  virtual absl::StatusOr<size_t> Receive(
      size_t most, absl::FunctionRef<void(const Endpoint&, ByteView)> consume) = 0;
  // Hands over to whom ICMP says that nothing arrives there.
  virtual void TakeUnreachable(absl::FunctionRef<void(const Endpoint&)> consume) = 0;
  // Datagrams that the network or a full buffer refused, for a subscriber each.
  virtual uint64_t lost() const = 0;
};

}  // namespace nark::relay

#endif  // NARK_RELAY_UDP_PORT_H_
