#include "common/serve/api_server.h"

#include <httplib.h>

#include <chrono>
#include <nlohmann/json.hpp>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/base/status.h"
#include "common/crypto/tls.h"
#include "common/serve/bounded_server.h"
#include "common/serve/http_listener.h"
#include "common/serve/work_queue.h"

namespace nark::serve {
namespace {

// Chunks have their sizes beside them.
constexpr size_t kChunkingBytes = 64 << 10;

ConnectionLimits LimitsOf(const ApiOptions& options) {
  return {.body_bytes = options.max_body_bytes + options.max_body_bytes / 4 + kChunkingBytes,
          .head_time = options.patience,
          .body_time = 4 * options.patience,
          .answer_time = 4 * options.patience};
}

WorkQueue::Limits LineOf(const ApiOptions& options) {
  return {.threads = static_cast<size_t>(options.threads),
          .length = options.waiting,
          .wait = 4 * options.patience};
}

int HttpStatus(absl::StatusCode code) {
  switch (code) {
    case absl::StatusCode::kOk:
      return 200;
    case absl::StatusCode::kInvalidArgument:
    case absl::StatusCode::kFailedPrecondition:
    case absl::StatusCode::kOutOfRange:
      return 400;
    case absl::StatusCode::kUnauthenticated:
      return 401;
    case absl::StatusCode::kPermissionDenied:
      return 403;
    case absl::StatusCode::kNotFound:
      return 404;
    case absl::StatusCode::kAlreadyExists:
    case absl::StatusCode::kAborted:
      return 409;
    case absl::StatusCode::kResourceExhausted:
      return 429;
    case absl::StatusCode::kUnimplemented:
      return 501;
    case absl::StatusCode::kUnavailable:
      return 503;
    case absl::StatusCode::kDeadlineExceeded:
      return 504;
    default:
      return 500;
  }
}

// What HTTP itself refuses.
ApiAnswer Refused(int status, absl::StatusCode code, std::string_view reason,
                  std::string_view message) {
  ApiAnswer answer = ErrorAnswer(Refusal(code, reason, message));
  answer.status = status;
  return answer;
}

void Write(const ApiAnswer& answer, httplib::Response& response) {
  response.status = answer.status;
  response.set_content(answer.json + "\n", "application/json");
}

class Server final : public ApiServer {
 public:
  explicit Server(ApiOptions options) : options_(std::move(options)) {}
  ~Server() override { Drain(); }

  absl::Status Listen() {
    RETURN_IF_ERROR(MakeServer());
    server_->set_payload_max_length(options_.max_body_bytes);
    server_->Get(".*", [this](const httplib::Request& request, httplib::Response& response) {
      Answer(request, "", response);
    });
    server_->Post(
        ".*", [this](const httplib::Request& request, httplib::Response& response,
                     const httplib::ContentReader& reader) { TakeIn(request, response, reader); });
    server_->set_error_handler([](const httplib::Request&, httplib::Response& response) {
      if (!response.body.empty()) return;
      const int status = response.status;
      if (status == 413) {
        return Write(
            Refused(413, absl::StatusCode::kInvalidArgument, "TOO_LARGE", "the body is too large"),
            response);
      }
      // Every path of GET and POST is taken by the handler.
      if (status == 404) {
        return Write(Refused(404, absl::StatusCode::kNotFound, "NO_SUCH_PATH",
                             "only GET and POST are served"),
                     response);
      }
      Write(Refused(status, absl::StatusCode::kInvalidArgument, "MALFORMED",
                    absl::StrCat("HTTP status ", status)),
            response);
    });
    return listener_.Start(*server_, options_.listen);
  }

  const std::string& address() const override { return listener_.address(); }
  void Drain() override {
    reading_ends_ = std::chrono::steady_clock::now() + options_.patience;
    listener_.Stop();
  }

 private:
  absl::Status MakeServer() {
    const ConnectionLimits limits = LimitsOf(options_);
    const WorkQueue::Limits line = LineOf(options_);
    if (!options_.tls) {
      server_ = MakeBoundedServer(limits, line, reading_ends_, nullptr);
      return absl::OkStatus();
    }
    absl::Status configured;
    server_ = MakeBoundedServer(limits, line, reading_ends_, [&](ssl_ctx_st& context) {
      configured = ConfigureTlsServer(context, options_.tls->certificates, options_.tls->key);
      return configured.ok();
    });
    RETURN_IF_ERROR(configured);
    if (!server_->is_valid()) return absl::InternalError("TLS could not be set up");
    return absl::OkStatus();
  }

  void TakeIn(const httplib::Request& request, httplib::Response& response,
              const httplib::ContentReader& reader) {
    // The library would unpack it, to whatever size.
    if (request.has_header("Content-Encoding")) {
      return Write(Refused(415, absl::StatusCode::kInvalidArgument, "MALFORMED",
                           "send the body without a Content-Encoding"),
                   response);
    }
    std::string body;
    bool fits = true;
    const bool read =
        !request.is_multipart_form_data() && reader([&](const char* data, size_t size) {
          fits = body.size() + size <= options_.max_body_bytes;
          if (fits) body.append(data, size);
          return fits;
        });
    if (!fits || response.status == 413) {
      return Write(Refused(413, absl::StatusCode::kInvalidArgument, "TOO_LARGE",
                           absl::StrCat("a body has at most ", options_.max_body_bytes, " bytes")),
                   response);
    }
    if (!read) {
      return Write(Refused(400, absl::StatusCode::kInvalidArgument, "MALFORMED",
                           "the body could not be read; send it as it is, not as a form"),
                   response);
    }
    Answer(request, std::move(body), response);
  }

  void Answer(const httplib::Request& request, std::string body, httplib::Response& response) {
    Write(options_.handle({.method = request.method == "HEAD" ? "GET" : request.method,
                           .path = request.path,
                           .content_type = request.get_header_value("Content-Type"),
                           .idempotency_key = request.get_header_value("Idempotency-Key"),
                           .body = std::move(body)}),
          response);
  }

  const ApiOptions options_;
  ReadingEnds reading_ends_{};
  std::unique_ptr<httplib::Server> server_;
  HttpListener listener_;  // last: uses the server
};

}  // namespace

ApiAnswer ErrorAnswer(const absl::Status& status) {
  nlohmann::ordered_json error = {{"code", absl::StatusCodeToString(status.code())},
                                  {"reason", ReasonOf(status)},
                                  {"message", std::string(status.message())}};
  if (const int seconds = RetryAfterSeconds(status); seconds > 0) {
    error["retry_after_seconds"] = seconds;
  }
  // A message may quote what was sent.
  return {HttpStatus(status.code()),
          nlohmann::ordered_json({{"error", error}})
              .dump(-1, ' ', false, nlohmann::ordered_json::error_handler_t::replace)};
}

absl::StatusOr<std::unique_ptr<ApiServer>> ApiServer::Start(ApiOptions options) {
  auto server = std::make_unique<Server>(std::move(options));
  RETURN_IF_ERROR(server->Listen());
  return server;
}

}  // namespace nark::serve
