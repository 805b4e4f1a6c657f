#include "common/rpc/open_calls.h"

#include <grpc/grpc.h>
#include <grpc/support/alloc.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <nlohmann/json.hpp>

#include "absl/strings/escaping.h"
#include "absl/strings/numbers.h"

namespace nark::rpc {
namespace {

using Json = nlohmann::json;

constexpr size_t kIpv4Bytes = 4;

// What channelz says, as JSON of its protocol; null where it has nothing to say.
Json Take(char* said) {
  if (said == nullptr) return nullptr;
  Json json = Json::parse(said, nullptr, /*allow_exceptions=*/false);
  gpr_free(said);
  return json.is_discarded() ? Json(nullptr) : json;
}

// 64-bit numbers are strings, and left out where they are 0.
int64_t NumberAt(const Json& json, const char* name) {
  int64_t number = 0;
  const auto found = json.find(name);
  if (found == json.end()) return 0;
  if (found->is_number_integer()) return found->get<int64_t>();
  return found->is_string() && absl::SimpleAtoi(found->get<std::string>(), &number) ? number : 0;
}

// An element that may be absent, as an object.
Json At(const Json& json, const char* name) { return json.value(name, Json::object()); }

void AddPeer(const Json& socket, std::set<std::string>& peers) {
  const Json remote = At(At(socket, "remote"), "tcpip_address");
  std::string address;
  if (!absl::Base64Unescape(remote.value("ip_address", ""), &address)) return;
  peers.insert(PeerKey(address, static_cast<uint16_t>(NumberAt(remote, "port"))));
}

void Look(int64_t server, int64_t most, std::set<std::string>& peers) {
  // Pages of a hundred, the next from behind the last.
  for (int64_t from = 0;;) {
    const Json page = Take(grpc_channelz_get_server_sockets(server, from, 0));
    const Json sockets = page.is_object() ? page.value("socketRef", Json::array()) : Json::array();
    for (const Json& reference : sockets) {
      const int64_t id = NumberAt(reference, "socketId");
      from = id + 1;
      const Json said = Take(grpc_channelz_get_socket(id));
      if (!said.is_object()) continue;  // gone meanwhile
      const Json socket = At(said, "socket"), data = At(socket, "data");
      const int64_t open = NumberAt(data, "streamsStarted") - NumberAt(data, "streamsSucceeded") -
                           NumberAt(data, "streamsFailed");
      if (open > most) AddPeer(socket, peers);
    }
    if (sockets.empty() || page.value("end", false)) return;
  }
}

}  // namespace

std::string PeerKey(const std::string& address, uint16_t port) {
  std::string key = address;
  key.push_back(static_cast<char>(port >> 8));
  key.push_back(static_cast<char>(port & 0xff));
  return key;
}

std::string PeerKeyOf(int fd) {
  sockaddr_storage peer{};
  socklen_t size = sizeof peer;
  if (getpeername(fd, reinterpret_cast<sockaddr*>(&peer), &size) != 0) return {};
  if (peer.ss_family == AF_INET) {
    const auto& v4 = reinterpret_cast<const sockaddr_in&>(peer);
    return PeerKey({reinterpret_cast<const char*>(&v4.sin_addr), kIpv4Bytes}, ntohs(v4.sin_port));
  }
  if (peer.ss_family != AF_INET6) return {};
  const auto& v6 = reinterpret_cast<const sockaddr_in6&>(peer);
  std::string address(reinterpret_cast<const char*>(&v6.sin6_addr), sizeof v6.sin6_addr);
  if (IN6_IS_ADDR_V4MAPPED(&v6.sin6_addr)) address.erase(0, address.size() - kIpv4Bytes);
  return PeerKey(address, ntohs(v6.sin6_port));
}

std::set<std::string> PeersWithMoreCalls(int64_t most) {
  std::set<std::string> peers;
  for (int64_t from = 0;;) {
    const Json page = Take(grpc_channelz_get_servers(from));
    const Json servers = page.is_object() ? page.value("server", Json::array()) : Json::array();
    for (const Json& server : servers) {
      const int64_t id = NumberAt(At(server, "ref"), "serverId");
      from = id + 1;
      Look(id, most, peers);
    }
    if (servers.empty() || page.value("end", false)) return peers;
  }
}

}  // namespace nark::rpc
