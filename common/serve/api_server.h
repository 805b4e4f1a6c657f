#ifndef NARK_COMMON_SERVE_API_SERVER_H_
#define NARK_COMMON_SERVE_API_SERVER_H_

#include <chrono>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/crypto/secret_bytes.h"

namespace nark::serve {

struct ApiRequest {
  std::string method;  // GET or POST
  std::string path;    // without query
  std::string content_type;
  std::string idempotency_key;  // the header of this name; empty: none
  std::string body;
};

struct ApiAnswer {
  int status = 200;
  std::string json;
};

// `status` as this answer: an HTTP status as google.rpc.Code maps to it, and
// {"error":{"code":"NOT_FOUND","reason":...,"message":...,"retry_after_seconds":n}}.
ApiAnswer ErrorAnswer(const absl::Status& status);

struct ApiOptions {
  std::string listen;  // "HOST:PORT"; port 0 lets the system choose
  // PEM, leaf first. Absent: plaintext. Present: TLS 1.3 and nothing older.
  struct Tls {
    std::string certificates;
    SecretBytes key;
  };
  std::optional<Tls> tls = std::nullopt;
  size_t max_body_bytes = 64 << 10;
  int threads = 8;  // requests at a time
  // Connections beyond those, each for as long as an answer may be taken; others are closed.
  size_t waiting = 1024;
  // With the whole head of a request, 64 KiB at most; four times that with its body, and
  // with the taking of the answer. Who takes longer is hung up on.
  std::chrono::milliseconds patience{5000};
  // Called from the server's threads.
  std::function<ApiAnswer(const ApiRequest&)> handle;
};

// GET and POST of JSON, for programs that do not speak gRPC. What is larger than
// allowed is answered with 413 and what is compressed with 415, both before it is
// taken in. One request a connection. Thread-safe.
class ApiServer {
 public:
  // INVALID_ARGUMENT for an address or a PEM that is none, UNAVAILABLE where the
  // address can not be bound.
  static absl::StatusOr<std::unique_ptr<ApiServer>> Start(ApiOptions options);
  // Ends as Drain.
  virtual ~ApiServer() = default;

  // Where it listens, with the port that was chosen.
  virtual const std::string& address() const = 0;

  // Takes no more connections; returns once the requests that run are answered. Who has
  // not sent his within `patience` is hung up on.
  virtual void Drain() = 0;
};

}  // namespace nark::serve

#endif  // NARK_COMMON_SERVE_API_SERVER_H_
