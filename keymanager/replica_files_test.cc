#include "keymanager/replica_files.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <memory>
#include <string>
#include <vector>

#include "common/base/status.h"
#include "common/base/storage.h"
#include "common/object/pool_folder.h"
#include "keymanager/replica_fixture.h"
#include "keymanager/testing.h"

namespace nark::keymanager {
namespace {

using namespace std::string_literals;
using std::chrono::milliseconds;
using std::chrono::seconds;

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

}  // namespace
}  // namespace nark::keymanager
