#ifndef NARK_RELAY_CLIENT_SOURCE_H_
#define NARK_RELAY_CLIENT_SOURCE_H_

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "common/base/clock.h"
#include "common/crypto/random.h"
#include "common/net/datagram_io.h"

namespace nark::relay {

// relay://HOST:PORT?token=FILE&rcvbuf=N&mtu=N&adapter=IFACE
struct RelayAddress {
  net::UdpAddress udp;
  std::string token_file;

  static bool Matches(std::string_view uri) { return uri.starts_with("relay://"); }
  // Strict. INVALID_ARGUMENT names the URI and the part that is wrong.
  static absl::StatusOr<RelayAddress> Parse(std::string_view uri);
};

struct SourceOptions {
  std::vector<uint64_t> tags;  // of the streams wanted
  // How long the relay may take to accept at first.
  std::chrono::microseconds timeout = std::chrono::seconds(10);
  // Told, a line at a time and each once, what goes wrong later, and that it is over.
  std::function<void(const std::string&)> tell;
};

// Datagrams from a relay that it subscribes to, for as long as it lives; it comes back
// by itself after the relay or the way there was gone. Receive also keeps the
// subscription: it is to be called once a second or oftener. Its errors are final:
// IsRemote where the relay refused, or did not answer, at first.
//
// `clock` must never jump. Both must outlive it. Looks up host names (blocks).
absl::StatusOr<std::unique_ptr<net::DatagramSource>> OpenRelaySource(std::string_view uri,
                                                                     SourceOptions options,
                                                                     Clock& clock, Random& random);

}  // namespace nark::relay

#endif  // NARK_RELAY_CLIENT_SOURCE_H_
