#include "common/net/link_monitor.h"

#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <sys/socket.h>

#include <array>
#include <cerrno>
#include <cstdint>

namespace nark::net {

LinkMonitor::LinkMonitor(Routes routes) {
  Descriptor socket(::socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, NETLINK_ROUTE));
  sockaddr_nl groups{};
  groups.nl_family = AF_NETLINK;
  groups.nl_groups = RTMGRP_LINK | RTMGRP_IPV4_IFADDR | RTMGRP_IPV6_IFADDR;
  if (routes == Routes::kHeard) groups.nl_groups |= RTMGRP_IPV4_ROUTE | RTMGRP_IPV6_ROUTE;
  if (socket.fd() < 0 ||
      ::bind(socket.fd(), reinterpret_cast<const sockaddr*>(&groups), sizeof groups) != 0) {
    return;
  }
  socket_ = std::move(socket);
}

bool LinkMonitor::Take(absl::FunctionRef<void(unsigned index)> stopped) {
  if (socket_.fd() < 0) return false;
  bool heard = false;
  alignas(nlmsghdr) std::array<uint8_t, 16384> buffer;
  for (;;) {
    ssize_t got = ::recv(socket_.fd(), buffer.data(), buffer.size(), MSG_DONTWAIT);
    if (got < 0) {
      if (errno == EINTR) continue;
      // Too much happened to be told one by one: whoever asks looks for himself.
      if (errno == ENOBUFS) {
        heard = true;
        continue;
      }
      return heard;
    }
    if (got == 0) return heard;
    heard = true;
    size_t left = static_cast<size_t>(got);
    for (auto* message = reinterpret_cast<const nlmsghdr*>(buffer.data()); NLMSG_OK(message, left);
         message = NLMSG_NEXT(message, left)) {
      if (message->nlmsg_type != RTM_NEWLINK && message->nlmsg_type != RTM_DELLINK) continue;
      if (message->nlmsg_len < NLMSG_LENGTH(sizeof(ifinfomsg))) continue;
      const auto* link = static_cast<const ifinfomsg*>(NLMSG_DATA(message));
      bool running = (link->ifi_flags & IFF_UP) != 0 && (link->ifi_flags & IFF_RUNNING) != 0;
      // AF_BRIDGE tells of a bridge's port, not of the interface.
      if (link->ifi_family == AF_UNSPEC && (message->nlmsg_type == RTM_DELLINK || !running)) {
        stopped(static_cast<unsigned>(link->ifi_index));
      }
    }
  }
}

}  // namespace nark::net
