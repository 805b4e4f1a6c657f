#include "common/serve/http_client.h"

#include <httplib.h>

#include <set>

#include "absl/base/thread_annotations.h"
#include "absl/strings/str_cat.h"
#include "absl/synchronization/mutex.h"
#include "common/base/status.h"

namespace nark::serve {
namespace {

// Scheme, host and port; then the path.
absl::StatusOr<std::pair<std::string, std::string>> Split(const std::string& url) {
  const auto bad = [&url](std::string_view why) {
    return absl::InvalidArgumentError(absl::StrCat(url, ": ", Absl(why)));
  };
  const size_t scheme = url.find("://");
  if (scheme == std::string::npos) return bad("no URL; write https://HOST[:PORT]/PATH");
  const size_t slash = url.find('/', scheme + 3);
  const std::string authority = url.substr(scheme + 3, slash - scheme - 3);
  if (authority.empty() || authority.find('@') != std::string::npos) {
    return bad("write https://HOST[:PORT]/PATH; a password has no place in it");
  }
  const std::string host = authority.front() == '[' ? authority.substr(0, authority.find(']') + 1)
                                                    : authority.substr(0, authority.find(':'));
  static const std::set<std::string> kHere = {"127.0.0.1", "[::1]", "localhost"};
  const std::string name = url.substr(0, scheme);
  if (name != "https" && !(name == "http" && kHere.contains(host))) {
    return bad("only https, or http to 127.0.0.1, [::1] or localhost");
  }
  return std::pair(url.substr(0, slash), slash == std::string::npos ? "/" : url.substr(slash));
}

class Client final : public HttpClient {
 public:
  Client(HttpClientOptions options, std::string server, std::string path)
      : options_(std::move(options)), server_(std::move(server)), path_(std::move(path)) {}

  absl::Status Post(const std::string& body, const std::string& content_type,
                    const std::vector<std::pair<std::string, std::string>>& headers) override {
    httplib::Client client(server_);
    if (!client.is_valid())
      return absl::UnavailableError(absl::StrCat(server_, ": no such server"));
    client.set_connection_timeout(options_.timeout);
    client.set_read_timeout(options_.timeout);
    client.set_write_timeout(options_.timeout);
    if (!options_.ca_file.empty()) client.set_ca_cert_path(options_.ca_file);
    client.enable_server_certificate_verification(true);
    httplib::Request request;
    request.method = "POST";
    request.path = path_;
    request.body = body;
    request.set_header("Content-Type", content_type);
    for (const auto& [name, value] : headers) request.set_header(name, value);
    // Nobody reads the answer: it may be of any length.
    request.content_receiver = [](const char*, size_t, uint64_t, uint64_t) { return true; };
    {
      absl::MutexLock lock(&mutex_);
      if (cancelled_) return Cancelled();
      running_.insert(&client);
    }
    const httplib::Result result = client.send(request);
    absl::MutexLock lock(&mutex_);
    running_.erase(&client);
    if (cancelled_) return Cancelled();
    if (!result) {
      return absl::UnavailableError(
          absl::StrCat(server_, ": ", httplib::to_string(result.error())));
    }
    if (result->status / 100 == 2) return absl::OkStatus();
    return absl::UnavailableError(absl::StrCat(server_, ": HTTP status ", result->status));
  }

  void Cancel() override {
    absl::MutexLock lock(&mutex_);
    cancelled_ = true;
    for (httplib::Client* client : running_) client->stop();
  }

 private:
  static absl::Status Cancelled() { return absl::CancelledError("the program is ending"); }

  const HttpClientOptions options_;
  const std::string server_;
  const std::string path_;
  absl::Mutex mutex_;
  bool cancelled_ ABSL_GUARDED_BY(mutex_) = false;
  std::set<httplib::Client*> running_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace

absl::StatusOr<std::unique_ptr<HttpClient>> HttpClient::Create(HttpClientOptions options) {
  ASSIGN_OR_RETURN(auto parts, Split(options.url));
  return std::make_unique<Client>(std::move(options), std::move(parts.first),
                                  std::move(parts.second));
}

}  // namespace nark::serve
