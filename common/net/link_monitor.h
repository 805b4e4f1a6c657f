#ifndef NARK_COMMON_NET_LINK_MONITOR_H_
#define NARK_COMMON_NET_LINK_MONITOR_H_

#include "absl/functional/function_ref.h"
#include "common/net/descriptor.h"

namespace nark::net {

// Hears of changes to this machine's interfaces, addresses and routes
// (rtnetlink(7)). Where the kernel lets nobody listen it hears nothing. One thread
// only.
class LinkMonitor {
 public:
  enum class Routes { kHeard, kIgnored };
  explicit LinkMonitor(Routes routes);

  // For poll(); -1 where nothing can be heard.
  int fd() const { return socket_.fd(); }
  // Takes what has been heard, without blocking; false if nothing. `stopped` is
  // called with the index of each interface that went away or lost its carrier.
  bool Take(absl::FunctionRef<void(unsigned index)> stopped);

 private:
  Descriptor socket_;
};

}  // namespace nark::net

#endif  // NARK_COMMON_NET_LINK_MONITOR_H_
