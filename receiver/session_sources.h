#ifndef NARK_RECEIVER_SESSION_SOURCES_H_
#define NARK_RECEIVER_SESSION_SOURCES_H_

#include <memory>
#include <set>
#include <string>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/status/statusor.h"
#include "common/net/datagram_io.h"
#include "common/object/session.h"

namespace nark::receiver {

// Where a session's datagrams come from, opened.
struct SessionSources {
  using OpenSource =
      absl::FunctionRef<absl::StatusOr<std::unique_ptr<net::DatagramSource>>(const std::string&)>;

  std::vector<std::string> uris;
  std::vector<std::unique_ptr<net::DatagramSource>> sources;  // one a URI

  // Those of the sub-sessions' transports, each once, or `input` alone where that is
  // not empty. Errors name the URI.
  static absl::StatusOr<SessionSources> Open(const VerifiedSession& session,
                                             const std::set<uint32_t>& sub_sessions,
                                             const std::string& input, OpenSource open);
  // The URIs that Open would open.
  static std::vector<std::string> UrisOf(const VerifiedSession& session,
                                         const std::set<uint32_t>& sub_sessions,
                                         const std::string& input);
  std::vector<net::DatagramSource*> borrowed() const;
  // Datagrams that the kernel dropped.
  uint64_t lost() const;
};

}  // namespace nark::receiver

#endif  // NARK_RECEIVER_SESSION_SOURCES_H_
