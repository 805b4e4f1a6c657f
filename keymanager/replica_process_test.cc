// Whole replicas on loopback, as main runs them: files, TLS, gRPC, HTTP, signals.
#include <grpcpp/generic/generic_stub.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <spdlog/sinks/ostream_sink.h>
#include <spdlog/spdlog.h>
#include <unistd.h>

#include <memory>
#include <sstream>
#include <string>
#include <thread>
#include <vector>

#include "absl/strings/match.h"
#include "common/base/status.h"
#include "common/base/storage.h"
#include "common/object/pool_folder.h"
#include "common/rpc/client.h"
#include "common/serve/http_get.h"
#include "common/serve/shutdown.h"
#include "keymanager/grpc_client.h"
#include "keymanager/replica.h"
#include "keymanager/replica_fixture.h"
#include "keymanager/testing.h"

namespace nark::keymanager {
namespace {

using namespace std::string_literals;
using std::chrono::milliseconds;
using std::chrono::seconds;

// Ahead of the system's.
class ClockAhead final : public Clock {
 public:
  Timestamp Now() override { return SystemClock().Now() + std::chrono::hours(ahead_); }
  void Set(std::chrono::hours ahead) { ahead_ = static_cast<int>(ahead.count()); }

 private:
  std::atomic<int> ahead_ = 0;
};

// grpc.health.v1.HealthCheckResponse{status}.
constexpr std::string_view kServing("\x08\x01", 2);
constexpr std::string_view kNotServing("\x08\x02", 2);

std::string HealthOf(const std::shared_ptr<grpc::Channel>& channel) {
  grpc::GenericStub stub(channel);
  grpc::ClientContext context;
  rpc::SetTimeout(context, seconds(10));
  grpc::CompletionQueue queue;
  const grpc::Slice no_fields("");
  const auto call = stub.PrepareUnaryCall(&context, "/grpc.health.v1.Health/Check",
                                          grpc::ByteBuffer(&no_fields, 1), &queue);
  call->StartCall();
  grpc::ByteBuffer response;
  grpc::Status status;
  call->Finish(&response, &status, nullptr);
  void* tag = nullptr;
  bool ok = false;
  queue.Next(&tag, &ok);
  grpc::Slice slice;
  if (!status.ok() || !response.DumpToSingleSlice(&slice).ok()) return status.error_message();
  return {reinterpret_cast<const char*>(slice.begin()), slice.size()};
}

class ReplicaProcessTest : public ReplicaTest {
 protected:
  static void AwaitHealth(const std::shared_ptr<grpc::Channel>& channel, std::string_view health) {
    const auto deadline = std::chrono::steady_clock::now() + seconds(60);
    while (HealthOf(channel) != health && std::chrono::steady_clock::now() < deadline) {
      std::this_thread::sleep_for(milliseconds(20));
    }
    EXPECT_EQ(HealthOf(channel), health);
  }

  // Runs it until SIGTERM, beside `body`, which gets the addresses.
  void WhileServing(
      ReplicaOptions options,
      const std::function<void(const std::string& listen, const std::string& http)>& body) {
    auto signals = serve::Signals::Take();
    ASSERT_TRUE(signals.ok());
    if (options.files.pool.empty()) options.files = Files();
    options.listen = "127.0.0.1:0";
    options.http = "127.0.0.1:0";
    options.ready_file = folder_ + "/ready.json";
    options.reload_interval = milliseconds(20);
    absl::Status ended;
    std::thread server([&] { ended = RunReplica(options, **signals); });
    std::string ready;
    while (ready.empty()) {
      std::this_thread::sleep_for(milliseconds(5));
      if (auto content = ReadFile(options.ready_file); content.ok()) ready = ToText(*content);
    }
    const auto field = [&](const std::string& name) {
      const size_t at = ready.find("\"" + name + "\":\"") + name.size() + 4;
      return ready.substr(at, ready.find('"', at) - at);
    };
    body(field("listen"), field("http"));
    kill(getpid(), SIGTERM);
    server.join();
    EXPECT_TRUE(ended.ok()) << ended;
  }

  // Until the metric is at least that much.
  void Await(const std::string& http, const std::string& metric, int least) {
    const auto deadline = std::chrono::steady_clock::now() + seconds(60);
    std::string said;
    do {
      said = serve::HttpGet(http, "/metrics", seconds(5)).value_or("");
      const size_t at = said.find(metric + " ");
      if (at != said.npos && std::stoi(said.substr(at + metric.size())) >= least) return;
      std::this_thread::sleep_for(milliseconds(20));
    } while (std::chrono::steady_clock::now() < deadline);
    FAIL() << metric << "\n" << said;
  }

  enum class Ready { kNo, kYes };
  void AwaitReady(const std::string& http, Ready ready) {
    const auto deadline = std::chrono::steady_clock::now() + seconds(60);
    absl::Status answer;
    do {
      answer = serve::HttpGet(http, "/readyz", seconds(5)).status();
      if (ready == Ready::kYes ? answer.ok()
                               : absl::StrContains(answer.message(), "HTTP status 503")) {
        return;
      }
      std::this_thread::sleep_for(milliseconds(20));
    } while (std::chrono::steady_clock::now() < deadline);
    FAIL() << answer;
  }

  // Until joins of `space` end with `reason` ("" for a grant).
  void AwaitReason(Client& client, const TestSecureSpace& space, const std::string& reason) {
    const auto deadline = std::chrono::steady_clock::now() + seconds(60);
    absl::Status status;
    do {
      status = Join(client, space).status();
      if (ReasonOf(status) == reason && status.ok() == reason.empty()) return;
      std::this_thread::sleep_for(milliseconds(50));
    } while (std::chrono::steady_clock::now() < deadline);
    FAIL() << "expected " << reason << ", got " << status;
  }
};

TEST_F(ReplicaProcessTest, ServesReloadsAndDrains) {
  WhileServing({}, [&](const std::string& listen, const std::string&) {
    const auto client = Connect(listen);
    AwaitReason(*client, space_, "");
    WriteDeny({space_.id}, std::chrono::hours(1));
    AwaitReason(*client, space_, "SECURE_SPACE_DENIED");
    WriteDeny({}, std::chrono::hours(1));
    AwaitReason(*client, space_, "");
    WriteCrl({space_.certificate.serial_hex()}, std::chrono::hours(1));
    AwaitReason(*client, space_, "NOT_ATTESTED");
    // Damage is not taken over: what was revoked stays revoked.
    Write("crl.pem", AsBytes("damaged"));
    kill(getpid(), SIGHUP);
    AwaitReason(*client, space_, "NOT_ATTESTED");
    // A list that has expired already stops everybody, and says when to retry.
    WriteCrl({}, -std::chrono::hours(1));
    AwaitReason(*client, space_, "LISTS_EXPIRED");
    WriteCrl({}, std::chrono::hours(1));
    AwaitReason(*client, space_, "");
  });
}

// The replica's TLS certificate is the next handshake's, and connections that are stay.
TEST_F(ReplicaProcessTest, TakesOverTlsCertificatesWithoutARestart) {
  WhileServing({}, [&](const std::string& listen, const std::string&) {
    const auto early = Connect(listen);
    ASSERT_TRUE(Join(*early, space_).ok());
    // Under an authority that receivers do not know yet: only it tells one from the other.
    const TestProvider other(RealNow(), 2);
    PoolFolder pool = provider_.MakePool();
    pool.tls_certificates_pem = other.key_manager_tls.certificate.ToPem();
    pool.tls_key_pem = *other.key_manager_tls.key.ToPem();
    ASSERT_TRUE(WritePoolFolder(folder_ + "/pool", pool, provider_.pool_role, RealNow()).ok());
    const auto deadline = std::chrono::steady_clock::now() + seconds(60);
    const auto knows = [&](const TestProvider& whose) {
      auto client =
          MakeGrpcClient({.endpoint = listen,
                          .tls = rpc::TlsTrust{.ca_certificate = whose.tls_ca.certificate.der(),
                                               .server_name = kServerName}});
      return client.ok() && Join(**client, space_).ok();
    };
    while (!knows(other) && std::chrono::steady_clock::now() < deadline) {
      std::this_thread::sleep_for(milliseconds(50));
    }
    EXPECT_TRUE(knows(other));
    EXPECT_FALSE(knows(provider_));
    EXPECT_TRUE(Join(*early, space_).ok());
  });
}

// A list that is renewed, even to the same, costs no client a full handshake.
TEST_F(ReplicaProcessTest, KeepsTlsSessionsWhereItsCertificateStays) {
  WhileServing({}, [&](const std::string& listen, const std::string& http) {
    const rpc::TlsSessionCache sessions(4);
    const auto resumes = [&] {
      auto channel = rpc::MakeChannel(
          {.endpoint = listen,
           .tls = rpc::TlsTrust{.ca_certificate = provider_.tls_ca.certificate.der(),
                                .server_name = kServerName},
           .tls_sessions = &sessions});
      EXPECT_TRUE(channel.ok()) << channel.status();
      const auto stub = v1::KeyManager::NewStub(*channel);
      grpc::ClientContext context;
      rpc::SetTimeout(context, seconds(10));
      v1::GetChallengeResponse response;
      EXPECT_TRUE(
          stub->GetChallenge(&context, ChallengeRequest(session_.session(), space_), &response)
              .ok());
      return rpc::ResumedTlsSession(context);
    };
    EXPECT_FALSE(resumes());
    EXPECT_TRUE(resumes());
    Write("crl.pem", *ReadFile(folder_ + "/crl.pem"));
    Await(http, "\nnark_keymanager_reloads_total", 1);
    EXPECT_TRUE(resumes());
    // Another certificate is shown to everybody.
    PoolFolder pool = provider_.MakePool();
    const auto other = MakeTlsServer(kServerName, provider_.tls_ca, RealNow());
    ASSERT_TRUE(other.ok()) << other.status();
    pool.tls_certificates_pem = other->certificate.ToPem();
    pool.tls_key_pem = *other->key.ToPem();
    ASSERT_TRUE(WritePoolFolder(folder_ + "/pool", pool, provider_.pool_role, RealNow()).ok());
    Await(http, "\nnark_keymanager_reloads_total", 2);
    EXPECT_FALSE(resumes());
  });
}

// What it signs is refused by whoever knows, so a balancer must find another.
TEST_F(ReplicaProcessTest, IsNotReadyWhereItsOwnKeyIsRevoked) {
  WhileServing({}, [&](const std::string&, const std::string& http) {
    AwaitReady(http, Ready::kYes);
    auto pool = LoadPoolFolder(folder_ + "/pool", RealNow());
    ASSERT_TRUE(pool.ok()) << pool.status();
    pool->revoked = {{.key_id = pool->signing.certificate.public_key().id(), .not_after = {}}};
    ASSERT_TRUE(WritePoolFolder(folder_ + "/pool", *pool, provider_.pool_role, RealNow()).ok());
    AwaitReady(http, Ready::kNo);
    WritePool();
    AwaitReady(http, Ready::kYes);
  });
}

// What failed may be well again with no file that is looked at changed: here a folder is copied,
// its manifest first.
TEST_F(ReplicaProcessTest, TriesAgainWhatItRefused) {
  std::ostringstream log;
  const auto logger = spdlog::default_logger();
  spdlog::set_default_logger(std::make_shared<spdlog::logger>(
      "test", std::make_shared<spdlog::sinks::ostream_sink_mt>(log)));
  ReplicaOptions options;
  options.retry_interval = milliseconds(50);
  WhileServing(options, [&](const std::string&, const std::string& http) {
    WritePool();
    Await(http, "\nnark_keymanager_reloads_total", 1);
    const std::string key = folder_ + "/" + PoolFile("signing-", ".key");
    const std::string manifest = folder_ + "/pool/manifest.nark";
    std::filesystem::rename(key, key + ".away");
    ASSERT_TRUE(WriteFile(manifest, *ReadFile(manifest), FileMode::kSecret).ok());
    Await(http, R"(nark_keymanager_reload_failures_total{part="pool"})", 3);
    std::filesystem::rename(key + ".away", key);
    Await(http, "\nnark_keymanager_reloads_total", 2);
    Await(http, "\nnark_keymanager_last_reload_success", 1);
  });
  spdlog::set_default_logger(logger);
  // Once, however often it was tried.
  const std::string lines = log.str(), said = "the pool part stays as it was";
  EXPECT_NE(lines.find(said), std::string::npos) << lines;
  EXPECT_EQ(lines.find(said), lines.rfind(said)) << lines;
}

// Nobody's handshake would end well; and who asks by gRPC is told the same.
TEST_F(ReplicaProcessTest, IsNotReadyWhereItsTlsCertificateIsNotValid) {
  ClockAhead clock;
  ReplicaOptions options;
  options.clock = &clock;
  options.files = Files();
  options.files.revocations.clear();
  options.files.deny_list.clear();
  options.files.tls_certificates = folder_ + "/tls.pem";
  options.files.tls_key = folder_ + "/tls-key.pem";
  // Ends before the signing certificate does.
  const auto tls = MakeTlsServer(kServerName, provider_.tls_ca, RealNow() - std::chrono::days(365));
  ASSERT_TRUE(tls.ok()) << tls.status();
  Write("tls.pem", AsBytes(tls->certificate.ToPem()));
  Write("tls-key.pem", tls->key.ToPem()->Reveal());
  const auto end = tls->certificate.not_after() - RealNow();
  WhileServing(options, [&](const std::string& listen, const std::string& http) {
    auto channel =
        rpc::MakeChannel({.endpoint = listen,
                          .tls = rpc::TlsTrust{.ca_certificate = provider_.tls_ca.certificate.der(),
                                               .server_name = kServerName}});
    ASSERT_TRUE(channel.ok()) << channel.status();
    AwaitReady(http, Ready::kYes);
    AwaitHealth(*channel, kServing);
    clock.Set(std::chrono::ceil<std::chrono::hours>(end));
    AwaitReady(http, Ready::kNo);
    AwaitHealth(*channel, kNotServing);
    clock.Set(std::chrono::hours(0));
    AwaitReady(http, Ready::kYes);
    AwaitHealth(*channel, kServing);
  });
}

TEST_F(ReplicaProcessTest, PlaintextIsAskedFor) {
  ReplicaOptions options;
  options.transport = Transport::kPlaintext;
  WhileServing(options, [&](const std::string& listen, const std::string&) {
    auto client = MakeGrpcClient({.endpoint = listen});
    ASSERT_TRUE(client.ok());
    EXPECT_TRUE(Join(**client, space_).ok());
    EXPECT_EQ(Join(*Connect(listen), space_).status().code(), absl::StatusCode::kUnavailable);
  });
}

}  // namespace
}  // namespace nark::keymanager
