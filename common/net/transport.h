#ifndef NARK_COMMON_NET_TRANSPORT_H_
#define NARK_COMMON_NET_TRANSPORT_H_

#include <memory>
#include <string_view>

#include "absl/status/statusor.h"
#include "common/net/datagram_file.h"
#include "common/net/datagram_io.h"

namespace nark::net {

// What a session's transport URI leads to.
struct OpenedSink {
  std::unique_ptr<DatagramSink> sink;
  size_t datagram_bytes;  // the largest datagram that it takes
};

// "udp://..." (datagram_io.h) or "file:PATH" (datagram_file.h).
// INVALID_ARGUMENT for anything else.
absl::StatusOr<OpenedSink> OpenSink(std::string_view uri, Notify notify = nullptr);
// Of a file, `range` alone; it is INVALID_ARGUMENT with anything else that has no beginning.
absl::StatusOr<std::unique_ptr<DatagramSource>> OpenSource(std::string_view uri,
                                                           Notify notify = nullptr,
                                                           const PlayRange& range = {});

}  // namespace nark::net

#endif  // NARK_COMMON_NET_TRANSPORT_H_
