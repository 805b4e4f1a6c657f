#include "common/serve/http_client.h"

#include <gtest/gtest.h>
#include <httplib.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <sys/socket.h>

#include <atomic>
#include <chrono>
#include <filesystem>
#include <fstream>
#include <functional>
#include <memory>
#include <string>
#include <thread>
#include <utility>

#include "common/net/descriptor.h"
#include "common/object/testing.h"
#include "common/serve/api_server.h"

namespace nark::serve {
namespace {

using std::chrono::milliseconds;

// Sanitized programs on a busy machine are slow.
constexpr std::chrono::seconds kPatience{60};

class HttpClientTest : public testing::Test {
 protected:
  HttpClientTest() {
    server_.Post("/pay", [this](const httplib::Request& request, httplib::Response& response) {
      body_ = request.body;
      key_ = request.get_header_value("Idempotency-Key");
      type_ = request.get_header_value("Content-Type");
      response.status = status_;
      response.set_header("Location", "/elsewhere");
      response.set_content("whatever", "text/plain");
    });
    server_.Post("/elsewhere",
                 [this](const httplib::Request&, httplib::Response&) { elsewhere_ = true; });
    server_.Post("/endless", [this](const httplib::Request&, httplib::Response& response) {
      response.status = status_;
      response.set_chunked_content_provider("text/plain", [this](size_t, httplib::DataSink& sink) {
        std::this_thread::sleep_for(milliseconds(10));
        return !released_ && sink.write("x", 1);
      });
    });
    server_.Post("/slow", [this](const httplib::Request&, httplib::Response&) {
      asked_ = true;
      while (!released_) std::this_thread::sleep_for(milliseconds(1));
    });
    port_ = server_.bind_to_any_port("127.0.0.1");
    thread_ = std::thread([this] { server_.listen_after_bind(); });
    while (!server_.is_running()) std::this_thread::yield();
  }
  ~HttpClientTest() override {
    released_ = true;
    server_.stop();
    thread_.join();
  }
  std::unique_ptr<HttpClient> Make(const std::string& path, milliseconds timeout = kPatience) {
    auto made = HttpClient::Create({.url = "http://127.0.0.1:" + std::to_string(port_) + path,
                                    .ca_file = "",
                                    .timeout = timeout});
    EXPECT_TRUE(made.ok()) << made.status();
    return *std::move(made);
  }

  httplib::Server server_;
  std::thread thread_;
  int port_ = 0;
  std::atomic<int> status_{201};
  std::atomic<bool> asked_{false}, released_{false}, elsewhere_{false};
  std::string body_, key_, type_;
};

TEST_F(HttpClientTest, PostsWithHeaders) {
  EXPECT_TRUE(Make("/pay")->Post("{}", "application/json", {{"Idempotency-Key", "k"}}).ok());
  EXPECT_EQ(body_, "{}");
  EXPECT_EQ(key_, "k");
  EXPECT_EQ(type_, "application/json");
}

TEST_F(HttpClientTest, OnlyTwoHundredsCount) {
  for (const int status : {302, 307, 400, 404, 409, 500, 503}) {
    status_ = status;
    const absl::Status refused = Make("/pay")->Post("{}", "application/json", {});
    EXPECT_EQ(refused.code(), absl::StatusCode::kUnavailable) << status;
    EXPECT_NE(refused.message().find(std::to_string(status)), std::string::npos) << refused;
  }
  EXPECT_FALSE(elsewhere_);
}

TEST_F(HttpClientTest, WaitsNoLongerThanItMay) {
  EXPECT_EQ(Make("/slow", milliseconds(200))->Post("{}", "application/json", {}).code(),
            absl::StatusCode::kUnavailable);
}

TEST_F(HttpClientTest, CancelEndsWhatWaits) {
  auto client = Make("/slow");
  std::thread cancel([&] {
    while (!asked_) std::this_thread::sleep_for(milliseconds(1));
    client->Cancel();
  });
  EXPECT_EQ(client->Post("{}", "application/json", {}).code(), absl::StatusCode::kCancelled);
  cancel.join();
  EXPECT_EQ(client->Post("{}", "application/json", {}).code(), absl::StatusCode::kCancelled);
}

TEST_F(HttpClientTest, TakesTheBeginningOfAnEndlessAnswer) {
  EXPECT_TRUE(Make("/endless", milliseconds(200))->Post("{}", "application/json", {}).ok());
  status_ = 500;
  EXPECT_EQ(Make("/endless", milliseconds(200))->Post("{}", "application/json", {}).code(),
            absl::StatusCode::kUnavailable);
}

// Takes one connection, and has `serve` do with it what it likes.
class Listener {
 public:
  explicit Listener(std::function<void(int)> serve) : fd_(::socket(AF_INET, SOCK_STREAM, 0)) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof address;
    EXPECT_EQ(::bind(fd_.fd(), reinterpret_cast<sockaddr*>(&address), size), 0);
    EXPECT_EQ(::listen(fd_.fd(), 1), 0);
    EXPECT_EQ(::getsockname(fd_.fd(), reinterpret_cast<sockaddr*>(&address), &size), 0);
    port_ = ntohs(address.sin_port);
    thread_ = std::thread([this, serve = std::move(serve)] {
      const net::Descriptor connection(::accept(fd_.fd(), nullptr, nullptr));
      serve(connection.fd());
    });
  }
  ~Listener() { thread_.join(); }
  std::unique_ptr<HttpClient> Call(const std::string& scheme, milliseconds timeout) const {
    return *HttpClient::Create({.url = scheme + "://127.0.0.1:" + std::to_string(port_) + "/",
                                .ca_file = "",
                                .timeout = timeout});
  }

 private:
  net::Descriptor fd_;
  int port_ = 0;
  std::thread thread_;
};

constexpr milliseconds kPace{20};
constexpr int kPieces = 1000;

// Each piece is in time; all of them take twenty seconds.
TEST(SlowServerTest, IsNotWaitedForAsLongAsItLikes) {
  int pieces = 0;
  {
    const Listener listener([&](int fd) {
      std::string piece = "HTTP/1.1 200 OK\r\n";
      while (pieces<kPieces&& ::send(fd, piece.data(), piece.size(), MSG_NOSIGNAL)> 0) {
        piece = "A: b\r\n";
        ++pieces;
        std::this_thread::sleep_for(kPace);
      }
    });
    EXPECT_EQ(listener.Call("http", milliseconds(300))->Post("{}", "application/json", {}).code(),
              absl::StatusCode::kUnavailable);
  }
  EXPECT_LT(pieces, kPieces);
}

TEST(SlowServerTest, CancelDoesNotWaitForAHandshake) {
  std::atomic<HttpClient*> calling{nullptr};
  std::atomic<bool> ended{false};
  int waited = 0;
  std::unique_ptr<HttpClient> client;
  {
    const Listener listener([&](int) {
      while (calling == nullptr) std::this_thread::yield();
      std::thread cancel([&] { calling.load()->Cancel(); });
      // The connection stays, without a word.
      for (; waited < kPieces && !ended; ++waited) std::this_thread::sleep_for(kPace);
      cancel.join();
    });
    client = listener.Call("https", kPatience);
    calling = client.get();
    EXPECT_EQ(client->Post("{}", "application/json", {}).code(), absl::StatusCode::kCancelled);
    ended = true;
  }
  EXPECT_LT(waited, kPieces);
}

TEST_F(HttpClientTest, SpeaksInTheClearToThisMachineOnly) {
  const auto create = [](const std::string& url) {
    return HttpClient::Create({.url = url, .ca_file = ""}).status();
  };
  for (const char* url : {"https://pay.example/in", "https://pay.example", "http://localhost:80/x",
                          "http://127.0.0.1:8080/", "http://[::1]:8080/pay"}) {
    EXPECT_TRUE(create(url).ok()) << url;
  }
  for (const char* url : {"http://pay.example/in", "pay.example", "ftp://pay.example/", "https://",
                          "http://localhost.example/", "https://user:word@pay.example/", "",
                          "https://pay.example:99999/", "https://pay.example:x/", "https://:80/",
                          "https://[::1/x", "https://[::1]8080/x"}) {
    EXPECT_EQ(create(url).code(), absl::StatusCode::kInvalidArgument) << url;
  }
}

// Over TLS, the name and the authority count.
class TrustTest : public testing::Test {
 protected:
  TrustTest() {
    char pattern[] = "/tmp/nark-client-XXXXXX";
    folder_ = mkdtemp(pattern);
  }
  ~TrustTest() override { std::filesystem::remove_all(folder_); }

  // What a client says that trusts `authority` and calls a server of `name` localhost.
  absl::Status Post(const std::string& name, const TestProvider& authority) {
    const SigningIdentity tls = *MakeTlsServer(name, provider_.tls_ca, SystemClock().Now());
    ApiOptions options{.listen = "127.0.0.1:0", .handle = [](const ApiRequest&) {
                         return ApiAnswer{200, "{}"};
                       }};
    options.tls = ApiOptions::Tls{tls.certificate.ToPem(), *tls.key.ToPem()};
    const auto server = ApiServer::Start(std::move(options));
    EXPECT_TRUE(server.ok()) << server.status();
    const std::string ca_file = folder_ + "/ca.pem";
    std::ofstream(ca_file) << authority.tls_ca.certificate.ToPem();
    const std::string port = (*server)->address().substr((*server)->address().rfind(':'));
    return (*HttpClient::Create({.url = "https://localhost" + port + "/",
                                 .ca_file = ca_file,
                                 .timeout = kPatience}))
        ->Post("{}", "application/json", {});
  }

  std::string folder_;
  TestProvider provider_{SystemClock().Now()};
  TestProvider other_{SystemClock().Now()};
};

TEST_F(TrustTest, SendsOnlyToWhomItsAuthorityKnowsByThatName) {
  const absl::Status sent = Post("localhost", provider_);
  EXPECT_TRUE(sent.ok()) << sent;
  EXPECT_EQ(Post("localhost", other_).code(), absl::StatusCode::kUnavailable);
  EXPECT_EQ(Post("elsewhere.example", provider_).code(), absl::StatusCode::kUnavailable);
}

}  // namespace
}  // namespace nark::serve
