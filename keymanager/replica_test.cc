// Whole replicas on loopback, as main runs them: files, TLS, gRPC, HTTP, signals.
#include "keymanager/replica.h"

#include <grpcpp/generic/generic_stub.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <spdlog/sinks/ostream_sink.h>
#include <spdlog/spdlog.h>
#include <unistd.h>

#include <atomic>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <memory>
#include <sstream>
#include <string>
#include <thread>
#include <vector>

#include "absl/strings/match.h"
#include "absl/synchronization/mutex.h"
#include "common/base/status.h"
#include "common/base/storage.h"
#include "common/crypto/external_key.h"
#include "common/crypto/hash.h"
#include "common/object/envelope.h"
#include "common/object/file.h"
#include "common/object/pool_folder.h"
#include "common/rpc/client.h"
#include "common/rpc/server.h"
#include "common/serve/http_get.h"
#include "common/serve/shutdown.h"
#include "keymanager/check.h"
#include "keymanager/grpc_client.h"
#include "keymanager/service.h"
#include "keymanager/testing.h"

namespace nark::keymanager {
namespace {

using namespace std::string_literals;
using std::chrono::milliseconds;
using std::chrono::seconds;

// Random bytes that come once the gate is open.
class GatedRandom final : public Random {
 public:
  absl::Status Fill(MutableByteView to) override {
    absl::MutexLock lock(&mutex_);
    ++waiting_;
    mutex_.Await(absl::Condition(&open_));
    --waiting_;
    return random_.Fill(to);
  }
  void Set(bool open) {
    absl::MutexLock lock(&mutex_);
    open_ = open;
  }
  void AwaitSomebody() {
    absl::MutexLock lock(&mutex_);
    mutex_.Await(absl::Condition(
        +[](int* waiting) { return *waiting > 0; }, &waiting_));
  }

 private:
  absl::Mutex mutex_;
  bool open_ = true;
  int waiting_ = 0;
  SystemRandom random_;
};

// Ahead of the system's.
class ClockAhead final : public Clock {
 public:
  Timestamp Now() override { return SystemClock().Now() + std::chrono::hours(ahead_); }
  void Set(std::chrono::hours ahead) { ahead_ = static_cast<int>(ahead.count()); }

 private:
  std::atomic<int> ahead_ = 0;
};

class ReplicaTest : public testing::Test {
 protected:
  static Timestamp RealNow() { return SystemClock().Now(); }

  ReplicaTest() {
    char pattern[] = "/tmp/nark-replica-XXXXXX";
    folder_ = mkdtemp(pattern);
    std::filesystem::create_directory(folder_ + "/pool");
    WritePool();
    Write("issuer.pem", AsBytes(provider_.issuer.certificate.ToPem()));
    WriteCrl({}, std::chrono::hours(1));
    WriteDeny({}, std::chrono::hours(1));
  }
  ~ReplicaTest() override { std::filesystem::remove_all(folder_); }

  void WritePool() {
    const absl::Status status =
        WritePoolFolder(folder_ + "/pool", provider_.MakePool(), provider_.pool_role, RealNow());
    ASSERT_TRUE(status.ok()) << status;
  }
  void Write(const std::string& name, ByteView content) {
    ASSERT_TRUE(WriteFile(folder_ + "/" + name, content, FileMode::kPublic).ok());
  }
  void WriteCrl(const std::vector<std::string>& serials, std::chrono::seconds life) {
    auto list = IssueRevocationList(provider_.issuer.certificate, provider_.issuer.key, serials,
                                    RealNow() - std::chrono::hours(2), RealNow() + life, ++number_);
    ASSERT_TRUE(list.ok()) << list.status();
    Write("crl.pem", AsBytes(list->ToPem()));
  }
  void WriteDeny(const std::vector<Digest>& ids, std::chrono::seconds life) {
    auto list = MakeDenyList(provider_.id(), ids, provider_.control, RealNow(), RealNow() + life);
    ASSERT_TRUE(list.ok()) << list.status();
    v1::NarkFile file;
    *file.mutable_deny_list() = *list;
    ASSERT_TRUE(WriteNarkFile(folder_ + "/deny.nark", file, FileMode::kPublic).ok());
  }
  ReplicaFiles Files() const {
    return {.pool = folder_ + "/pool",
            .issuers = {folder_ + "/issuer.pem"},
            .revocations = {folder_ + "/crl.pem"},
            .deny_list = folder_ + "/deny.nark",
            .tls_certificates = "",
            .tls_key = ""};
  }
  std::string ChallengeKeyFile() const {
    return "challenge-" + ToHex(ChallengeKeyId(provider_.challenge_keys[0].key)).substr(0, 8) +
           ".key";
  }
  // "pool/<name>" of the only file whose name begins and ends so.
  std::string PoolFile(const std::string& prefix, const std::string& suffix) const {
    std::string found;
    for (const auto& entry : std::filesystem::directory_iterator(folder_ + "/pool")) {
      const std::string name = entry.path().filename();
      if (name.starts_with(prefix) && name.ends_with(suffix)) found = "pool/" + name;
    }
    EXPECT_NE(found, "") << prefix << suffix;
    return found;
  }
  absl::Status LoadStatus() { return ReplicaSource::Load(Files(), world_).status(); }

  // A replica of its own in this process, with the same files as all others.
  struct Running {
    std::unique_ptr<KeyManagerService> service;
    std::unique_ptr<rpc::Server> server;
  };
  Running Start() {
    auto source = ReplicaSource::Load(Files(), world_);
    EXPECT_TRUE(source.ok()) << source.status();
    Running running;
    running.service =
        std::make_unique<KeyManagerService>((*source)->authority(), metrics_, refusals_, queue_);
    rpc::ServerOptions options;
    options.listen = "127.0.0.1:0";
    options.tls = rpc::TlsIdentity{.certificates = (*source)->tls_certificates_pem(),
                                   .key = (*source)->tls_key_pem().Clone()};
    auto server = rpc::Server::Start(std::move(options), {running.service.get()});
    EXPECT_TRUE(server.ok()) << server.status();
    running.server = *std::move(server);
    return running;
  }
  std::unique_ptr<Client> Connect(const std::string& address) {
    auto client =
        MakeGrpcClient({.endpoint = address,
                        .tls = rpc::TlsTrust{.ca_certificate = provider_.tls_ca.certificate.der(),
                                             .server_name = kServerName}});
    EXPECT_TRUE(client.ok()) << client.status();
    return *std::move(client);
  }
  absl::StatusOr<v1::Grant> Join(Client& client, const TestSecureSpace& space) {
    const v1::SignedEnvelope voucher = provider_.MakeVoucher(session_, space.id, 0, 99);
    ASSIGN_OR_RETURN(const auto challenge,
                     client.GetChallenge(ChallengeRequest(session_.session(), space), seconds(10)));
    const Exchange exchange =
        Attest({session_.descriptor(), voucher, space}, challenge.challenge(), random_);
    ASSIGN_OR_RETURN(const auto answer, client.IssueGrant(exchange.request, seconds(10)));
    return OpenGrant(exchange, answer, provider_.root.certificate, RealNow());
  }

  std::string folder_;
  uint64_t number_ = 0;
  TestProvider provider_{RealNow()};
  SystemClock clock_;
  SystemRandom random_;
  RecordedRefusals refusals_;
  serve::Metrics metrics_;
  serve::WorkQueue::Limits queue_{.threads = 2};
  GatedRandom gate_;
  const World world_{.clock = clock_, .random = gate_, .refusals = refusals_};
  const TestSession session_ = provider_.MakeSession();
  const TestSecureSpace space_ = provider_.MakeSecureSpace();
};

// I3: a challenge from one, the grant from another, a retry at a third.
TEST_F(ReplicaTest, ThreeReplicasOfOneFolderAnswerAsOne) {
  Running replicas[3] = {Start(), Start(), Start()};
  std::unique_ptr<Client> clients[3];
  for (int i = 0; i < 3; ++i) clients[i] = Connect(replicas[i].server->address());
  const v1::SignedEnvelope voucher = provider_.MakeVoucher(session_, space_.id, 0, 99);
  const auto challenge =
      clients[0]->GetChallenge(ChallengeRequest(session_.session(), space_), seconds(10));
  ASSERT_TRUE(challenge.ok()) << challenge.status();
  const Exchange exchange =
      Attest({session_.descriptor(), voucher, space_}, challenge->challenge(), random_);
  // The replica that made the challenge is gone before it is answered.
  replicas[0].server.reset();
  const auto at_second = clients[1]->IssueGrant(exchange.request, seconds(10));
  const auto at_third = clients[2]->IssueGrant(exchange.request, seconds(10));
  ASSERT_TRUE(at_second.ok()) << at_second.status() << refusals_.last_detail();
  ASSERT_TRUE(at_third.ok()) << at_third.status();
  auto one = OpenGrant(exchange, *at_second, provider_.root.certificate, RealNow());
  auto two = OpenGrant(exchange, *at_third, provider_.root.certificate, RealNow());
  ASSERT_TRUE(one.ok() && two.ok()) << one.status() << two.status();
  EXPECT_EQ(one->grant_id(), two->grant_id());
  one->clear_issue_time_us();
  two->clear_issue_time_us();
  EXPECT_EQ(one->SerializeAsString(), two->SerializeAsString());
  EXPECT_EQ(clients[0]
                ->GetChallenge(ChallengeRequest(session_.session(), space_), seconds(5))
                .status()
                .code(),
            absl::StatusCode::kUnavailable);
}

TEST_F(ReplicaTest, AnswersWhileItsFilesAreTakenOver) {
  Running replica = Start();
  auto source = ReplicaSource::Load(Files(), world_);
  ASSERT_TRUE(source.ok()) << source.status();
  const auto client = Connect(replica.server->address());
  std::atomic<bool> over = false;
  std::thread joiner([&] {
    for (int i = 0; i < 20; ++i) {
      const auto grant = Join(*client, space_);
      EXPECT_TRUE(grant.ok()) << grant.status();
    }
    over = true;
  });
  while (!over) {
    EXPECT_TRUE((*source)->Reload().empty());
    replica.service->Replace((*source)->authority());
  }
  joiner.join();
}

TEST_F(ReplicaTest, ReasonsCrossTheWire) {
  Running replica = Start();
  const auto client = Connect(replica.server->address());
  const TestSecureSpace other = provider_.MakeSecureSpace();
  const v1::SignedEnvelope voucher = provider_.MakeVoucher(session_, space_.id, 0, 99);
  const auto challenge =
      client->GetChallenge(ChallengeRequest(session_.session(), other), seconds(10));
  ASSERT_TRUE(challenge.ok()) << challenge.status();
  const Exchange exchange =
      Attest({session_.descriptor(), voucher, other}, challenge->challenge(), random_);
  const absl::Status status = client->IssueGrant(exchange.request, seconds(10)).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kPermissionDenied);
  EXPECT_EQ(ReasonOf(status), "VOUCHER_OTHER_SECURE_SPACE");
  EXPECT_TRUE(IsRemote(status));
  EXPECT_NE(status.message().find(replica.server->address()), absl::string_view::npos);
}

// --- The process: RunReplica ---

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

TEST_F(ReplicaTest, APortInUseEndsIt) {
  Running running = Start();
  auto signals = serve::Signals::Take();
  ASSERT_TRUE(signals.ok());
  ReplicaOptions options;
  options.files = Files();
  options.listen = running.server->address();
  const absl::Status status = RunReplica(options, **signals);
  EXPECT_EQ(status.code(), absl::StatusCode::kUnavailable);
  EXPECT_EQ(status.message(), options.listen + ": Address already in use");
  EXPECT_FALSE(IsRemote(status));
}

// While one grant is made and the next one waits, new exchanges are turned away at once,
// with a time to come back, and those that have begun end well.
TEST_F(ReplicaTest, TurnsAwayMoreThanItCanDoAndEndsWhatHasBegun) {
  queue_ = {.threads = 1, .length = 1, .wait = std::chrono::hours(1)};
  Running running = Start();
  const auto client = Connect(running.server->address());
  const auto attest = [&]() -> Exchange {
    const auto voucher = provider_.MakeVoucher(session_, space_.id, 0, 99);
    const auto challenge =
        client->GetChallenge(ChallengeRequest(session_.session(), space_), seconds(10));
    EXPECT_TRUE(challenge.ok()) << challenge.status();
    return Attest({session_.descriptor(), voucher, space_}, challenge->challenge(), random_);
  };
  const Exchange exchanges[] = {attest(), attest(), attest()};
  gate_.Set(false);
  absl::Status ended[2];
  std::thread first(
      [&] { ended[0] = client->IssueGrant(exchanges[0].request, seconds(60)).status(); });
  gate_.AwaitSomebody();
  std::thread second(
      [&] { ended[1] = client->IssueGrant(exchanges[1].request, seconds(60)).status(); });
  while (running.service->queue_length() == 0) std::this_thread::yield();
  const auto challenge =
      client->GetChallenge(ChallengeRequest(session_.session(), space_), seconds(10)).status();
  const auto grant = client->IssueGrant(exchanges[2].request, seconds(10)).status();
  gate_.Set(true);
  first.join();
  second.join();
  for (const absl::Status& status : {challenge, grant}) {
    EXPECT_EQ(status.code(), absl::StatusCode::kResourceExhausted) << status;
    EXPECT_EQ(ReasonOf(status), "OVERLOADED") << status;
    EXPECT_GT(RetryAfterSeconds(status), 0) << status;
  }
  EXPECT_TRUE(ended[0].ok()) << ended[0];
  EXPECT_TRUE(ended[1].ok()) << ended[1];
  EXPECT_EQ(refusals_.count(Cause::kOverloaded), 2);
  const std::string metrics = metrics_.Exposition();
  EXPECT_NE(metrics.find("nark_keymanager_shed_total 2"), std::string::npos) << metrics;
  EXPECT_NE(
      metrics.find(
          R"(nark_keymanager_requests_total{method="IssueGrant",status="RESOURCE_EXHAUSTED"} 1)"),
      std::string::npos)
      << metrics;
}

// A challenge key in a token that answers once the gate is open.
class GatedMacKey final : public ExternalMacKey {
 public:
  explicit GatedMacKey(GatedRandom& gate) : gate_(gate) {}
  const Digest& id() const override { return id_; }
  const std::string& uri() const override { return uri_; }
  absl::StatusOr<Digest> Mac(std::initializer_list<ByteView>) const override {
    Digest mac;
    RETURN_IF_ERROR(gate_.Fill(mac));
    return mac;
  }

 private:
  GatedRandom& gate_;
  const Digest id_ = Sha256(AsBytes("gated"));
  const std::string uri_ = "pkcs11:object=gated";
};

// Strangers ask for challenges: gRPC's own threads, which take handshakes too, must not wait
// for a token with them.
TEST_F(ReplicaTest, ChallengesThatATokenMakesStandInLine) {
  provider_.challenge_keys[0].external = std::make_shared<GatedMacKey>(gate_);
  KeyManagerService service(
      MakeAuthority(provider_, {.clock = clock_, .random = random_, .refusals = refusals_}),
      metrics_, refusals_, {.threads = 1, .length = 2, .wait = std::chrono::hours(1)});
  rpc::ServerOptions options;
  options.listen = "127.0.0.1:0";
  const auto server = rpc::Server::Start(std::move(options), {&service});
  ASSERT_TRUE(server.ok()) << server.status();
  const auto client = MakeGrpcClient({.endpoint = (*server)->address()});
  ASSERT_TRUE(client.ok()) << client.status();
  const auto ask = [&] {
    return (*client)
        ->GetChallenge(ChallengeRequest(session_.session(), space_), seconds(60))
        .status();
  };
  gate_.Set(false);
  absl::Status ended[2];
  std::thread first([&] { ended[0] = ask(); });
  gate_.AwaitSomebody();
  std::thread second([&] { ended[1] = ask(); });
  while (service.queue_length() == 0) std::this_thread::yield();
  const absl::Status third = ask();
  gate_.Set(true);
  first.join();
  second.join();
  EXPECT_EQ(ReasonOf(third), "OVERLOADED") << third;
  EXPECT_TRUE(ended[0].ok()) << ended[0];
  EXPECT_TRUE(ended[1].ok()) << ended[1];
}

// --- Files ---

TEST_F(ReplicaTest, LoadsItsFiles) { EXPECT_TRUE(LoadStatus().ok()) << LoadStatus(); }

TEST_F(ReplicaTest, RefusesItselfWhereItIsRevoked) {
  auto running = ReplicaSource::Load(Files(), world_);
  ASSERT_TRUE(running.ok()) << running.status();
  PoolFolder pool = provider_.MakePool();
  pool.revoked = {{.key_id = pool.signing.certificate.public_key().id(), .not_after = {}}};
  ASSERT_TRUE(WritePoolFolder(folder_ + "/pool", pool, provider_.pool_role, RealNow()).ok());
  const std::string said = "the signing certificate of this replica has been revoked";
  const absl::Status status = LoadStatus();
  EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition) << status;
  EXPECT_NE(Std(status.message()).find(said), std::string::npos) << status;
  const auto refused = (*running)->Reload();
  ASSERT_EQ(refused.size(), 1u);
  EXPECT_EQ(PartName(refused[0].part), "pool");
  EXPECT_NE(Std(refused[0].why.message()).find(said), std::string::npos) << refused[0].why;
  // Another's revocation is no reason.
  pool.revoked[0].key_id[0] ^= 1;
  ASSERT_TRUE(WritePoolFolder(folder_ + "/pool", pool, provider_.pool_role, RealNow()).ok());
  EXPECT_TRUE(LoadStatus().ok()) << LoadStatus();
  EXPECT_TRUE((*running)->Reload().empty());
}

TEST_F(ReplicaTest, NamesTheFileThatIsMissing) {
  for (const std::string& name :
       {"pool/manifest.nark"s, PoolFile("signing-", ".key"), PoolFile("tls-", ".pem"),
        "pool/" + ChallengeKeyFile(), "issuer.pem"s, "crl.pem"s, "deny.nark"s}) {
    SCOPED_TRACE(name);
    const std::string path = folder_ + "/" + name;
    std::filesystem::rename(path, path + ".away");
    const absl::Status status = LoadStatus();
    EXPECT_FALSE(status.ok());
    EXPECT_NE(status.message().find(name), absl::string_view::npos) << status;
    EXPECT_EQ(status.message().find('\n'), absl::string_view::npos) << status;
    std::filesystem::rename(path + ".away", path);
  }
  EXPECT_TRUE(LoadStatus().ok());
}

TEST_F(ReplicaTest, RefusesOneFlippedBitOfAnyFile) {
  for (const auto& entry : std::filesystem::recursive_directory_iterator(folder_)) {
    if (!entry.is_regular_file()) continue;
    const std::string path = entry.path();
    SCOPED_TRACE(path);
    const auto content = ReadFile(path);
    ASSERT_TRUE(content.ok());
    for (size_t at = 0; at < content->size(); at += 1 + content->size() / 23) {
      Bytes flipped = *content;
      flipped[at] ^= static_cast<uint8_t>(1 << (at % 8));
      ASSERT_TRUE(WriteFile(path, flipped, FileMode::kSecret).ok());
      const absl::Status status = LoadStatus();
      EXPECT_FALSE(status.ok()) << "byte " << at;
      EXPECT_EQ(status.message().find('\n'), absl::string_view::npos) << status;
    }
    ASSERT_TRUE(
        WriteFile(path, ByteView(*content).first(content->size() / 2), FileMode::kSecret).ok());
    EXPECT_FALSE(LoadStatus().ok());
    ASSERT_TRUE(WriteFile(path, *content, FileMode::kSecret).ok());
  }
  EXPECT_TRUE(LoadStatus().ok()) << LoadStatus();
}

TEST_F(ReplicaTest, RefusesFilesOfOthers) {
  TestProvider other(RealNow(), 2);
  Write("issuer.pem", AsBytes(other.root.certificate.ToPem()));
  EXPECT_EQ(LoadStatus().code(), absl::StatusCode::kUnauthenticated) << LoadStatus();
  Write("issuer.pem", AsBytes(other.issuer.certificate.ToPem()));
  absl::Status status = LoadStatus();
  EXPECT_EQ(status.code(), absl::StatusCode::kUnauthenticated);
  EXPECT_NE(status.message().find("crl.pem"), absl::string_view::npos) << status;
  Write("issuer.pem", AsBytes(provider_.issuer.certificate.ToPem()));
  auto deny =
      MakeDenyList(other.id(), {}, other.control, RealNow(), RealNow() + std::chrono::hours(1));
  ASSERT_TRUE(deny.ok());
  v1::NarkFile file;
  *file.mutable_deny_list() = *deny;
  ASSERT_TRUE(WriteNarkFile(folder_ + "/deny.nark", file, FileMode::kPublic).ok());
  status = LoadStatus();
  EXPECT_EQ(status.code(), absl::StatusCode::kUnauthenticated) << status;
  EXPECT_NE(status.message().find("deny.nark"), absl::string_view::npos) << status;
}

TEST_F(ReplicaTest, SeesThatAFileWasReplaced) {
  auto source = ReplicaSource::Load(Files(), world_);
  ASSERT_TRUE(source.ok()) << source.status();
  EXPECT_FALSE((*source)->changed());
  WriteDeny({}, std::chrono::hours(2));
  EXPECT_TRUE((*source)->changed());
  EXPECT_TRUE((*source)->Reload().empty());
  EXPECT_FALSE((*source)->changed());
  std::filesystem::remove(folder_ + "/deny.nark");
  EXPECT_TRUE((*source)->changed());
}

// Another would have forgotten how often it was asked.
TEST_F(ReplicaTest, KeepsItsAuthorityWhereTheSameIsRefusedAgain) {
  auto source = ReplicaSource::Load(Files(), world_);
  ASSERT_TRUE(source.ok()) << source.status();
  Write("issuer.pem", AsBytes("damaged"));
  EXPECT_EQ((*source)->Reload().size(), 1u);
  const auto authority = (*source)->authority();
  EXPECT_EQ((*source)->Reload().size(), 1u);
  EXPECT_EQ((*source)->authority(), authority);
  WriteDeny({}, std::chrono::hours(2));
  EXPECT_EQ((*source)->Reload().size(), 1u);
  EXPECT_NE((*source)->authority(), authority);
}

// Each part by itself: what is good is heard, whatever lies beside it.
TEST_F(ReplicaTest, KeepsAPartWhoseNewFileIsBadAndHearsTheRest) {
  auto loaded = ReplicaSource::Load(Files(), world_);
  ASSERT_TRUE(loaded.ok()) << loaded.status();
  ReplicaSource& source = **loaded;
  const auto lists = [&] { return source.authority()->lists_next_update(); };
  const std::vector<std::pair<std::string, Part>> files = {{"pool/manifest.nark", Part::kPool},
                                                           {"issuer.pem", Part::kIssuers},
                                                           {"deny.nark", Part::kDenyList}};
  std::chrono::minutes life{10};
  for (const auto& [name, part] : files) {
    SCOPED_TRACE(name);
    const Bytes good = *ReadFile(folder_ + "/" + name);
    Write(name, AsBytes("damaged"));
    const Timestamp before = lists();
    WriteCrl({}, life -= std::chrono::minutes(1));
    const auto refused = source.Reload();
    ASSERT_EQ(refused.size(), 1u);
    EXPECT_EQ(refused[0].part, part);
    EXPECT_NE(refused[0].why.message().find(name), absl::string_view::npos) << refused[0].why;
    EXPECT_LT(lists(), before);  // the new revocation list is in force
    EXPECT_TRUE(source.authority()->CheckReady().ok());
    ASSERT_TRUE(WriteFile(folder_ + "/" + name, good, FileMode::kSecret).ok());
  }
  Write("crl.pem", AsBytes("damaged"));
  const Timestamp before = lists();
  WriteDeny({space_.id}, std::chrono::minutes(1));
  const auto refused = source.Reload();
  ASSERT_EQ(refused.size(), 1u);
  EXPECT_EQ(refused[0].part, Part::kRevocations);
  EXPECT_LT(lists(), before);  // the new deny list is
}

TEST_F(ReplicaTest, RefusesListsOlderThanThoseInForce) {
  const Bytes crl = *ReadFile(folder_ + "/crl.pem"), deny = *ReadFile(folder_ + "/deny.nark");
  WriteCrl({space_.certificate.serial_hex()}, std::chrono::hours(1));
  WriteDeny({space_.id}, std::chrono::hours(1));
  auto source = ReplicaSource::Load(Files(), world_);
  ASSERT_TRUE(source.ok()) << source.status();
  Write("crl.pem", crl);
  Write("deny.nark", deny);
  const auto refused = (*source)->Reload();
  ASSERT_EQ(refused.size(), 2u);
  EXPECT_EQ(refused[0].part, Part::kRevocations);
  EXPECT_EQ(refused[1].part, Part::kDenyList);
  EXPECT_NE(refused[1].why.message().find("older"), absl::string_view::npos) << refused[1].why;
}

TEST_F(ReplicaTest, IsNobodyElsesPoolAfterwards) {
  auto source = ReplicaSource::Load(Files(), world_);
  ASSERT_TRUE(source.ok()) << source.status();
  TestProvider other(RealNow(), 2);
  ASSERT_TRUE(
      WritePoolFolder(folder_ + "/pool", other.MakePool(), other.pool_role, RealNow()).ok());
  const auto refused = (*source)->Reload();
  ASSERT_FALSE(refused.empty());
  EXPECT_EQ(refused[0].part, Part::kPool);
  EXPECT_EQ((*source)->authority()->provider(), provider_.id());
}

TEST_F(ReplicaTest, TakesTlsCertificatesFromFilesOfTheirOwn) {
  ReplicaFiles files = Files();
  files.tls_certificates = folder_ + "/tls.pem";
  files.tls_key = folder_ + "/tls-key.pem";
  const auto write = [&](const SigningIdentity& identity) {
    Write("tls.pem", AsBytes(identity.certificate.ToPem()));
    ASSERT_TRUE(WriteFile(files.tls_key, identity.key.ToPem()->Reveal(), FileMode::kSecret).ok());
  };
  const SigningIdentity one = *MakeTlsServer("keymanager.nark", provider_.tls_ca, RealNow());
  const SigningIdentity two = *MakeTlsServer("keymanager.nark", provider_.tls_ca, RealNow());
  write(one);
  auto source = ReplicaSource::Load(files, world_);
  ASSERT_TRUE(source.ok()) << source.status();
  EXPECT_EQ((*source)->tls_certificates_pem(), one.certificate.ToPem());
  // A certificate before its key, an expired one: both stay outside.
  Write("tls.pem", AsBytes(two.certificate.ToPem()));
  ASSERT_TRUE((*source)->changed());
  auto refused = (*source)->Reload();
  ASSERT_EQ(refused.size(), 1u);
  EXPECT_EQ(refused[0].part, Part::kTls);
  const auto expired = MakeTlsServer("keymanager.nark", provider_.tls_ca,
                                     RealNow() - std::chrono::hours(24 * 365 * 30));
  ASSERT_TRUE(expired.ok()) << expired.status();
  write(*expired);
  refused = (*source)->Reload();
  ASSERT_EQ(refused.size(), 1u);
  EXPECT_NE(refused[0].why.message().find("has expired"), absl::string_view::npos)
      << refused[0].why;
  EXPECT_EQ((*source)->tls_certificates_pem(), one.certificate.ToPem());
  write(two);
  EXPECT_TRUE((*source)->Reload().empty());
  EXPECT_EQ((*source)->tls_certificates_pem(), two.certificate.ToPem());
}

// --- nark-keymanager check ---

class CheckTest : public ReplicaTest {
 protected:
  std::vector<Finding> Check() {
    options_.files = Files();
    return CheckReplica(options_, clock_, random_);
  }
  // The worst that is said of something.
  static std::string GradeOf(const std::vector<Finding>& findings, const std::string& what) {
    std::string worst = "nothing";
    for (const Finding& one : findings) {
      if (one.what != what) continue;
      if (one.grade == Grade::kBad) return "bad";
      if (one.grade == Grade::kWarning) worst = "warning";
      if (one.grade == Grade::kGood && worst == "nothing") worst = "good";
    }
    return worst;
  }
  ReplicaOptions options_{.files = {}, .listen = "127.0.0.1:0"};
};

TEST_F(CheckTest, FindsNothingBadInAGoodReplica) {
  WriteCrl({}, std::chrono::hours(48));
  WriteDeny({}, std::chrono::hours(48));
  const auto findings = Check();
  EXPECT_TRUE(AllServes(findings)) << ShowText(findings);
  for (const std::string what : {"pool", "root", "signing", "tls", "issuer", "hpke key",
                                 "challenge key", "lists", "listen"}) {
    EXPECT_EQ(GradeOf(findings, what), "good") << what << "\n" << ShowText(findings);
  }
}

TEST_F(CheckTest, WarnsOfWhatSoonEnds) {
  WriteCrl({}, std::chrono::hours(1));
  const auto findings = Check();
  EXPECT_TRUE(AllServes(findings)) << ShowText(findings);
  EXPECT_EQ(GradeOf(findings, "lists"), "warning") << ShowText(findings);
}

TEST_F(CheckTest, SaysWhatIsBad) {
  WriteCrl({}, -std::chrono::hours(1));
  EXPECT_EQ(GradeOf(Check(), "lists"), "bad");
  Write("crl.pem", AsBytes("damaged"));
  const auto findings = Check();
  EXPECT_FALSE(AllServes(findings));
  EXPECT_EQ(GradeOf(findings, "files"), "bad");
  EXPECT_NE(ShowText(findings).find("crl.pem"), std::string::npos) << ShowText(findings);
  EXPECT_NE(ShowJson(findings).find("\"ok\": false"), std::string::npos) << ShowJson(findings);
}

TEST_F(CheckTest, WarnsOfKeysThatThePoolNoLongerLists) {
  EXPECT_EQ(GradeOf(Check(), "files"), "nothing");
  Write("pool/signing-0123abcd.key", AsBytes("an old one"));
  const auto findings = Check();
  EXPECT_TRUE(AllServes(findings)) << ShowText(findings);
  EXPECT_EQ(GradeOf(findings, "files"), "warning");
  EXPECT_TRUE(absl::StrContains(ShowText(findings), "does not list signing-0123abcd.key:"))
      << ShowText(findings);
  Write("pool/tls-0123abcd.key", AsBytes("another"));
  EXPECT_TRUE(absl::StrContains(ShowText(Check()), "signing-0123abcd.key and 1 more:"));
}

TEST_F(CheckTest, SaysThatAnAddressIsTaken) {
  const Running running = Start();
  options_.listen = running.server->address();
  EXPECT_EQ(GradeOf(Check(), "listen"), "bad");
}

TEST_F(CheckTest, SaysThatTwoServersWantOneAddress) {
  options_.http = options_.listen;
  EXPECT_EQ(GradeOf(Check(), "http"), "good");  // each gets a port
  std::string free;
  {
    const Running running = Start();
    free = running.server->address();
  }
  options_.listen = options_.http = free;
  EXPECT_EQ(GradeOf(Check(), "http"), "bad");
}

TEST_F(CheckTest, WarnsOfATlsCertificateThatReceiversWouldNotTake) {
  PoolFolder pool = provider_.MakePool();
  const auto other = MakeTlsServer("refunds.nark", provider_.tls_ca, RealNow());
  ASSERT_TRUE(other.ok()) << other.status();
  pool.tls_certificates_pem = other->certificate.ToPem();
  pool.tls_key_pem = *other->key.ToPem();
  ASSERT_TRUE(WritePoolFolder(folder_ + "/pool", pool, provider_.pool_role, RealNow()).ok());
  EXPECT_EQ(GradeOf(Check(), "tls"), "warning");
}

}  // namespace
}  // namespace nark::keymanager
