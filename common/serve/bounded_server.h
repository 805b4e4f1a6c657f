#ifndef NARK_COMMON_SERVE_BOUNDED_SERVER_H_
#define NARK_COMMON_SERVE_BOUNDED_SERVER_H_

#include <atomic>
#include <chrono>
#include <functional>
#include <memory>

#include "common/serve/work_queue.h"

struct ssl_ctx_st;

namespace httplib {
class Server;
}

namespace nark::serve {

// What one connection may take. httplib bounds neither the line and the headers of a
// request nor the time of it all: its limits are per header and begin anew with each byte.
struct ConnectionLimits {
  size_t head_bytes = 64 << 10;
  size_t body_bytes = 64 << 10;  // as sent, chunk sizes among them
  std::chrono::milliseconds head_time{5000};
  std::chrono::milliseconds body_time{20000};
  std::chrono::milliseconds answer_time{20000};
};

// From when on nothing is read any more; the beginning of time: there is no such time yet.
using ReadingEnds = std::atomic<std::chrono::steady_clock::time_point>;

// One of httplib's servers that answers one request a connection and closes it, so that
// what was sent behind a request is never taken for another. `line` says how many connections
// are served at a time, and how many wait for how long; others are closed unread, where
// httplib's own line has no end. `set_up` makes its context a TLS server's, and false fails it
// (is_valid); null: plaintext. `reading_ends` must outlive it, and connections that wait then
// are closed unread.
std::unique_ptr<httplib::Server> MakeBoundedServer(const ConnectionLimits& limits,
                                                   const WorkQueue::Limits& line,
                                                   const ReadingEnds& reading_ends,
                                                   std::function<bool(ssl_ctx_st&)> set_up);

}  // namespace nark::serve

#endif  // NARK_COMMON_SERVE_BOUNDED_SERVER_H_
