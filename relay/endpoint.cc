#include "relay/endpoint.h"

#include <arpa/inet.h>

#include <algorithm>

#include "absl/strings/str_cat.h"

namespace nark::relay {
namespace {

constexpr std::array<uint8_t, 12> kMapped = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};

}  // namespace

bool Endpoint::IsIpv4() const {
  return std::equal(kMapped.begin(), kMapped.end(), address.begin());
}

std::array<uint8_t, 16> Endpoint::Site() const {
  std::array<uint8_t, 16> site = address;
  if (!IsIpv4()) std::fill(site.begin() + 8, site.end(), uint8_t{0});
  return site;
}

std::string Endpoint::ToString() const {
  char text[INET6_ADDRSTRLEN] = {};
  const bool v4 = IsIpv4();
  ::inet_ntop(v4 ? AF_INET : AF_INET6, address.data() + (v4 ? kMapped.size() : 0), text,
              sizeof text);
  return absl::StrCat(v4 ? "" : "[", text, v4 ? ":" : "]:", port);
}

}  // namespace nark::relay
