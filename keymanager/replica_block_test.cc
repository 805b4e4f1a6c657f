// Marked blocks over gRPC: many at once, readers that go away, and readers that do not read.

#include <grpcpp/client_context.h>
#include <grpcpp/create_channel.h>
#include <grpcpp/security/credentials.h>
#include <grpcpp/support/channel_arguments.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "common/audit/sealed_block.h"
#include "common/base/status.h"
#include "keymanager/grpc_client.h"
#include "keymanager/replica_fixture.h"
#include "keymanager/service.h"
#include "keymanager/testing.h"
#include "nark/v1/keymanager.grpc.pb.h"

namespace nark::keymanager {
namespace {

using std::chrono::seconds;

// The largest blocks there are.
class ReplicaBlockTest : public ReplicaTest {
 protected:
  v1::GetMarkedBlockRequest Ask(Client& client, const TestSecureSpace& space) {
    const v1::SignedEnvelope voucher = provider_.MakeVoucher(marked_, space.id, 0, 99);
    const auto challenge =
        client.GetChallenge(ChallengeRequest(marked_.session(), space), seconds(10));
    EXPECT_TRUE(challenge.ok()) << challenge.status();
    v1::GetMarkedBlockRequest request;
    *request.mutable_join() =
        Attest({marked_.descriptor(), voucher, space}, challenge->challenge(), random_).request;
    return request;
  }
  // On a connection of its own, that takes in little more than is read.
  std::unique_ptr<v1::KeyManager::Stub> StubOf(const std::string& address) {
    grpc::ChannelArguments arguments;
    arguments.SetSslTargetNameOverride(kServerName);
    arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
    arguments.SetInt(GRPC_ARG_HTTP2_BDP_PROBE, 0);
    arguments.SetInt(GRPC_ARG_HTTP2_STREAM_LOOKAHEAD_BYTES, 1024);
    grpc::SslCredentialsOptions trust;
    trust.pem_root_certs = provider_.tls_ca.certificate.ToPem();
    return v1::KeyManager::NewStub(
        grpc::CreateCustomChannel(address, grpc::SslCredentials(trust), arguments));
  }
  // One who has asked, on a connection of its own, and does not read.
  struct Sluggard {
    ~Sluggard() {
      context.TryCancel();
      if (reader != nullptr) (void)End();
    }
    // How the call ended; once.
    grpc::Status End() { return std::exchange(reader, nullptr)->Finish(); }

    std::unique_ptr<v1::KeyManager::Stub> stub;
    grpc::ClientContext context;
    std::unique_ptr<grpc::ClientReader<v1::GetMarkedBlockResponse>> reader;
  };
  std::unique_ptr<Sluggard> AskOnly(const Running& running,
                                    const v1::GetMarkedBlockRequest& request) {
    auto sluggard = std::make_unique<Sluggard>();
    sluggard->stub = StubOf(running.server->address());
    sluggard->reader = sluggard->stub->GetMarkedBlock(&sluggard->context, request);
    return sluggard;
  }
  // Somebody gets a block, after a while.
  void ExpectAPlace(Client& client) {
    absl::StatusOr<Bytes> sealed = absl::UnavailableError("not asked yet");
    for (int i = 0; i < 3000 && !sealed.ok(); ++i) {
      sealed =
          client.GetMarkedBlock(Ask(client, provider_.MakeSecureSpace()), seconds(10), nullptr);
    }
    EXPECT_TRUE(sealed.ok()) << sealed.status();
  }
  // So many requests for blocks have been granted or turned away.
  void AwaitDecided(int count) {
    while (Counted(R"(method="GetMarkedBlock",status="OK")") +
               Counted(R"(method="GetMarkedBlock",status="RESOURCE_EXHAUSTED")") <
           count) {
      std::this_thread::yield();
    }
  }
  double Counted(const std::string& labels) {
    const std::string metrics = metrics_.Exposition();
    const std::string name = "nark_keymanager_requests_total{" + labels + "} ";
    const size_t at = metrics.find(name);
    return at == std::string::npos ? 0 : std::stod(metrics.substr(at + name.size()));
  }

  const TestSession marked_ =
      provider_.MakeSession(WithAuditTrail({}, ChameleonBlock::kMaxWordsLog2));
};

TEST_F(ReplicaBlockTest, ComesWholeAndTellsOfItself) {
  Running running = Start();
  const auto client = Connect(running.server->address());
  std::vector<size_t> done;
  const auto sealed = client->GetMarkedBlock(
      Ask(*client, space_), seconds(10), [&](size_t done_bytes, size_t total_bytes) {
        EXPECT_EQ(total_bytes, audit::SealedBlockBytes(ChameleonBlock::kMaxWordsLog2));
        done.push_back(done_bytes);
      });
  ASSERT_TRUE(sealed.ok()) << sealed.status() << refusals_.last_detail();
  EXPECT_GE(done.size(), 8u);
  EXPECT_TRUE(std::is_sorted(done.begin(), done.end()));
  EXPECT_EQ(done.back(), sealed->size());
  const audit::Family family = marked_.family();
  EXPECT_TRUE(audit::OpenBlock(*family.BlockKey(space_.id), family.id(), space_.id, *sealed).ok());
  EXPECT_EQ(Counted(R"(method="GetMarkedBlock",status="OK")"), 1);
}

TEST_F(ReplicaBlockTest, ReasonsCrossTheWire) {
  Running running = Start();
  const auto client = Connect(running.server->address());
  v1::GetMarkedBlockRequest request = Ask(*client, space_);
  request.mutable_join()->mutable_evidence()->mutable_signature()->at(3) ^= 1;
  EXPECT_EQ(ReasonOf(client->GetMarkedBlock(request, seconds(10), nullptr).status()),
            "NOT_ATTESTED");
  EXPECT_EQ(ReasonOf(client->GetMarkedBlock({}, seconds(10), nullptr).status()), "NOT_ATTESTED");
}

TEST_F(ReplicaBlockTest, ManyComeAtOnceAndSomeGoAway) {
  queue_ = {.threads = 2, .length = 100, .wait = std::chrono::hours(1)};
  Running running = Start();
  const auto client = Connect(running.server->address());
  std::vector<v1::GetMarkedBlockRequest> requests;
  for (int i = 0; i < 12; ++i) requests.push_back(Ask(*client, provider_.MakeSecureSpace()));
  std::atomic<int> whole{0};
  std::vector<std::thread> readers;
  for (size_t i = 0; i < requests.size(); ++i) {
    readers.emplace_back([&, i] {
      if (i % 3 != 0) {
        whole += client->GetMarkedBlock(requests[i], seconds(60), nullptr).ok() ? 1 : 0;
        return;
      }
      // After the first piece.
      const auto stub = StubOf(running.server->address());
      grpc::ClientContext context;
      const auto reader = stub->GetMarkedBlock(&context, requests[i]);
      v1::GetMarkedBlockResponse piece;
      EXPECT_TRUE(reader->Read(&piece));
      context.TryCancel();
      EXPECT_EQ(reader->Finish().error_code(), grpc::StatusCode::CANCELLED);
    });
  }
  for (std::thread& reader : readers) reader.join();
  EXPECT_EQ(whole, 8);
}

// Who asks and does not read holds half a MiB: no more than so many do, and nobody's grant
// waits for them.
TEST_F(ReplicaBlockTest, ThoseWhoDoNotReadAreFew) {
  Running running = Start();
  const auto client = Connect(running.server->address());
  std::vector<std::unique_ptr<Sluggard>> sluggards;
  for (int i = 0; i < 40; ++i) {
    sluggards.push_back(AskOnly(running, Ask(*client, provider_.MakeSecureSpace())));
    AwaitDecided(i + 1);
  }
  EXPECT_GE(Counted(R"(method="GetMarkedBlock",status="RESOURCE_EXHAUSTED")"), 1);
  EXPECT_TRUE(Join(*client, space_).ok());
  sluggards.clear();
  ExpectAPlace(*client);
}

// Nobody's own sluggards stand in another's way.
TEST_F(ReplicaBlockTest, OneSecureSpaceHasItsShare) {
  Running running = Start();
  const auto client = Connect(running.server->address());
  std::vector<std::unique_ptr<Sluggard>> sluggards;
  for (int i = 0; i < 2; ++i) {
    sluggards.push_back(AskOnly(running, Ask(*client, space_)));
    AwaitDecided(i + 1);
  }
  EXPECT_EQ(ReasonOf(client->GetMarkedBlock(Ask(*client, space_), seconds(10), nullptr).status()),
            "RATE_LIMITED");
  EXPECT_TRUE(
      client->GetMarkedBlock(Ask(*client, provider_.MakeSecureSpace()), seconds(10), nullptr).ok());
}

// They need not go away themselves.
TEST_F(ReplicaBlockTest, ThoseWhoDoNotReadMakeRoomInTime) {
  blocks_ = {.places = {.all = 2}, .longest = std::chrono::milliseconds(300)};
  Running running = Start();
  const auto client = Connect(running.server->address());
  std::vector<std::unique_ptr<Sluggard>> sluggards;
  for (int i = 0; i < 2; ++i) {
    sluggards.push_back(AskOnly(running, Ask(*client, provider_.MakeSecureSpace())));
    AwaitDecided(i + 1);
  }
  EXPECT_EQ(ReasonOf(client->GetMarkedBlock(Ask(*client, space_), seconds(10), nullptr).status()),
            "OVERLOADED");
  ExpectAPlace(*client);
  // The first of them; the other may be read on until its time is over.
  v1::GetMarkedBlockResponse piece;
  while (sluggards[0]->reader->Read(&piece)) continue;
  EXPECT_EQ(sluggards[0]->End().error_code(), grpc::StatusCode::CANCELLED);
}

}  // namespace
}  // namespace nark::keymanager
