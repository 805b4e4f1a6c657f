#include "keymanager/grpc_client.h"

#include <grpc/grpc_security_constants.h>
#include <grpcpp/server_context.h>
#include <gtest/gtest.h>

#include <chrono>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "absl/synchronization/mutex.h"
#include "common/base/clock.h"
#include "common/object/testing.h"
#include "common/rpc/server.h"
#include "nark/v1/keymanager.grpc.pb.h"

namespace nark::keymanager {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

// Notes which connections calls came over, and whether those resumed a TLS session.
class Witness final : public v1::KeyManager::Service {
 public:
  struct Seen {
    std::string peer;
    bool resumed = false;
  };

  grpc::Status GetChallenge(grpc::ServerContext* context, const v1::GetChallengeRequest*,
                            v1::GetChallengeResponse*) override {
    const auto reused =
        context->auth_context()->FindPropertyValues(GRPC_SSL_SESSION_REUSED_PROPERTY);
    absl::MutexLock lock(&mutex_);
    last_ = {context->peer(), !reused.empty() && reused[0] == "true"};
    return grpc::Status::OK;
  }
  Seen last() const {
    absl::MutexLock lock(&mutex_);
    return last_;
  }

 private:
  mutable absl::Mutex mutex_;
  Seen last_;
};

TEST(GrpcClientTest, ResumesTheTlsSessionWhereItConnectsAgain) {
  const TestProvider provider(SystemClock().Now());
  Witness witness;
  rpc::ServerOptions options;
  options.listen = "127.0.0.1:0";
  options.max_connection_age = seconds(1);
  auto key = provider.key_manager_tls.key.ToPem();
  ASSERT_TRUE(key.ok());
  options.tls = rpc::TlsIdentity{.certificates = provider.key_manager_tls.certificate.ToPem(),
                                 .key = *std::move(key)};
  auto server = rpc::Server::Start(std::move(options), {&witness});
  ASSERT_TRUE(server.ok()) << server.status();
  auto client =
      MakeGrpcClient({.endpoint = (*server)->address(),
                      .tls = rpc::TlsTrust{.ca_certificate = provider.tls_ca.certificate.der(),
                                           .server_name = kServerName}});
  ASSERT_TRUE(client.ok()) << client.status();
  const auto call = [&] {
    const auto answer = (*client)->GetChallenge(v1::GetChallengeRequest(), seconds(10));
    EXPECT_TRUE(answer.ok()) << answer.status();
    return witness.last();
  };
  const Witness::Seen first = call();
  EXPECT_FALSE(first.resumed) << "there was none yet";
  const auto deadline = std::chrono::steady_clock::now() + seconds(60);
  Witness::Seen next = call();
  while (next.peer == first.peer && std::chrono::steady_clock::now() < deadline) {
    std::this_thread::sleep_for(milliseconds(50));  // the server asks it to leave meanwhile
    next = call();
  }
  EXPECT_NE(next.peer, first.peer);
  EXPECT_TRUE(next.resumed);
}

}  // namespace
}  // namespace nark::keymanager
