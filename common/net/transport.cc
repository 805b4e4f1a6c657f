#include "common/net/transport.h"

#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/base/status.h"
#include "common/net/datagram_file.h"

namespace nark::net {
namespace {

constexpr std::string_view kFile = "file:";

// file:PATH and file:///PATH are the same.
absl::StatusOr<std::string> PathOf(std::string_view uri) {
  std::string_view path = uri.substr(kFile.size());
  if (path.starts_with("///")) path.remove_prefix(2);
  if (path.empty() || path.starts_with("//")) {
    return absl::InvalidArgumentError(absl::StrCat(Absl(uri), " names no path; want file:PATH"));
  }
  return std::string(path);
}

absl::Status Unknown(std::string_view uri) {
  return absl::InvalidArgumentError(
      absl::StrCat(Absl(uri), " is no transport; want udp://GROUP:PORT or file:PATH"));
}

}  // namespace

absl::StatusOr<OpenedSink> OpenSink(std::string_view uri, Notify notify) {
  OpenedSink opened{nullptr, static_cast<size_t>(kDefaultDatagramBytes)};
  if (uri.starts_with(kFile)) {
    ASSIGN_OR_RETURN(std::string path, PathOf(uri));
    ASSIGN_OR_RETURN(opened.sink, CreateDatagramFile(path));
    return opened;
  }
  if (!uri.starts_with("udp://")) return Unknown(uri);
  ASSIGN_OR_RETURN(UdpAddress address, UdpAddress::Parse(uri));
  ASSIGN_OR_RETURN(opened.sink, OpenUdpSink(address, std::move(notify)));
  opened.datagram_bytes = opened.sink->datagram_bytes();
  return opened;
}

absl::StatusOr<std::unique_ptr<DatagramSource>> OpenSource(std::string_view uri, Notify notify,
                                                           const PlayRange& range) {
  if (uri.starts_with(kFile)) {
    ASSIGN_OR_RETURN(std::string path, PathOf(uri));
    return OpenDatagramFile(path, range, std::move(notify));
  }
  if (!range.everything()) {
    return absl::InvalidArgumentError(absl::StrCat(
        Absl(uri), " is no recording: --from-adu, --from-time and their ends go with file:PATH"));
  }
  if (!uri.starts_with("udp://")) return Unknown(uri);
  ASSIGN_OR_RETURN(UdpAddress address, UdpAddress::Parse(uri));
  return OpenUdpSource(address, std::move(notify));
}

}  // namespace nark::net
