#include "receiver/session_sources.h"

#include <algorithm>
#include <utility>

#include "common/base/status.h"

namespace nark::receiver {

std::vector<std::string> SessionSources::UrisOf(const VerifiedSession& session,
                                                const std::set<uint32_t>& sub_sessions,
                                                const std::string& input) {
  if (!input.empty()) return {input};
  std::vector<std::string> uris;
  for (const v1::Transport& transport : session.descriptor().transports()) {
    if (!sub_sessions.contains(transport.sub_session())) continue;
    if (std::find(uris.begin(), uris.end(), transport.uri()) == uris.end()) {
      uris.push_back(transport.uri());
    }
  }
  return uris;
}

absl::StatusOr<SessionSources> SessionSources::Open(const VerifiedSession& session,
                                                    const std::set<uint32_t>& sub_sessions,
                                                    const std::string& input, OpenSource open) {
  SessionSources opened;
  opened.uris = UrisOf(session, sub_sessions, input);
  for (const std::string& uri : opened.uris) {
    ASSIGN_OR_RETURN(std::unique_ptr<net::DatagramSource> source, open(uri));
    opened.sources.push_back(std::move(source));
  }
  return opened;
}

std::vector<net::DatagramSource*> SessionSources::borrowed() const {
  std::vector<net::DatagramSource*> all;
  for (const auto& source : sources) all.push_back(source.get());
  return all;
}

uint64_t SessionSources::lost() const {
  uint64_t sum = 0;
  for (const auto& source : sources) sum += source->lost();
  return sum;
}

}  // namespace nark::receiver
