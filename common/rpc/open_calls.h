#ifndef NARK_COMMON_RPC_OPEN_CALLS_H_
#define NARK_COMMON_RPC_OPEN_CALLS_H_

#include <cstdint>
#include <set>
#include <string>

namespace nark::rpc {

// The other end of a TCP connection: its address in network order, 4 bytes (also where it is
// written as IPv6) or 16, then its port.
std::string PeerKey(const std::string& address, uint16_t port);
// Of a connected socket; empty where it is none.
std::string PeerKeyOf(int fd);

// Whose connections to servers of this process carry more than `most` calls that have begun
// and not ended, as gRPC's channelz knows them (gRFC A14). Takes some 50 us a connection.
std::set<std::string> PeersWithMoreCalls(int64_t most);

}  // namespace nark::rpc

#endif  // NARK_COMMON_RPC_OPEN_CALLS_H_
