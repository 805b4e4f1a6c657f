#ifndef NARK_COMMON_SERVE_HTTP_LISTENER_H_
#define NARK_COMMON_SERVE_HTTP_LISTENER_H_

#include <atomic>
#include <string>
#include <thread>

#include "absl/status/status.h"

namespace httplib {
class Server;
}

namespace nark::serve {

// Runs one of httplib's servers in a thread. One thread only.
class HttpListener {
 public:
  HttpListener() = default;
  ~HttpListener() { Stop(); }
  HttpListener(const HttpListener&) = delete;
  HttpListener& operator=(const HttpListener&) = delete;

  // Binds "HOST:PORT", where port 0 lets the system choose, and serves; `server` has
  // all its handlers and must outlive this. INVALID_ARGUMENT for an address that is
  // none, UNAVAILABLE where it can not be bound, naming it and the cause.
  absl::Status Start(httplib::Server& server, const std::string& listen);

  // Takes no more connections and waits for the requests that run.
  void Stop();

  // Where it listens, with the port that was chosen.
  const std::string& address() const { return address_; }

 private:
  httplib::Server* server_ = nullptr;
  std::string address_;
  std::atomic<bool> ended_{false};
  std::thread thread_;
};

}  // namespace nark::serve

#endif  // NARK_COMMON_SERVE_HTTP_LISTENER_H_
