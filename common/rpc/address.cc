#include "common/rpc/address.h"

#include <sys/un.h>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "common/base/status.h"

namespace nark::rpc {
namespace {

constexpr std::string_view kUnix = "unix:";

absl::StatusOr<Address> ParseUnix(std::string_view path) {
  if (path.empty()) return absl::InvalidArgumentError("unix: what is missing is the path");
  if (path.size() >= sizeof(sockaddr_un{}.sun_path)) {
    return absl::InvalidArgumentError(
        absl::StrCat(Absl(path),
                     ": longer than the 107 bytes that a unix socket's path may have; "
                     "use a shorter or a relative path"));
  }
  Address address;
  address.unix_path = path;
  return address;
}

}  // namespace

std::string Address::ToString() const {
  if (!unix_path.empty()) return absl::StrCat(Absl(kUnix), unix_path);
  const bool v6 = host.find(':') != std::string::npos;
  return v6 ? absl::StrCat("[", host, "]:", port) : absl::StrCat(host, ":", port);
}

absl::StatusOr<Address> ParseAddress(std::string_view text) {
  if (text.starts_with(kUnix)) return ParseUnix(text.substr(kUnix.size()));
  const auto refuse = [&] {
    return absl::InvalidArgumentError(absl::StrCat(
        "\"", Absl(text), "\" is no address; write HOST:PORT, [IPv6]:PORT or unix:PATH"));
  };
  const size_t colon = text.rfind(':');
  if (colon == std::string_view::npos) return refuse();
  std::string_view host = text.substr(0, colon);
  const std::string_view port_text = text.substr(colon + 1);
  const bool bracketed = host.size() >= 2 && host.front() == '[' && host.back() == ']';
  if (bracketed) host = host.substr(1, host.size() - 2);
  const bool has_colon = host.find(':') != std::string_view::npos;
  if (host.empty() || has_colon != bracketed || host.find_first_of(" []/\t\n") != host.npos) {
    return refuse();
  }
  uint32_t port = 0;
  if (port_text.empty() || port_text.find_first_not_of("0123456789") != port_text.npos ||
      !absl::SimpleAtoi(Absl(port_text), &port) || port > 65535) {
    return refuse();
  }
  Address address;
  address.host = host;
  address.port = static_cast<uint16_t>(port);
  return address;
}

}  // namespace nark::rpc
