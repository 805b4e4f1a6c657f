#ifndef NARK_COMMON_RPC_ANTEROOM_H_
#define NARK_COMMON_RPC_ANTEROOM_H_

#include <chrono>
#include <cstddef>
#include <list>
#include <unordered_map>
#include <vector>

#include "common/base/bytes.h"
#include "common/net/descriptor.h"

namespace nark::rpc {

// How many bytes the first message of a connection has, as far as its beginning tells: of TLS
// the record that holds the ClientHello (RFC 8446, section 5.1), of HTTP/2 the preface (RFC
// 9113, section 3.4). No more than `begun` has where that is neither, or all of it.
size_t FirstMessageBytes(ByteView begun);

// Where connections wait until the first message of each is whole. It costs a peer's server a
// descriptor and what the kernel keeps, where a TLS handshake that has begun costs gRPC 0.2 ms
// and 77 KiB. Connections are closed with it. One thread only.
class Anteroom {
 public:
  using Clock = std::chrono::steady_clock;

  Anteroom();
  ~Anteroom();
  Anteroom(const Anteroom&) = delete;
  Anteroom& operator=(const Anteroom&) = delete;

  // To be waited for with poll(2): readable where Leave may have something. -1: there is none.
  int fd() const { return events_.fd(); }

  // Whether a connection need not wait. If it must, Enter is next.
  static bool IsWhole(int connection);
  // Takes a connected socket; it is closed where it can not be waited for.
  void Enter(int connection, Clock::time_point now);
  // Gives back those that are whole. Who has hung up is closed.
  std::vector<int> Leave();

  // Closes, with a reset, who came first, if that is so long ago; false where nobody is.
  bool CloseFirst(Clock::time_point now, Clock::duration at_least);
  size_t size() const { return waiting_.size(); }

 private:
  struct Waiting {
    int connection;
    Clock::time_point since;
  };
  void Forget(std::list<Waiting>::iterator one);

  net::Descriptor events_;
  std::list<Waiting> waiting_;  // who came first is first
  std::unordered_map<int, std::list<Waiting>::iterator> places_;
};

// Closes with a reset: the peer is to notice at once, and nothing of it is to linger.
void Reset(int connection);

}  // namespace nark::rpc

#endif  // NARK_COMMON_RPC_ANTEROOM_H_
