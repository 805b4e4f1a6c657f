// Whatever the text: a clear error, or an address whose own text parses to itself.

#include <cstddef>
#include <cstdint>
#include <cstdlib>

#include "common/base/bytes.h"
#include "common/net/datagram_io.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using nark::net::UdpAddress;
  absl::StatusOr<UdpAddress> address = UdpAddress::Parse(nark::AsText({data, size}));
  if (!address.ok()) {
    if (address.status().code() != absl::StatusCode::kInvalidArgument) std::abort();
    return 0;
  }
  absl::StatusOr<UdpAddress> again = UdpAddress::Parse("udp://" + address->HostPort());
  if (!again.ok() || again->address != address->address || again->port != address->port) {
    std::abort();
  }
  if (address->ttl < 0 || address->ttl > 255 || address->datagram_bytes > 65507 ||
      address->datagram_bytes < 512) {
    std::abort();
  }
  return 0;
}
