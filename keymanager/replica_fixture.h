#ifndef NARK_KEYMANAGER_REPLICA_FIXTURE_H_
#define NARK_KEYMANAGER_REPLICA_FIXTURE_H_

#include <gtest/gtest.h>
#include <unistd.h>

#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "absl/synchronization/mutex.h"
#include "common/base/status.h"
#include "common/base/storage.h"
#include "common/object/envelope.h"
#include "common/object/file.h"
#include "common/object/pool_folder.h"
#include "common/rpc/client.h"
#include "common/rpc/server.h"
#include "keymanager/grpc_client.h"
#include "keymanager/replica_files.h"
#include "keymanager/service.h"
#include "keymanager/testing.h"

namespace nark::keymanager {

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

// A pool, an issuer and lists in a folder, for tests of whoever reads them.
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
    running.service = std::make_unique<KeyManagerService>((*source)->authority(), metrics_,
                                                          refusals_, queue_, blocks_);
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
    ASSIGN_OR_RETURN(
        const auto challenge,
        client.GetChallenge(ChallengeRequest(session_.session(), space), std::chrono::seconds(10)));
    const Exchange exchange =
        Attest({session_.descriptor(), voucher, space}, challenge.challenge(), random_);
    ASSIGN_OR_RETURN(const auto answer,
                     client.IssueGrant(exchange.request, std::chrono::seconds(10)));
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
  KeyManagerService::BlockLimits blocks_;
  GatedRandom gate_;
  const World world_{.clock = clock_, .random = gate_, .refusals = refusals_};
  const TestSession session_ = provider_.MakeSession();
  const TestSecureSpace space_ = provider_.MakeSecureSpace();
};

}  // namespace nark::keymanager

#endif  // NARK_KEYMANAGER_REPLICA_FIXTURE_H_
