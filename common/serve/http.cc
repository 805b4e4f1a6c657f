#include "common/serve/http.h"

#include <httplib.h>

#include <atomic>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <thread>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "common/base/status.h"

namespace nark::serve {
namespace {

constexpr int kThreads = 3;

std::string EscapeHtml(const std::string& text) {
  std::string escaped;
  for (const char c : text) {
    switch (c) {
      case '&':
        escaped += "&amp;";
        break;
      case '<':
        escaped += "&lt;";
        break;
      case '>':
        escaped += "&gt;";
        break;
      case '"':
        escaped += "&quot;";
        break;
      default:
        escaped += c;
    }
  }
  return escaped;
}

std::string Uptime(std::chrono::steady_clock::duration since) {
  const auto seconds = std::chrono::duration_cast<std::chrono::seconds>(since).count();
  if (seconds < 60) return absl::StrCat(seconds, " s");
  if (seconds < 3600) return absl::StrCat(seconds / 60, " min ", seconds % 60, " s");
  return absl::StrCat(seconds / 3600, " h ", seconds % 3600 / 60, " min");
}

class SideDoor final : public HttpServer {
 public:
  SideDoor(HttpOptions options, Metrics* metrics) : options_(std::move(options)) {
    server_.new_task_queue = [] { return new httplib::ThreadPool(kThreads); };
    server_.set_keep_alive_max_count(1000);
    server_.set_read_timeout(std::chrono::seconds(5));
    server_.set_write_timeout(std::chrono::seconds(5));
    server_.set_payload_max_length(1024);
    // The library's own asks for SO_REUSEPORT, which hides a port in use.
    server_.set_socket_options([](socket_t fd) {
      const int on = 1;
      setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    });
    server_.Get("/metrics", [metrics](const httplib::Request&, httplib::Response& response) {
      response.set_content(metrics->Exposition(), "text/plain; version=0.0.4; charset=utf-8");
    });
    server_.Get("/livez", [](const httplib::Request&, httplib::Response& response) {
      response.set_content("ok\n", "text/plain");
    });
    server_.Get("/readyz", [this](const httplib::Request&, httplib::Response& response) {
      const absl::Status ready = Ready();
      response.status = ready.ok() ? 200 : 503;
      response.set_content(ready.ok() ? "ok\n" : absl::StrCat(ready.message(), "\n"), "text/plain");
    });
    server_.Get("/", [this](const httplib::Request&, httplib::Response& response) {
      response.set_content(Page(), "text/html; charset=utf-8");
    });
  }

  ~SideDoor() override {
    server_.stop();
    if (thread_.joinable()) thread_.join();
  }

  absl::Status Listen() {
    const std::string& listen = options_.listen;
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
    errno = 0;
    if (port == 0) {
      port = server_.bind_to_any_port(host.c_str());
    } else if (!server_.bind_to_port(host.c_str(), port)) {
      port = -1;
    }
    if (port < 0) {
      return absl::UnavailableError(
          absl::StrCat(listen, ": ", errno == 0 ? "no such address" : strerror(errno)));
    }
    address_ = absl::StrCat(shown, ":", port);
    thread_ = std::thread([this] {
      server_.listen_after_bind();
      ended_ = true;
    });
    // stop() before it runs would be lost.
    while (!server_.is_running() && !ended_) std::this_thread::yield();
    return absl::OkStatus();
  }

  const std::string& address() const override { return address_; }
  void SetDraining() override { draining_ = true; }

 private:
  absl::Status Ready() const {
    if (draining_) return absl::UnavailableError("draining");
    return options_.ready ? options_.ready() : absl::OkStatus();
  }

  std::string Page() const {
    const absl::Status ready = Ready();
    std::string rows;
    const auto row = [&](const std::string& name, const std::string& value) {
      absl::StrAppend(&rows, "<tr><th>", EscapeHtml(name), "</th><td>", EscapeHtml(value),
                      "</td></tr>\n");
    };
    row("version", options_.version);
    row("up", Uptime(std::chrono::steady_clock::now() - start_));
    row("ready", ready.ok() ? "yes" : absl::StrCat("no: ", ready.message()));
    if (options_.state) {
      for (const auto& [name, value] : options_.state()) row(name, value);
    }
    const std::string program = EscapeHtml(options_.program);
    return absl::StrCat(
        "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><title>", program,
        "</title><style>body{font:16px system-ui,sans-serif;margin:2em}"
        "th{text-align:left;padding-right:2em;font-weight:600}</style><h1>",
        program, "</h1><table>\n", rows,
        "</table><p><a href=\"/metrics\">metrics</a> <a href=\"/readyz\">readyz</a> "
        "<a href=\"/livez\">livez</a></p></html>\n");
  }

  HttpOptions options_;
  httplib::Server server_;
  std::thread thread_;
  std::string address_;
  std::atomic<bool> draining_{false};
  std::atomic<bool> ended_{false};
  const std::chrono::steady_clock::time_point start_ = std::chrono::steady_clock::now();
};

}  // namespace

absl::StatusOr<std::unique_ptr<HttpServer>> HttpServer::Start(HttpOptions options,
                                                              Metrics* metrics) {
  auto server = std::make_unique<SideDoor>(std::move(options), metrics);
  RETURN_IF_ERROR(server->Listen());
  return server;
}

}  // namespace nark::serve
