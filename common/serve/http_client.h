#ifndef NARK_COMMON_SERVE_HTTP_CLIENT_H_
#define NARK_COMMON_SERVE_HTTP_CLIENT_H_

#include <chrono>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace nark::serve {

struct HttpClientOptions {
  // "https://HOST[:PORT]/PATH", or "http://..." to this machine itself only: what is
  // sent is nobody else's business.
  std::string url;
  // PEM of the authorities that may have certified HOST; empty: the system's.
  std::string ca_file;
  // For each of connecting, sending and waiting for the answer, and thrice for all of
  // them, however slowly the other side goes on.
  std::chrono::milliseconds timeout{10000};
};

// Sends to one place, over a new connection each time. Thread-safe.
class HttpClient {
 public:
  // INVALID_ARGUMENT for a URL that is none of the two.
  static absl::StatusOr<std::unique_ptr<HttpClient>> Create(HttpClientOptions options);
  virtual ~HttpClient() = default;

  // POST; OK where the answer begins with 2xx, whatever it says. Redirections are not
  // followed. UNAVAILABLE with the cause otherwise, CANCELLED after Cancel().
  virtual absl::Status Post(const std::string& body, const std::string& content_type,
                            const std::vector<std::pair<std::string, std::string>>& headers) = 0;

  // Ends every Post that runs and lets none begin.
  virtual void Cancel() = 0;
};

}  // namespace nark::serve

#endif  // NARK_COMMON_SERVE_HTTP_CLIENT_H_
