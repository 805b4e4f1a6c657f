#ifndef NARK_COMMON_RPC_ACCEPTOR_H_
#define NARK_COMMON_RPC_ACCEPTOR_H_

#include <atomic>
#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/net/descriptor.h"
#include "common/rpc/address.h"
#include "common/rpc/anteroom.h"

namespace nark::rpc {

// How many connections a server holds.
struct ConnectionCap {
  // At most; 0: as many as descriptors and memory suffice for (MostConnections).
  size_t connections = 0;
  // Whose peer has been silent for that long makes room for another, once all are taken;
  // where nobody has, it is the newcomer who is turned away.
  std::chrono::milliseconds idle{1000};
};

// The most connections that leave the rest of a program enough: descriptors, the present soft
// limit on open files without 128; and half of the memory there may be, if each connection
// costs what a peer can make it cost. At least 16.
size_t MostConnections();
size_t MostConnectionsWithin(size_t files, uint64_t memory_bytes);

// Since the start.
struct ConnectionCounts {
  uint64_t accepted = 0;
  uint64_t evicted = 0;      // for a newcomer's sake, for what they take, or as too slow
  uint64_t turned_away = 0;  // newcomers
  uint64_t held = 0;         // at present, those who wait and those not counted out yet among them
};

// Listens on TCP for a server, and hands over connections while they are no more than it
// can hold. gRPC's own listener takes whatever comes, and stops for good where descriptors
// run out (CVE-2023-4785). Peers that connect and say nothing are left to the kernel, and those
// that say half of what they must wait in an anteroom, where they make room for anybody who has
// said all of it. Thread-safe.
class Acceptor {
 public:
  // Called by the acceptor's thread; the socket is the callee's from then on.
  using Take = std::function<void(int fd)>;
  // Called by the same thread ten times a second: whose connections must end (PeerKey).
  using Greedy = std::function<std::set<std::string>()>;

  // Binds all addresses of a host, or UNAVAILABLE, naming address and cause. Nothing is
  // taken in before Run.
  static absl::StatusOr<std::unique_ptr<Acceptor>> Listen(const Address& address,
                                                          ConnectionCap cap);
  ~Acceptor();
  Acceptor(const Acceptor&) = delete;
  Acceptor& operator=(const Acceptor&) = delete;

  // Once.
  void Run(Take take, Greedy greedy = nullptr);
  // Takes nothing in any more, and gives the port back. Idempotent.
  void Stop();

  int port() const { return port_; }  // also where the system chose it
  ConnectionCounts counts() const;

 private:
  // A connection that was handed over. Its descriptor may have been closed since, and its
  // number given to something else: the cookie (socket(7), SO_COOKIE) tells.
  struct Held {
    int fd;
    uint64_t cookie;
  };

  Acceptor(std::vector<net::Descriptor> listeners, int port, ConnectionCap cap);
  void Loop();
  void AcceptSome(int listener);
  // A connection that has just come: to the server, the anteroom, or away.
  void Admit(int fd);
  void HandOver(int fd);
  size_t taken() const { return held_.size() + anteroom_.size(); }
  void Count() { held_count_ = taken(); }
  // For one who has said all that it must, or not yet.
  bool MakeRoom(bool whole);
  void ForgetClosed();
  bool EvictIdle();
  void EvictGreedy();
  // What is due ten times a second.
  void MakeRounds();
  // Ends the connection, if it still is the one that was handed over, and forgets it.
  void Evict(size_t at);

  const std::vector<net::Descriptor> listeners_;
  const int port_;
  const ConnectionCap cap_;
  net::Descriptor wake_;
  net::Descriptor reserve_;  // given up to turn somebody away when no other is left
  Take take_;
  Greedy greedy_;
  std::chrono::steady_clock::time_point looked_at_;
  Anteroom anteroom_;
  std::vector<Held> held_;
  size_t next_victim_ = 0;
  std::chrono::steady_clock::time_point forgot_at_;
  std::atomic<uint64_t> accepted_{0}, evicted_{0}, turned_away_{0}, held_count_{0};
  std::atomic<bool> stopping_{false};
  std::thread thread_;
};

}  // namespace nark::rpc

#endif  // NARK_COMMON_RPC_ACCEPTOR_H_
