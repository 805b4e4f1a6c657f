#ifndef NARK_COMMON_SERVE_HTTP_H_
#define NARK_COMMON_SERVE_HTTP_H_

#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/serve/metrics.h"

namespace nark::serve {

// A table of the page.
struct PageTable {
  std::string title;
  std::vector<std::string> columns;
  std::vector<std::vector<std::string>> rows;
};

struct HttpOptions {
  std::string listen;   // "HOST:PORT"; port 0 lets the system choose
  std::string program;  // for the page
  std::string version;
  // What the page says besides: pairs of name and value. May be empty. Called
  // from the server's threads.
  std::function<std::vector<std::pair<std::string, std::string>>()> state;
  // Tables below it, where the program has any. Called as `state`.
  std::function<std::vector<PageTable>()> tables = nullptr;
  // Whether the program can do its work: /readyz is 200 where it is OK and 503
  // with the message otherwise. Absent: always. Called from the server's threads.
  std::function<absl::Status()> ready;
};

// The side door of a server: GET /metrics, /livez, /readyz, and / for people.
// Has its own few threads. Who takes longer than a second with a request is hung up on, and so
// is who comes when 64 wait already. Thread-safe.
class HttpServer {
 public:
  // UNAVAILABLE where the address can not be bound, naming it and the cause.
  // `metrics` must outlive the server; the process's own are added to them.
  static absl::StatusOr<std::unique_ptr<HttpServer>> Start(HttpOptions options, Metrics* metrics);
  virtual ~HttpServer() = default;

  // Where it listens, with the port that was chosen: "127.0.0.1:41873".
  virtual const std::string& address() const = 0;

  // From now on /readyz is 503 "draining".
  virtual void SetDraining() = 0;
};

}  // namespace nark::serve

#endif  // NARK_COMMON_SERVE_HTTP_H_
