#include "common/serve/http_client.h"

#include <fcntl.h>
#include <httplib.h>
#include <sys/socket.h>

#include <set>
#include <thread>

#include "absl/base/thread_annotations.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "common/base/status.h"
#include "common/net/descriptor.h"

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
  const std::string port = authority.substr(host.size());
  uint32_t number = 0;
  if (host.empty() ||
      (!port.empty() && (port.front() != ':' || !absl::SimpleAtoi(port.substr(1), &number) ||
                         number == 0 || number > 65535))) {
    return bad("no URL; write https://HOST[:PORT]/PATH");
  }
  static const std::set<std::string> kHere = {"127.0.0.1", "[::1]", "localhost"};
  const std::string name = url.substr(0, scheme);
  if (name != "https" && !(name == "http" && kHere.contains(host))) {
    return bad("only https, or http to 127.0.0.1, [::1] or localhost");
  }
  return std::pair(url.substr(0, slash), slash == std::string::npos ? "/" : url.substr(slash));
}

// What an answer says is not read beyond this.
constexpr size_t kMostAnswerBytes = 64 << 10;
// How often the sockets of a Post are shut that is to end: one may just be made.
constexpr absl::Duration kInsist = absl::Milliseconds(20);

// The sockets of one Post. The library's own stop() waits for a handshake to end, and its
// time limits begin anew with each byte. Thread-safe.
class Sockets {
 public:
  // `fd` may be closed any time, and its number be another's then.
  void Add(int fd) {
    absl::MutexLock lock(&mutex_);
    copies_.emplace_back(::fcntl(fd, F_DUPFD_CLOEXEC, 0));
  }
  void Shut() {
    absl::MutexLock lock(&mutex_);
    for (const net::Descriptor& copy : copies_) (void)::shutdown(copy.fd(), SHUT_RDWR);
  }

 private:
  absl::Mutex mutex_;
  std::vector<net::Descriptor> copies_ ABSL_GUARDED_BY(mutex_);
};

class Client final : public HttpClient {
 public:
  Client(HttpClientOptions options, std::string server, std::string path)
      : options_(std::move(options)), server_(std::move(server)), path_(std::move(path)) {}

  absl::Status Post(const std::string& body, const std::string& content_type,
                    const std::vector<std::pair<std::string, std::string>>& headers) override {
    if (absl::MutexLock lock(&mutex_); cancelled_) return Cancelled();
    httplib::Client client(server_);
    if (!client.is_valid())
      return absl::UnavailableError(absl::StrCat(server_, ": no such server"));
    Sockets sockets;
    client.set_socket_options([&sockets](socket_t fd) { sockets.Add(fd); });
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
    // The beginning of the answer counts, whatever becomes of the rest.
    int status = 0;
    request.response_handler = [&status](const httplib::Response& answer) {
      status = answer.status;
      return true;
    };
    size_t answered = 0;
    request.content_receiver = [&answered](const char*, size_t size, uint64_t, uint64_t) {
      answered += size;
      return answered <= kMostAnswerBytes;
    };
    const httplib::Result result = SendWithin(3 * options_.timeout, client, sockets, request);
    if (result) status = result->status;
    if (status / 100 == 2) return absl::OkStatus();
    if (absl::MutexLock lock(&mutex_); cancelled_) return Cancelled();
    return absl::UnavailableError(
        status != 0
            ? absl::StrCat(server_, ": HTTP status ", status)
            : absl::StrCat(server_, ": no answer (", httplib::to_string(result.error()), ")"));
  }

  void Cancel() override {
    absl::MutexLock lock(&mutex_);
    cancelled_ = true;
  }

 private:
  static absl::Status Cancelled() { return absl::CancelledError("the program is ending"); }

  httplib::Result SendWithin(std::chrono::milliseconds longest, httplib::Client& client,
                             Sockets& sockets, const httplib::Request& request) {
    bool ended = false;  // under mutex_
    std::thread watch([&] {
      const auto over = [&]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) { return ended || cancelled_; };
      absl::MutexLock lock(&mutex_);
      mutex_.AwaitWithTimeout(absl::Condition(&over), absl::FromChrono(longest));
      while (!ended) {
        sockets.Shut();
        mutex_.AwaitWithTimeout(absl::Condition(&ended), kInsist);
      }
    });
    httplib::Result result = client.send(request);
    {
      absl::MutexLock lock(&mutex_);
      ended = true;
    }
    watch.join();
    return result;
  }

  const HttpClientOptions options_;
  const std::string server_;
  const std::string path_;
  absl::Mutex mutex_;
  bool cancelled_ ABSL_GUARDED_BY(mutex_) = false;
};

}  // namespace

absl::StatusOr<std::unique_ptr<HttpClient>> HttpClient::Create(HttpClientOptions options) {
  ASSIGN_OR_RETURN(auto parts, Split(options.url));
  return std::make_unique<Client>(std::move(options), std::move(parts.first),
                                  std::move(parts.second));
}

}  // namespace nark::serve
