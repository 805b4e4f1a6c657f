// Replicas in one process: what they answer together, and what they turn away.
#include "keymanager/replica.h"

#include <gtest/gtest.h>

#include <atomic>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "absl/synchronization/mutex.h"
#include "common/base/status.h"
#include "common/crypto/external_key.h"
#include "common/crypto/hash.h"
#include "common/rpc/server.h"
#include "common/serve/shutdown.h"
#include "keymanager/grpc_client.h"
#include "keymanager/replica_fixture.h"
#include "keymanager/service.h"
#include "keymanager/testing.h"

namespace nark::keymanager {
namespace {

using namespace std::string_literals;
using std::chrono::milliseconds;
using std::chrono::seconds;

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
      metrics_, refusals_, {.threads = 1, .length = 2, .wait = std::chrono::hours(1)},
      KeyManagerService::BlockLimits());
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

}  // namespace
}  // namespace nark::keymanager
