#ifndef NARK_RELAY_ENDPOINT_H_
#define NARK_RELAY_ENDPOINT_H_

#include <array>
#include <compare>
#include <cstdint>
#include <string>

#include "common/base/bytes.h"

namespace nark::relay {

// Where a subscriber is. IPv4 as IPv4-mapped IPv6.
struct Endpoint {
  std::array<uint8_t, 16> address{};
  uint16_t port = 0;
  uint32_t scope = 0;  // interface of a link-local address

  friend auto operator<=>(const Endpoint&, const Endpoint&) = default;
  template <typename H>
  friend H AbslHashValue(H h, const Endpoint& e) {
    return H::combine(std::move(h), e.address, e.port, e.scope);
  }

  bool IsIpv4() const;
  // What one network's owner has at will: an IPv4 address, an IPv6 /64.
  std::array<uint8_t, 16> Site() const;
  // "192.0.2.1:5000", "[2001:db8::1]:5000".
  std::string ToString() const;
};

}  // namespace nark::relay

#endif  // NARK_RELAY_ENDPOINT_H_
