#include "common/serve/api_server.h"

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <httplib.h>
#include <netinet/in.h>
#include <sys/resource.h>
#include <sys/socket.h>

#include <atomic>
#include <chrono>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "common/base/status.h"
#include "common/net/descriptor.h"
#include "common/object/testing.h"

namespace nark::serve {
namespace {

constexpr std::chrono::seconds kPatience{60};

int PortOf(const ApiServer& server) {
  return std::stoi(server.address().substr(server.address().rfind(':') + 1));
}

// Answers with what it was asked.
ApiAnswer Echo(const ApiRequest& request) {
  if (request.path == "/missing") {
    absl::Status status = Refusal(absl::StatusCode::kUnavailable, "GONE", "it \"went\"\xff");
    SetRetryAfterSeconds(status, 7);
    return ErrorAnswer(status);
  }
  return {200, nlohmann::json({{"method", request.method},
                               {"path", request.path},
                               {"type", request.content_type},
                               {"key", request.idempotency_key},
                               {"size", request.body.size()}})
                   .dump()};
}

std::unique_ptr<ApiServer> StartEcho(size_t max_body_bytes = 100'000) {
  auto server = ApiServer::Start(
      {.listen = "127.0.0.1:0", .max_body_bytes = max_body_bytes, .threads = 2, .handle = Echo});
  EXPECT_TRUE(server.ok()) << server.status();
  return *std::move(server);
}

TEST(ApiServerTest, HandsOverWhatWasSent) {
  const auto server = StartEcho();
  httplib::Client client("127.0.0.1", PortOf(*server));
  const std::string body(100'000, 'x');
  const auto posted = client.Post("/v1/things?x=1", {{"Idempotency-Key", "k"}}, body, "text/plain");
  ASSERT_TRUE(posted);
  EXPECT_EQ(posted->status, 200);
  EXPECT_EQ(posted->get_header_value("Content-Type"), "application/json");
  const auto json = nlohmann::json::parse(posted->body);
  EXPECT_EQ(json["method"], "POST");
  EXPECT_EQ(json["path"], "/v1/things");
  EXPECT_EQ(json["type"], "text/plain");
  EXPECT_EQ(json["key"], "k");
  EXPECT_EQ(json["size"], 100'000);
  EXPECT_EQ(nlohmann::json::parse(client.Get("/a")->body)["method"], "GET");
}

TEST(ApiServerTest, SaysWhatIsWrongAsJson) {
  const auto server = StartEcho();
  httplib::Client client("127.0.0.1", PortOf(*server));
  const auto missing = client.Get("/missing");
  ASSERT_TRUE(missing);
  EXPECT_EQ(missing->status, 503);
  const auto error = nlohmann::json::parse(missing->body)["error"];
  EXPECT_EQ(error["code"], "UNAVAILABLE");
  EXPECT_EQ(error["reason"], "GONE");
  EXPECT_EQ(error["retry_after_seconds"], 7);
  const auto put = client.Put("/a", "b", "text/plain");
  ASSERT_TRUE(put);
  EXPECT_EQ(put->status / 100, 4);
  EXPECT_TRUE(nlohmann::json::parse(put->body).contains("error"));
}

TEST(ApiServerTest, TakesInNoMoreThanItMust) {
  const auto server = StartEcho();
  const auto client = [&] { return httplib::Client("127.0.0.1", PortOf(*server)); };
  const auto large = client().Post("/", std::string(100'001, 'x'), "text/plain");
  ASSERT_TRUE(large);
  EXPECT_EQ(large->status, 413);
  EXPECT_EQ(nlohmann::json::parse(large->body)["error"]["reason"], "TOO_LARGE");
  // The same without saying so beforehand.
  std::atomic<int> sent{0};
  const auto chunked = client().Post(
      "/",
      [&](size_t, httplib::DataSink& sink) {
        const std::string piece(50'000, 'x');
        sink.write(piece.data(), piece.size());
        if (++sent == 3) sink.done();
        return true;
      },
      "text/plain");
  EXPECT_TRUE(!chunked || chunked->status == 413);
  // A megabyte of nothing in a thousand bytes.
  auto packing = client();
  packing.set_compress(true);
  const auto packed = packing.Post("/", std::string(1'000'000, 'x'), "text/plain");
  ASSERT_TRUE(packed);
  EXPECT_EQ(packed->status, 415);
  // Nobody else suffers.
  EXPECT_EQ(client().Get("/")->status, 200);
}

TEST(ApiServerTest, DrainsTheRequestsThatRun) {
  std::atomic<bool> asked{false}, released{false};
  auto server = ApiServer::Start({.listen = "127.0.0.1:0", .handle = [&](const ApiRequest&) {
                                    asked = true;
                                    while (!released) std::this_thread::yield();
                                    return ApiAnswer{200, "{}"};
                                  }});
  ASSERT_TRUE(server.ok());
  httplib::Client client("127.0.0.1", PortOf(**server));
  std::atomic<int> status{0};
  std::thread asking([&] {
    client.set_read_timeout(kPatience);
    const auto got = client.Get("/");
    status = got ? got->status : -1;
  });
  while (!asked) std::this_thread::yield();
  std::thread draining([&] { (*server)->Drain(); });
  released = true;
  draining.join();
  asking.join();
  EXPECT_EQ(status, 200);
  EXPECT_FALSE(client.Get("/"));
}

// A client that keeps to no rule.
class RawClient {
 public:
  explicit RawClient(const ApiServer& server) : fd_(::socket(AF_INET, SOCK_STREAM, 0)) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    address.sin_port = htons(static_cast<uint16_t>(PortOf(server)));
    EXPECT_EQ(::connect(fd_.fd(), reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
  }
  bool Send(const std::string& text) {
    return ::send(fd_.fd(), text.data(), text.size(), MSG_NOSIGNAL) ==
           static_cast<ssize_t>(text.size());
  }
  // What comes until the end, or until `text` has come.
  std::string ReceiveUntil(const std::string& text) {
    std::string all;
    char piece[4096];
    while (text.empty() || all.find(text) == std::string::npos) {
      const ssize_t got = ::recv(fd_.fd(), piece, sizeof piece, 0);
      if (got <= 0) break;
      all.append(piece, static_cast<size_t>(got));
    }
    return all;
  }
  // A byte of a header every now and then; whether the server hung up.
  bool Dribble() {
    for (int i = 0; i < 1000; ++i) {
      if (!Send("x")) return true;
      std::this_thread::sleep_for(std::chrono::milliseconds(20));
    }
    return false;
  }

 private:
  net::Descriptor fd_;
};

// What a balancer passes on as a body is no request, whoever reads it.
TEST(ApiServerTest, TakesNoBodyForAnotherRequest) {
  const auto server = StartEcho();
  for (const std::string head :
       {"GET / HTTP/1.1\r\n", "POST / HTTP/1.1\r\nContent-Encoding: gzip\r\n"}) {
    RawClient client(*server);
    const std::string body = "GET /smuggled HTTP/1.1\r\n\r\n";
    ASSERT_TRUE(client.Send(head + "Content-Length: " + std::to_string(body.size()) + "\r\n\r\n"));
    std::string answers = client.ReceiveUntil("}\n");
    client.Send(body);
    answers += client.ReceiveUntil("");
    EXPECT_NE(answers.find("HTTP/1.1"), std::string::npos) << head;
    EXPECT_EQ(answers.find("HTTP/1.1"), answers.rfind("HTTP/1.1")) << answers;
  }
}

TEST(ApiServerTest, HoldsNoEndlessRequest) {
  const auto server = StartEcho();
  const auto peak_kib = [] {
    rusage usage{};
    getrusage(RUSAGE_SELF, &usage);
    return usage.ru_maxrss;
  };
  std::string headers;
  while (headers.size() < 1 << 20) headers += "a: b\r\n";
  const std::string line(1 << 20, '1');
  const long before = peak_kib();
  for (const auto& [start, piece] :
       {std::pair<std::string, std::string>{"GET /", line},
        {"GET / HTTP/1.1\r\n", headers},
        {"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n", line}}) {
    RawClient client(*server);
    client.Send(start);
    for (int i = 0; i < 128 && client.Send(piece); ++i) {
    }
    client.ReceiveUntil("");
  }
  EXPECT_LT(peak_kib() - before, 48 << 10);
}

ApiOptions Impatient() {
  return {.listen = "127.0.0.1:0",
          .threads = 2,
          .patience = std::chrono::milliseconds(200),
          .handle = Echo};
}

TEST(ApiServerTest, HangsUpOnWhoIsSlow) {
  const auto server = ApiServer::Start(Impatient());
  ASSERT_TRUE(server.ok());
  std::vector<std::thread> slow;
  for (int i = 0; i < 2; ++i) {
    slow.emplace_back([&server] {
      RawClient client(**server);
      client.Send("GET / HTTP/1.1\r\na: ");
      EXPECT_TRUE(client.Dribble());
    });
  }
  for (std::thread& one : slow) one.join();
  EXPECT_EQ(httplib::Client("127.0.0.1", PortOf(**server)).Get("/")->status, 200);
}

TEST(ApiServerTest, DrainsThoughAClientIsSlow) {
  const auto server = ApiServer::Start(
      {.listen = "127.0.0.1:0", .patience = std::chrono::milliseconds(200), .handle = Echo});
  ASSERT_TRUE(server.ok());
  RawClient client(**server);
  client.Send("POST / HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: 10000\r\n\r\n");
  EXPECT_NE(client.ReceiveUntil("\r\n\r\n").find("100"), std::string::npos);
  std::thread slow([&] { EXPECT_TRUE(client.Dribble()); });
  (*server)->Drain();
  slow.join();
}

class TlsTest : public testing::Test {
 protected:
  ApiOptions Options() const {
    ApiOptions options{.listen = "127.0.0.1:0", .handle = Echo};
    options.tls = ApiOptions::Tls{tls_.certificate.ToPem(), *tls_.key.ToPem()};
    return options;
  }
  TestProvider provider_{SystemClock().Now()};
  const SigningIdentity tls_ =
      *MakeTlsServer("refunds.nark", provider_.tls_ca, SystemClock().Now());
};

TEST_F(TlsTest, SpeaksTls13AndNothingOlder) {
  const auto server = ApiServer::Start(Options());
  ASSERT_TRUE(server.ok()) << server.status();
  httplib::SSLClient client("127.0.0.1", PortOf(**server));
  client.enable_server_certificate_verification(false);
  const auto got = client.Get("/a");
  ASSERT_TRUE(got) << httplib::to_string(got.error());
  EXPECT_EQ(got->status, 200);

  httplib::SSLClient older("127.0.0.1", PortOf(**server));
  older.enable_server_certificate_verification(false);
  SSL_CTX_set_max_proto_version(older.ssl_context(), TLS1_2_VERSION);
  EXPECT_FALSE(older.Get("/a"));
  httplib::Client plain("127.0.0.1", PortOf(**server));
  EXPECT_FALSE(plain.Get("/a"));
}

TEST_F(TlsTest, HangsUpOnWhoBeginsNoHandshake) {
  ApiOptions options = Options();
  options.threads = 1;
  options.patience = std::chrono::milliseconds(200);
  const auto server = ApiServer::Start(std::move(options));
  ASSERT_TRUE(server.ok()) << server.status();
  RawClient silent(**server);
  EXPECT_EQ(silent.ReceiveUntil(""), "");
  httplib::SSLClient client("127.0.0.1", PortOf(**server));
  client.enable_server_certificate_verification(false);
  const std::string body(60'000, 'x');
  const auto got = client.Post("/a", body, "text/plain");
  ASSERT_TRUE(got) << httplib::to_string(got.error());
  EXPECT_EQ(nlohmann::json::parse(got->body)["size"], 60'000);
}

TEST_F(TlsTest, RefusesAKeyOfAnotherCertificate) {
  ApiOptions options = Options();
  options.tls->key = *provider_.till.key.ToPem();
  EXPECT_EQ(ApiServer::Start(std::move(options)).status().code(),
            absl::StatusCode::kInvalidArgument);
  for (const std::string& pem :
       {std::string("nonsense"),
        tls_.certificate.ToPem() + tls_.certificate.ToPem().substr(0, 200)}) {
    ApiOptions broken = Options();
    broken.tls->certificates = pem;
    EXPECT_EQ(ApiServer::Start(std::move(broken)).status().code(),
              absl::StatusCode::kInvalidArgument)
        << pem;
  }
}

}  // namespace
}  // namespace nark::serve
