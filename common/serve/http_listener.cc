#include "common/serve/http_listener.h"

#include <httplib.h>

#include <cerrno>
#include <cstring>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"

namespace nark::serve {

absl::Status HttpListener::Start(httplib::Server& server, const std::string& listen) {
  const size_t colon = listen.rfind(':');
  int port = -1;
  if (colon == std::string::npos || !absl::SimpleAtoi(listen.substr(colon + 1), &port) ||
      port < 0 || port > 65535 || colon == 0) {
    return absl::InvalidArgumentError(
        absl::StrCat("\"", listen, "\" is no address for HTTP; write HOST:PORT"));
  }
  std::string host = listen.substr(0, colon);
  const std::string shown = host;
  if (host.front() == '[' && host.back() == ']') host = host.substr(1, host.size() - 2);
  // The library's own asks for SO_REUSEPORT, which hides a port in use.
  server.set_socket_options([](socket_t fd) {
    const int on = 1;
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  });
  errno = 0;
  if (port == 0) {
    port = server.bind_to_any_port(host.c_str());
  } else if (!server.bind_to_port(host.c_str(), port)) {
    port = -1;
  }
  if (port < 0) {
    return absl::UnavailableError(
        absl::StrCat(listen, ": ", errno == 0 ? "no such address" : strerror(errno)));
  }
  server_ = &server;
  address_ = absl::StrCat(shown, ":", port);
  thread_ = std::thread([this] {
    server_->listen_after_bind();
    ended_ = true;
  });
  // stop() before it runs would be lost.
  while (!server_->is_running() && !ended_) std::this_thread::yield();
  return absl::OkStatus();
}

void HttpListener::Stop() {
  if (!thread_.joinable()) return;
  server_->stop();
  thread_.join();
}

}  // namespace nark::serve
