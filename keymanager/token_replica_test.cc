// A replica whose keys lie in SoftHSM 2, from its folder to the grant that a secure space
// opens.

#include <gtest/gtest.h>
#include <stdlib.h>

#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "common/base/status.h"
#include "common/base/storage.h"
#include "common/object/pool_folder.h"
#include "common/pkcs11/token_keys.h"
#include "keymanager/replica_files.h"
#include "keymanager/testing.h"
#include "tests/harness/process.h"
#include "tests/harness/soft_hsm.h"

namespace nark::keymanager {
namespace {

using harness::Eventually;
using harness::SoftHsm;

class TokenReplicaTest : public testing::Test {
 protected:
  TokenReplicaTest() {
    char pattern[] = "/tmp/nark-token-XXXXXX";
    folder_ = mkdtemp(pattern);
    std::filesystem::create_directory(folder_ + "/pool");
    EXPECT_TRUE(WriteFile(folder_ + "/issuer.pem", AsBytes(provider_.issuer.certificate.ToPem()),
                          FileMode::kPublic)
                    .ok());
    token_ = Open();
    Write(PoolInToken());
  }
  ~TokenReplicaTest() override { std::filesystem::remove_all(folder_); }

  std::unique_ptr<pkcs11::TokenKeys> Open() {
    auto keys =
        pkcs11::TokenKeys::FromFiles(SoftHsm::module(), hsm_.pin_file(), pkcs11::Access::kWrite);
    EXPECT_TRUE(keys.ok()) << keys.status();
    return *std::move(keys);
  }
  // The provider's pool, its keys brought into the token.
  PoolFolder PoolInToken() {
    PoolFolder pool = provider_.MakePool();
    for (HpkePrivateKey& key : pool.hpke_keys) key = *token_->Import(place_, key);
    for (ChallengeKey& key : pool.challenge_keys) {
      key.external = *token_->Import(place_, key.key, key.Id());
    }
    pool.signing.key = *token_->Import(place_, pool.signing.key);
    return pool;
  }
  void Write(const PoolFolder& pool) {
    const absl::Status status =
        WritePoolFolder(folder_ + "/pool", pool, provider_.pool_role, clock_.Now());
    ASSERT_TRUE(status.ok()) << status;
  }
  absl::StatusOr<std::unique_ptr<ReplicaSource>> Load(KeyStore* token) {
    ReplicaFiles files;
    files.pool = folder_ + "/pool";
    files.issuers = {folder_ + "/issuer.pem"};
    files.token = token;
    return ReplicaSource::Load(files, world_);
  }
  // A whole exchange; OK where the secure space opens the grant.
  absl::Status Join(GrantAuthority& authority) {
    ASSIGN_OR_RETURN(const auto challenge,
                     authority.GetChallenge(ChallengeRequest(session_.session(), space_)));
    const Exchange exchange =
        Attest({session_.descriptor(), voucher_, space_}, challenge.challenge(), random_);
    ASSIGN_OR_RETURN(const auto answer, authority.IssueGrant(exchange.request));
    return OpenGrant(exchange, answer, provider_.root.certificate, clock_.Now()).status();
  }

  SoftHsm hsm_{{"pool"}};
  const pkcs11::KeyPlace place_{.token = "pool", .owner = "nark-test"};
  TestProvider provider_;
  ManualClock clock_{kTestTime};
  SeededRandom random_{7};
  RecordedRefusals refusals_;
  const World world_{.clock = clock_, .random = random_, .refusals = refusals_};
  const TestSession session_ = provider_.MakeSession();
  const TestSecureSpace space_ = provider_.MakeSecureSpace();
  const v1::SignedEnvelope voucher_ = provider_.MakeVoucher(session_, space_.id, 0, 99);
  std::string folder_;
  std::unique_ptr<pkcs11::TokenKeys> token_;
};

TEST_F(TokenReplicaTest, GrantsWithKeysThatAreInNoFile) {
  std::vector<std::string> references;
  for (const auto& entry : std::filesystem::directory_iterator(folder_ + "/pool")) {
    const std::string name = entry.path().filename();
    const std::string content = harness::ReadAll(entry.path());
    if (!name.starts_with("tls-")) {
      EXPECT_EQ(content.find("KEY-----"), content.npos) << name;
    }
    if (name.ends_with(".pkcs11")) references.push_back(content);
  }
  ASSERT_EQ(references.size(), 3u);
  for (const std::string& uri : references) {
    EXPECT_TRUE(uri.starts_with("pkcs11:token=pool;object=nark-test-")) << uri;
  }
  const auto source = Load(token_.get());
  ASSERT_TRUE(source.ok()) << source.status();
  const absl::Status joined = Join(*(*source)->authority());
  EXPECT_TRUE(joined.ok()) << joined << refusals_.last_detail();
}

// Challenges of a replica with the same key in a file are this one's too.
TEST_F(TokenReplicaTest, AnImportedChallengeKeyKeepsItsName) {
  const auto source = Load(token_.get());
  ASSERT_TRUE(source.ok()) << source.status();
  const auto other = MakeAuthority(provider_, world_);
  const auto challenge = other->GetChallenge(ChallengeRequest(session_.session(), space_));
  ASSERT_TRUE(challenge.ok());
  const Exchange exchange =
      Attest({session_.descriptor(), voucher_, space_}, challenge->challenge(), random_);
  const auto answer = (*source)->authority()->IssueGrant(exchange.request);
  ASSERT_TRUE(answer.ok()) << answer.status() << refusals_.last_detail();
}

TEST_F(TokenReplicaTest, WithoutATokenTheFolderIsRefused) {
  const absl::Status refused = Load(nullptr).status();
  EXPECT_EQ(refused.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_NE(refused.message().find("--pkcs11-module"), absl::string_view::npos) << refused;
  EXPECT_NE(refused.message().find(".pkcs11: "), absl::string_view::npos) << refused;
}

// A reference is as little to be changed as a key.
TEST_F(TokenReplicaTest, AnEditedReferenceIsRefused) {
  std::string path;
  for (const auto& entry : std::filesystem::directory_iterator(folder_ + "/pool")) {
    const std::string name = entry.path().filename();
    if (name.starts_with("signing-") && name.ends_with(".pkcs11")) path = entry.path();
  }
  std::string content = harness::ReadAll(path);
  content[content.find("pool")] = 'P';
  harness::WriteAll(path, content);
  const absl::Status refused = Load(token_.get()).status();
  EXPECT_EQ(refused.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_NE(refused.message().find(path), absl::string_view::npos) << refused;
}

TEST_F(TokenReplicaTest, ATokenThatIsGoneIsSaidAndForgiven) {
  const auto source = Load(token_.get());
  ASSERT_TRUE(source.ok()) << source.status();
  GrantAuthority& authority = *(*source)->authority();
  ASSERT_TRUE(authority.CheckReady().ok());
  hsm_.Remove();
  const absl::Status refused = Join(authority);
  EXPECT_EQ(refused.code(), absl::StatusCode::kUnavailable) << refused;
  EXPECT_EQ(ReasonOf(refused), "KEYS_UNAVAILABLE");
  EXPECT_GT(RetryAfterSeconds(refused), 0);
  EXPECT_EQ(refusals_.last(), Cause::kKeysUnavailable);
  EXPECT_EQ(authority.CheckReady().code(), absl::StatusCode::kUnavailable);
  hsm_.PutBack();
  EXPECT_TRUE(Eventually([&] { return authority.CheckReady().ok(); }));
  const absl::Status joined = Join(authority);
  EXPECT_TRUE(joined.ok()) << joined << refusals_.last_detail();
}

// Each step alone, as the session and the challenge were good before the token went.
TEST_F(TokenReplicaTest, NothingIsRememberedOfATokenThatWasGone) {
  const auto source = Load(token_.get());
  ASSERT_TRUE(source.ok()) << source.status();
  GrantAuthority& authority = *(*source)->authority();
  const auto challenge = authority.GetChallenge(ChallengeRequest(session_.session(), space_));
  ASSERT_TRUE(challenge.ok());
  const Exchange exchange =
      Attest({session_.descriptor(), voucher_, space_}, challenge->challenge(), random_);
  hsm_.Remove();
  EXPECT_EQ(ReasonOf(authority.IssueGrant(exchange.request).status()), "KEYS_UNAVAILABLE");
  hsm_.PutBack();
  EXPECT_TRUE(Eventually([&] { return authority.IssueGrant(exchange.request).ok(); }))
      << refusals_.last_detail();
}

TEST_F(TokenReplicaTest, ReloadsNewKeysAndKeepsTheOldWhereTheTokenIsGone) {
  const auto source = Load(token_.get());
  ASSERT_TRUE(source.ok()) << source.status();
  PoolFolder pool = PoolInToken();
  const auto made = token_->MakeHpkeKey(place_);
  ASSERT_TRUE(made.ok()) << made.status();
  pool.hpke_keys.push_back(*token_->FindHpkeKey(made->external()->uri()));
  pool.hpke_keys_made.push_back(clock_.Now() + std::chrono::hours(1));
  Write(pool);
  EXPECT_TRUE((*source)->changed());
  hsm_.Remove();
  const std::vector<RefusedPart> refused = (*source)->Reload();
  ASSERT_EQ(refused.size(), 1u);
  EXPECT_EQ(refused[0].part, Part::kPool);
  EXPECT_EQ((*source)->dates().hpke_key_made, provider_.now());
  hsm_.PutBack();
  EXPECT_TRUE(Eventually([&] { return (*source)->Reload().empty(); }));
  EXPECT_EQ((*source)->dates().hpke_key_made, clock_.Now() + std::chrono::hours(1));
  const absl::Status joined = Join(*(*source)->authority());
  EXPECT_TRUE(joined.ok()) << joined << refusals_.last_detail();
}

}  // namespace
}  // namespace nark::keymanager
