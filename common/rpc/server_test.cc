// Server, client and watchdog together, over real sockets.
#include "common/rpc/server.h"

#include <arpa/inet.h>
#include <grpcpp/generic/generic_stub.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/synchronization/notification.h"
#include "common/base/bytes.h"
#include "common/base/status.h"
#include "common/net/descriptor.h"
#include "common/object/testing.h"
#include "common/rpc/client.h"
#include "common/rpc/status.h"
#include "common/rpc/watchdog.h"
#include "nark/v1/keymanager.grpc.pb.h"

namespace nark::rpc {
namespace {

// Echoes the secure-space id in the challenge's body; "large" grows, "wait" blocks until told.
class Echo final : public v1::KeyManager::CallbackService {
 public:
  grpc::ServerUnaryReactor* GetChallenge(grpc::CallbackServerContext* context,
                                         const v1::GetChallengeRequest* request,
                                         v1::GetChallengeResponse* response) override {
    grpc::ServerUnaryReactor* reactor = context->DefaultReactor();
    if (request->secure_space_id() == "refuse") {
      reactor->Finish(
          ToGrpc(Refusal(absl::StatusCode::kPermissionDenied, "VOUCHER_EXPIRED", "no")));
      return reactor;
    }
    response->mutable_challenge()->set_body(request->secure_space_id());
    if (request->secure_space_id() == "large") {
      response->mutable_challenge()->set_body(std::string(4000, 'x'));
    }
    if (request->secure_space_id() != "wait") {
      reactor->Finish(grpc::Status::OK);
      return reactor;
    }
    waiter = std::thread([this, reactor] {
      arrived.Notify();
      go.WaitForNotification();
      reactor->Finish(grpc::Status::OK);
    });
    return reactor;
  }
  ~Echo() override {
    if (waiter.joinable()) waiter.join();
  }
  absl::Notification arrived, go;
  std::thread waiter;
};

class ServerTest : public testing::Test {
 protected:
  std::unique_ptr<Server> Start(ServerOptions options) {
    auto server = Server::Start(std::move(options), {&echo_});
    EXPECT_TRUE(server.ok()) << server.status();
    return server.ok() ? *std::move(server) : nullptr;
  }
  ServerOptions Tls(const SigningIdentity& identity) {
    ServerOptions options;
    options.listen = "127.0.0.1:0";
    auto key = identity.key.ToPem();
    EXPECT_TRUE(key.ok());
    options.tls = TlsIdentity{.certificates = identity.certificate.ToPem(), .key = *std::move(key)};
    return options;
  }
  ServerOptions Plain() {
    ServerOptions options;
    options.listen = "127.0.0.1:0";
    return options;
  }
  TlsTrust Trust(const std::string& name = "keymanager.nark") {
    return {.ca_certificate = provider_.tls_ca.certificate.der(), .server_name = name};
  }
  absl::StatusOr<std::string> Call(const ChannelOptions& options,
                                   const std::string& text = "hello") {
    auto channel = MakeChannel(options);
    if (!channel.ok()) return channel.status();
    auto stub = v1::KeyManager::NewStub(*channel);
    grpc::ClientContext context;
    SetTimeout(context, std::chrono::seconds(10));
    v1::GetChallengeRequest request;
    request.set_secure_space_id(text);
    v1::GetChallengeResponse response;
    const grpc::Status status = stub->GetChallenge(&context, request, &response);
    if (!status.ok()) return FromGrpc(status);
    return response.challenge().body();
  }

  // A connection that has said the preface and SETTINGS with nothing in it (RFC 9113, sections
  // 3.4 and 6.5), and no more.
  static net::Descriptor DialRaw(const Server& server) {
    net::Descriptor client(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    sockaddr_in to{};
    to.sin_family = AF_INET;
    to.sin_port = htons(static_cast<uint16_t>(server.port()));
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    EXPECT_EQ(connect(client.fd(), reinterpret_cast<sockaddr*>(&to), sizeof to), 0);
    const std::string hello("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\4\0\0\0\0\0", 33);
    EXPECT_EQ(send(client.fd(), hello.data(), hello.size(), MSG_NOSIGNAL), 33);
    return client;
  }
  // Begins calls whose message never comes (section 6.2; literal fields of RFC 7541).
  static void BeginCalls(const net::Descriptor& client, uint32_t count) {
    std::string fields;
    for (const auto& [name, value] : std::vector<std::pair<std::string, std::string>>{
             {":method", "POST"},
             {":scheme", "http"},
             {":path", "/nark.v1.KeyManager/GetChallenge"},
             {":authority", "x"},
             {"content-type", "application/grpc"},
             {"te", "trailers"}}) {
      fields += '\0';
      for (const std::string& text : {name, value}) {
        fields += static_cast<char>(text.size());
        fields += text;
      }
    }
    for (uint32_t i = 0; i < count; ++i) {
      std::string frame = {0, 0, static_cast<char>(fields.size()), 1, 4};
      std::array<uint8_t, 4> stream{};
      StoreBig32(stream.data(), 2 * i + 1);
      frame.append(stream.begin(), stream.end());
      frame += fields;
      EXPECT_EQ(send(client.fd(), frame.data(), frame.size(), MSG_NOSIGNAL),
                static_cast<ssize_t>(frame.size()));
    }
  }

  TestProvider provider_{
      std::chrono::time_point_cast<std::chrono::microseconds>(std::chrono::system_clock::now())};
  Echo echo_;
};

TEST_F(ServerTest, ServesTlsToWhoTrustsItsCa) {
  const auto server = Start(Tls(provider_.key_manager_tls));
  ASSERT_NE(server, nullptr);
  EXPECT_GT(server->port(), 0);
  EXPECT_EQ(server->address(), "127.0.0.1:" + std::to_string(server->port()));
  const auto answer = Call({.endpoint = server->address(), .tls = Trust()});
  ASSERT_TRUE(answer.ok()) << answer.status();
  EXPECT_EQ(*answer, "hello");
}

TEST_F(ServerTest, ATlsSessionIsResumedByWhoKeepsIt) {
  const auto server = Start(Tls(provider_.key_manager_tls));
  const auto resumed = [&](const TlsSessionCache* sessions) {
    auto channel =
        MakeChannel({.endpoint = server->address(), .tls = Trust(), .tls_sessions = sessions});
    EXPECT_TRUE(channel.ok());
    auto stub = v1::KeyManager::NewStub(*channel);
    grpc::ClientContext context;
    SetTimeout(context, std::chrono::seconds(10));
    v1::GetChallengeResponse response;
    EXPECT_TRUE(stub->GetChallenge(&context, v1::GetChallengeRequest(), &response).ok());
    return ResumedTlsSession(context);
  };
  const TlsSessionCache sessions(4);
  EXPECT_FALSE(resumed(&sessions)) << "there was none yet";
  EXPECT_TRUE(resumed(&sessions));
  EXPECT_FALSE(resumed(nullptr)) << "nobody asked for it";
}

// What a call costs that has begun and does not go on, no quota knows.
TEST_F(ServerTest, AConnectionHasFewCallsAtATime) {
  const auto server = Start(Plain());
  const net::Descriptor client = DialRaw(*server);
  std::array<uint8_t, 9> head{};
  ASSERT_EQ(recv(client.fd(), head.data(), head.size(), MSG_WAITALL), 9);
  ASSERT_EQ(head[3], 4) << "SETTINGS come first";
  Bytes settings(static_cast<size_t>(head[1]) << 8 | head[2]);
  ASSERT_EQ(recv(client.fd(), settings.data(), settings.size(), MSG_WAITALL),
            static_cast<ssize_t>(settings.size()));
  uint32_t most = UINT32_MAX;
  for (size_t at = 0; at + 6 <= settings.size(); at += 6) {
    // SETTINGS_MAX_CONCURRENT_STREAMS
    if (settings[at] == 0 && settings[at + 1] == 3) most = LoadBig32(&settings[at + 2]);
  }
  EXPECT_LE(most, 16u);
}

// gRPC holds a peer to that only when it has acknowledged it.
class GreedyTest : public ServerTest, public testing::WithParamInterface<const char*> {};

TEST_P(GreedyTest, WhoTakesMoreCallsThanItMayIsEndedWhereMemoryRunsShort) {
  ServerOptions options = Plain();
  options.listen = GetParam();
  options.watched_memory_bytes = 1;
  const auto server = Start(std::move(options));
  const net::Descriptor greedy = DialRaw(*server), modest = DialRaw(*server);
  BeginCalls(modest, 16);
  BeginCalls(greedy, 17);
  const auto ended = [](const net::Descriptor& client, int milliseconds) {
    std::array<char, 4096> answer;
    pollfd wait{.fd = client.fd(), .events = POLLIN, .revents = 0};
    while (poll(&wait, 1, milliseconds) == 1) {
      if (recv(client.fd(), answer.data(), answer.size(), 0) <= 0) return true;
    }
    return false;
  };
  EXPECT_TRUE(ended(greedy, 30'000));
  EXPECT_EQ(server->connections().evicted, 1u);
  EXPECT_FALSE(ended(modest, 2500)) << "looked at twice more meanwhile";
  EXPECT_EQ(*Call({.endpoint = "127.0.0.1:" + std::to_string(server->port())}), "hello");
}

// Also where it is an IPv4 address in IPv6.
INSTANTIATE_TEST_SUITE_P(Addresses, GreedyTest, testing::Values("127.0.0.1:0", "[::]:0"));

// A stream of the synchronous kind, which reflection is, holds a thread while its peer says
// nothing.
TEST_F(ServerTest, SilentReflectionTakesFewThreads) {
  constexpr int kChannels = 6, kStreams = 16, kThreads = 16;
  const auto server = Start(Plain());
  struct Stream {
    grpc::ClientContext context;
    std::unique_ptr<grpc::GenericClientAsyncReaderWriter> call;
    grpc::Status status;
    bool begun = false;
  };
  grpc::CompletionQueue events;
  std::vector<std::unique_ptr<Stream>> streams;
  for (int i = 0; i < kChannels; ++i) {
    auto channel = MakeChannel({.endpoint = server->address()});
    ASSERT_TRUE(channel.ok());
    grpc::GenericStub stub(*channel);
    for (int j = 0; j < kStreams; ++j) {
      auto& stream = *streams.emplace_back(std::make_unique<Stream>());
      stream.call = stub.PrepareCall(
          &stream.context, "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo",
          &events);
      stream.call->StartCall(&stream);
    }
  }
  int turned_away = 0;
  const auto next = [&] {
    void* tag = nullptr;
    bool ok = false;
    if (events.AsyncNext(&tag, &ok, std::chrono::system_clock::now() + std::chrono::seconds(30)) !=
        grpc::CompletionQueue::GOT_EVENT) {
      return false;
    }
    auto& stream = *static_cast<Stream*>(tag);
    if (stream.begun) {
      turned_away += stream.status.error_code() == grpc::StatusCode::RESOURCE_EXHAUSTED ? 1 : 0;
      return true;
    }
    stream.begun = true;
    stream.call->Finish(&stream.status, &stream);
    return true;
  };
  while (turned_away < kChannels * kStreams - kThreads && next()) continue;
  EXPECT_GE(turned_away, kChannels * kStreams - kThreads);
  // Nobody else notices.
  const auto answer = Call({.endpoint = server->address()});
  ASSERT_TRUE(answer.ok()) << answer.status();
  EXPECT_EQ(*answer, "hello");
  for (auto& stream : streams) stream->context.TryCancel();
  events.Shutdown();
  void* tag = nullptr;
  bool ok = false;
  while (events.Next(&tag, &ok)) continue;
}

TEST_F(ServerTest, RefusalsKeepTheirReasonAcrossTheWire) {
  const auto server = Start(Plain());
  const auto status = Call({.endpoint = server->address()}, "refuse").status();
  EXPECT_EQ(status.code(), absl::StatusCode::kPermissionDenied);
  EXPECT_EQ(ReasonOf(status), "VOUCHER_EXPIRED");
}

// The name that is expected decides, not the host that was dialled: another role
// of the same provider is not taken for a key manager.
TEST_F(ServerTest, ClientsRefuseAnotherName) {
  const auto server = Start(Tls(provider_.key_manager_tls));
  const auto status = Call({.endpoint = server->address(), .tls = Trust("refunds.nark")}).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kUnavailable);
  EXPECT_TRUE(IsRemote(status));
  auto other = MakeTlsServer("refunds.nark", provider_.tls_ca, provider_.now());
  ASSERT_TRUE(other.ok());
  const auto refunds = Start(Tls(*other));
  EXPECT_TRUE(Call({.endpoint = refunds->address(), .tls = Trust("refunds.nark")}).ok());
  EXPECT_EQ(Call({.endpoint = refunds->address(), .tls = Trust()}).status().code(),
            absl::StatusCode::kUnavailable);
}

TEST_F(ServerTest, ClientsRefuseAnotherCa) {
  const auto server = Start(Tls(provider_.key_manager_tls));
  TestProvider other(provider_.now(), 2);
  TlsTrust trust = Trust();
  trust.ca_certificate = other.tls_ca.certificate.der();
  EXPECT_EQ(Call({.endpoint = server->address(), .tls = trust}).status().code(),
            absl::StatusCode::kUnavailable);
}

TEST_F(ServerTest, TlsAndPlaintextDoNotMix) {
  const auto secure = Start(Tls(provider_.key_manager_tls));
  const auto plain = Start(Plain());
  EXPECT_EQ(Call({.endpoint = secure->address()}).status().code(), absl::StatusCode::kUnavailable);
  EXPECT_EQ(Call({.endpoint = plain->address(), .tls = Trust()}).status().code(),
            absl::StatusCode::kUnavailable);
  EXPECT_TRUE(Call({.endpoint = plain->address()}).ok());
}

TEST_F(ServerTest, ATrustWithoutCaIsNoTrust) {
  EXPECT_EQ(MakeChannel({.endpoint = "127.0.0.1:1", .tls = TlsTrust{}}).status().code(),
            absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(MakeChannel({.endpoint = "nowhere", .tls = std::nullopt}).status().code(),
            absl::StatusCode::kInvalidArgument);
}

// As openssl's own client sees it.
std::string Handshake(int port, const std::string& version) {
  const std::string command = "openssl s_client -connect 127.0.0.1:" + std::to_string(port) + " -" +
                              version + " -alpn h2 </dev/null 2>&1";
  std::string output;
  FILE* pipe = popen(command.c_str(), "r");
  if (pipe == nullptr) return output;
  char buffer[4096];
  while (size_t got = fread(buffer, 1, sizeof buffer, pipe)) output.append(buffer, got);
  pclose(pipe);
  return output;
}

TEST_F(ServerTest, SpeaksTls13AndNothingOlder) {
  const auto server = Start(Tls(provider_.key_manager_tls));
  const std::string modern = Handshake(server->port(), "tls1_3");
  if (modern.find("CONNECTED") == std::string::npos) {
    GTEST_SKIP() << "SKIPPED: no openssl program here: " << modern;
  }
  EXPECT_NE(modern.find("New, TLSv1.3"), std::string::npos) << modern;
  const std::string older = Handshake(server->port(), "tls1_2");
  EXPECT_EQ(older.find("New, TLSv1"), std::string::npos) << older;
  EXPECT_NE(older.find("Cipher is (NONE)"), std::string::npos) << older;
}

TEST_F(ServerTest, APortInUseIsRefusedWithItsCause) {
  const auto server = Start(Plain());
  ServerOptions options = Plain();
  options.listen = server->address();
  const auto status = Server::Start(std::move(options), {&echo_}).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kUnavailable);
  EXPECT_EQ(status.message(), server->address() + ": Address already in use");
  EXPECT_FALSE(IsRemote(status));
}

TEST_F(ServerTest, AnAddressThatIsNotOursIsRefusedWithItsCause) {
  ServerOptions options = Plain();
  options.listen = "192.0.2.1:7400";
  const auto status = Server::Start(std::move(options), {&echo_}).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kUnavailable);
  EXPECT_EQ(status.message(), "192.0.2.1:7400: Cannot assign requested address");
}

TEST_F(ServerTest, RefusesTlsFilesThatAreNone) {
  ServerOptions options = Tls(provider_.key_manager_tls);
  options.tls->certificates = "no certificate";
  EXPECT_EQ(Server::Start(std::move(options), {&echo_}).status().code(),
            absl::StatusCode::kInvalidArgument);
  options = Tls(provider_.key_manager_tls);
  options.tls->key = SecretBytes::CopyOf(AsBytes("no key"));
  EXPECT_EQ(Server::Start(std::move(options), {&echo_}).status().code(),
            absl::StatusCode::kInvalidArgument);
  // The key of another certificate.
  options = Tls(provider_.key_manager_tls);
  options.tls->key = *provider_.till.key.ToPem();
  EXPECT_EQ(Server::Start(std::move(options), {&echo_}).status().code(),
            absl::StatusCode::kInvalidArgument);
}

TEST_F(ServerTest, ShowsAnotherCertificateFromTheNextHandshakeOn) {
  const auto server = Start(Tls(provider_.key_manager_tls));
  const TestProvider other(provider_.now(), 2);
  TlsTrust other_trust = Trust();
  other_trust.ca_certificate = other.tls_ca.certificate.der();
  const auto identity = [](const SigningIdentity& of) {
    return TlsIdentity{.certificates = of.certificate.ToPem(), .key = *of.key.ToPem()};
  };
  const ChannelOptions before = {.endpoint = server->address(), .tls = Trust()};
  const ChannelOptions after = {.endpoint = server->address(), .tls = other_trust};
  EXPECT_TRUE(Call(before).ok());
  EXPECT_FALSE(Call(after).ok());
  // What is no pair changes nothing.
  TlsIdentity mixed = identity(other.key_manager_tls);
  mixed.key = *provider_.key_manager_tls.key.ToPem();
  EXPECT_EQ(server->ReplaceTls(std::move(mixed)).code(), absl::StatusCode::kInvalidArgument);
  EXPECT_TRUE(Call(before).ok());
  ASSERT_TRUE(server->ReplaceTls(identity(other.key_manager_tls)).ok());
  EXPECT_TRUE(Call(after).ok());
  EXPECT_FALSE(Call(before).ok());
  EXPECT_EQ(Start(Plain())->ReplaceTls(identity(other.key_manager_tls)).code(),
            absl::StatusCode::kInvalidArgument);
}

TEST_F(ServerTest, RefusesMessagesAboveItsLimit) {
  ServerOptions options = Plain();
  options.max_message_bytes = 1000;
  const auto server = Start(std::move(options));
  EXPECT_TRUE(Call({.endpoint = server->address()}, std::string(900, 'x')).ok());
  EXPECT_EQ(Call({.endpoint = server->address()}, std::string(1100, 'x')).status().code(),
            absl::StatusCode::kResourceExhausted);
}

// A few kilobytes that unpack to far more than the limit.
TEST_F(ServerTest, UnpacksNoMessages) {
  const auto server = Start(Plain());
  auto channel = MakeChannel({.endpoint = server->address(), .max_message_bytes = 64 << 20});
  ASSERT_TRUE(channel.ok()) << channel.status();
  auto stub = v1::KeyManager::NewStub(*channel);
  for (const size_t bytes : {size_t{1} << 20, size_t{32} << 20}) {
    grpc::ClientContext context;
    SetTimeout(context, std::chrono::seconds(10));
    context.set_compression_algorithm(GRPC_COMPRESS_GZIP);
    v1::GetChallengeRequest request;
    request.set_secure_space_id(std::string(bytes, 'x'));
    v1::GetChallengeResponse response;
    const grpc::Status status = stub->GetChallenge(&context, request, &response);
    EXPECT_EQ(status.error_code(), grpc::StatusCode::UNIMPLEMENTED) << status.error_message();
  }
}

TEST_F(ServerTest, HoldsNoMoreConnectionsThanItMay) {
  ServerOptions options = Plain();
  options.connections = {.connections = 2, .idle = std::chrono::hours(1)};
  const auto server = Start(std::move(options));
  const auto join = [&] { return MakeChannel({.endpoint = server->address()}); };
  const auto ask = [&](grpc::Channel& channel) {
    auto stub = v1::KeyManager::NewStub(std::shared_ptr<grpc::Channel>(&channel, [](auto*) {}));
    grpc::ClientContext context;
    SetTimeout(context, std::chrono::seconds(10));
    v1::GetChallengeResponse response;
    return stub->GetChallenge(&context, {}, &response);
  };
  auto one = join(), two = join();
  EXPECT_TRUE(ask(**one).ok());
  EXPECT_TRUE(ask(**two).ok());
  EXPECT_EQ(ask(**join()).error_code(), grpc::StatusCode::UNAVAILABLE);
  EXPECT_TRUE(ask(**one).ok());
  EXPECT_EQ(server->connections().held, 2u);
  EXPECT_GE(server->connections().turned_away, 1u);
}

TEST_F(ServerTest, AnswersMayBeLargerThanRequests) {
  const auto answer = [&](size_t most) {
    ServerOptions options = Plain();
    options.max_message_bytes = 100;
    options.max_send_message_bytes = most;
    const auto server = Start(std::move(options));
    return Call({.endpoint = server->address()}, "large");
  };
  EXPECT_TRUE(answer(5000).ok());
  EXPECT_EQ(answer(3000).status().code(), absl::StatusCode::kResourceExhausted);
}

TEST_F(ServerTest, AUnixSocketIsForItsOwnerOnly) {
  // A test's own folder may lie deeper than a socket's path may be long.
  char folder[] = "/tmp/nark-server-XXXXXX";
  ASSERT_NE(mkdtemp(folder), nullptr);
  const std::string path = folder + std::string("/socket");
  ServerOptions options;
  options.listen = "unix:" + path;
  auto server = Start(std::move(options));
  ASSERT_NE(server, nullptr);
  EXPECT_EQ(server->port(), 0);
  struct stat info {};
  ASSERT_EQ(stat(path.c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 0777, 0600u);
  EXPECT_TRUE(Call({.endpoint = "unix:" + path}).ok());
  server.reset();
  EXPECT_NE(stat(path.c_str(), &info), 0);
  EXPECT_EQ(rmdir(folder), 0);
}

TEST_F(ServerTest, DrainLetsRunningCallsEnd) {
  auto server = Start(Plain());
  absl::StatusOr<std::string> answer;
  std::thread caller([&] { answer = Call({.endpoint = server->address()}, "wait"); });
  echo_.arrived.WaitForNotification();
  std::thread drain([&] { server->Drain(std::chrono::seconds(20)); });
  echo_.go.Notify();
  caller.join();
  drain.join();
  ASSERT_TRUE(answer.ok()) << answer.status();
  EXPECT_EQ(*answer, "wait");
  EXPECT_EQ(Call({.endpoint = server->address()}).status().code(), absl::StatusCode::kUnavailable);
}

TEST_F(ServerTest, DrainCancelsCallsThatTakeTooLong) {
  auto server = Start(Plain());
  absl::StatusOr<std::string> answer;
  std::thread caller([&] { answer = Call({.endpoint = server->address()}, "wait"); });
  echo_.arrived.WaitForNotification();
  std::thread drain([&] { server->Drain(std::chrono::milliseconds(50)); });
  caller.join();
  echo_.go.Notify();
  drain.join();
  EXPECT_FALSE(answer.ok());
}

TEST_F(ServerTest, TheWatchdogHearsTlsAndPlaintextServers) {
  const auto secure = Start(Tls(provider_.key_manager_tls));
  const auto plain = Start(Plain());
  EXPECT_EQ(FeelPulse(secure->address(), std::chrono::seconds(10)), Pulse::kAlive);
  EXPECT_EQ(FeelPulse(plain->address(), std::chrono::seconds(10)), Pulse::kAlive);
}

// The kernel still takes connections for a listener that nobody serves.
TEST_F(ServerTest, TheWatchdogNoticesAListenerThatNobodyServes) {
  const int fd = socket(AF_INET, SOCK_STREAM, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  ASSERT_EQ(bind(fd, reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
  ASSERT_EQ(listen(fd, 16), 0);
  socklen_t size = sizeof address;
  ASSERT_EQ(getsockname(fd, reinterpret_cast<sockaddr*>(&address), &size), 0);
  const std::string where = "127.0.0.1:" + std::to_string(ntohs(address.sin_port));
  EXPECT_EQ(FeelPulse(where, std::chrono::milliseconds(200)), Pulse::kSilent);
  close(fd);
}

}  // namespace
}  // namespace nark::rpc
