// Issuer, provider, pool, session and voucher in their folders.

#include <filesystem>
#include <functional>
#include <string>
#include <tuple>
#include <vector>

#include "common/base/status.h"
#include "common/base/storage.h"
#include "common/object/deny_list.h"
#include "common/object/file.h"
#include "common/object/sealed_session.h"
#include "common/object/sender_file.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "narkctl/folder.h"
#include "narkctl/issuer.h"
#include "narkctl/pool.h"
#include "narkctl/provider.h"
#include "narkctl/session.h"
#include "narkctl/testing.h"
#include "narkctl/voucher.h"

namespace nark::narkctl {
namespace {

using std::chrono::days;
using std::chrono::hours;
using std::chrono::minutes;
using ::testing::HasSubstr;

std::string SigningKeyFile(const std::string& pool) {
  return std::filesystem::path(*SigningCertificateFile(pool)).replace_extension(".key");
}

int ModeOf(const std::string& path) {
  return static_cast<int>(std::filesystem::status(path).permissions());
}

class DeskTest : public ::testing::Test {
 protected:
  RevocationList Revocations() {
    return *RevocationList::FromPem(*ReadFile(desk_.issuer() + "/crl.pem"));
  }
  Certificate Issuer() { return *ReadCertificate(desk_.issuer() + "/issuer.pem"); }
  absl::Status Judge(const std::string& certificate, Timestamp at) {
    RevocationList list = Revocations();
    return VerifyChain({*ReadCertificate(certificate)}, Issuer(),
                       {.at = at, .leaf_role = CertificateRole::kSecureSpace, .revocations = &list})
        .status();
  }
  absl::StatusOr<SessionName> Create(const SessionFlags& flags) {
    ASSIGN_OR_RETURN(const VerifiedSession made, CreateSession(flags, desk_.now(), desk_.random()));
    return made.name();
  }
  absl::Status CreateStatus(const SessionFlags& flags) { return Create(flags).status(); }
  PoolChange Change(std::vector<std::string> reseal) {
    return {desk_.pool(), desk_.provider(), std::move(reseal)};
  }
  absl::StatusOr<Digest> Rotate(std::vector<std::string> reseal) {
    return RotatePool(Change(std::move(reseal)), minutes(10), desk_.now(), desk_.random());
  }

  Desk desk_;
};

using IssuerTest = DeskTest;
using ProviderFolderTest = DeskTest;
using PoolTest = DeskTest;
using SessionTest = DeskTest;
using VoucherIssueTest = DeskTest;

TEST_F(IssuerTest, CertifiesAndRevokes) {
  const std::string request = desk_.PathOf("request.pem"), out = desk_.PathOf("card.pem");
  const Digest id = desk_.WriteRequest(request);
  absl::StatusOr<Digest> certified = Certify(desk_.issuer(), {request, out}, desk_.now());
  ASSERT_TRUE(certified.ok()) << certified.status();
  EXPECT_EQ(*certified, id);
  EXPECT_TRUE(Judge(out, desk_.now()).ok());

  absl::StatusOr<Digest> revoked = Revoke(desk_.issuer(), out, desk_.now());
  ASSERT_TRUE(revoked.ok()) << revoked.status();
  EXPECT_EQ(*revoked, id);
  EXPECT_EQ(Judge(out, desk_.now()).code(), absl::StatusCode::kUnauthenticated);
}

TEST_F(IssuerTest, KeepsWhatWasRevokedBefore) {
  std::vector<std::string> certificates;
  for (int i = 0; i < 3; ++i) {
    const std::string request = desk_.PathOf("request.pem");
    certificates.push_back(desk_.PathOf(std::to_string(i)));
    desk_.WriteRequest(request);
    ASSERT_TRUE(Certify(desk_.issuer(), {request, certificates.back()}, desk_.now()).ok());
  }
  ASSERT_TRUE(Revoke(desk_.issuer(), certificates[0], desk_.now()).ok());
  ASSERT_TRUE(Revoke(desk_.issuer(), certificates[1], desk_.now()).ok());
  ASSERT_TRUE(Revoke(desk_.issuer(), certificates[1], desk_.now() + days(40)).ok());
  EXPECT_EQ(Revocations().serials_hex().size(), 2u);
  EXPECT_EQ(Revocations().number(), 4u);
  const Timestamp later = desk_.now() + days(40);
  EXPECT_FALSE(Judge(certificates[0], later).ok());
  EXPECT_FALSE(Judge(certificates[1], later).ok());
  EXPECT_TRUE(Judge(certificates[2], later).ok());
  // Past its next update a list stops joins, retryably.
  EXPECT_EQ(Judge(certificates[2], desk_.now() + days(71)).code(), absl::StatusCode::kUnavailable);
}

TEST_F(IssuerTest, RefusesAnothersCertificateAndList) {
  Desk other;
  const std::string request = desk_.PathOf("request.pem"), out = desk_.PathOf("card.pem");
  desk_.WriteRequest(request);
  ASSERT_TRUE(Certify(other.issuer(), {request, out}, desk_.now()).ok());
  absl::Status status = Revoke(desk_.issuer(), out, desk_.now()).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kUnauthenticated);
  EXPECT_THAT(Std(status.message()), HasSubstr("card.pem"));

  ASSERT_TRUE(Certify(desk_.issuer(), {request, out}, desk_.now()).ok());
  std::filesystem::copy_file(other.issuer() + "/crl.pem", desk_.issuer() + "/crl.pem",
                             std::filesystem::copy_options::overwrite_existing);
  status = Certify(desk_.issuer(), {request, out}, desk_.now()).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kUnauthenticated);
  status = Revoke(desk_.issuer(), out, desk_.now()).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kUnauthenticated);
  EXPECT_THAT(Std(status.message()), HasSubstr("crl.pem"));
}

TEST_F(IssuerTest, RevokesEveryCertificateOfASecureSpace) {
  const std::string request = desk_.PathOf("request.pem");
  desk_.WriteRequest(request);
  const std::string first = desk_.PathOf("first.pem"), second = desk_.PathOf("second.pem");
  ASSERT_TRUE(Certify(desk_.issuer(), {request, first}, desk_.now()).ok());
  ASSERT_TRUE(Certify(desk_.issuer(), {request, second}, desk_.now()).ok());
  ASSERT_TRUE(Revoke(desk_.issuer(), first, desk_.now()).ok());
  EXPECT_FALSE(Judge(first, desk_.now()).ok());
  EXPECT_FALSE(Judge(second, desk_.now()).ok());
  absl::Status again = Certify(desk_.issuer(), {request, first}, desk_.now()).status();
  EXPECT_EQ(again.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(Std(again.message()), HasSubstr("was revoked"));
}

TEST_F(IssuerTest, VouchesForTheClassItNamesOnly) {
  const std::string request = desk_.PathOf("request.pem"), out = desk_.PathOf("card.pem");
  desk_.WriteRequest(request);
  absl::Status status =
      Certify(desk_.issuer(), {request, out, v1::ASSURANCE_CLASS_CARD}, desk_.now()).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(Std(status.message()), HasSubstr("claims the class emulated, not card"));
  EXPECT_FALSE(std::filesystem::exists(out));
}

TEST_F(IssuerTest, KeepsItsKeyToItself) {
  EXPECT_EQ(ModeOf(desk_.issuer()), 0700);
  EXPECT_EQ(ModeOf(desk_.issuer() + "/key.pem"), 0600);
}

TEST_F(IssuerTest, RenewsItsListWithoutRevokingAnybody) {
  const std::string request = desk_.PathOf("request.pem"), out = desk_.PathOf("card.pem");
  desk_.WriteRequest(request);
  ASSERT_TRUE(Certify(desk_.issuer(), {request, out}, desk_.now()).ok());
  ASSERT_TRUE(Revoke(desk_.issuer(), out, desk_.now()).ok());
  const RevocationList before = Revocations();
  const absl::StatusOr<Timestamp> until = RenewRevocations(desk_.issuer(), desk_.now() + days(7));
  ASSERT_TRUE(until.ok()) << until.status();
  const RevocationList after = Revocations();
  EXPECT_EQ(after.serials_hex(), before.serials_hex());
  EXPECT_GT(after.number(), before.number());
  EXPECT_EQ(after.next_update(), *until);
  EXPECT_EQ(after.next_update(), before.next_update() + days(7));
}

TEST_F(ProviderFolderTest, KeepsItsKeysToItself) {
  size_t keys = 0;
  for (const auto& entry : std::filesystem::recursive_directory_iterator(desk_.provider())) {
    const std::string name = entry.path().filename();
    if (entry.is_directory()) {
      EXPECT_EQ(ModeOf(entry.path()), 0700) << entry.path();
    }
    if (name == "key.pem" || name == "tls-key.pem") {
      EXPECT_EQ(ModeOf(entry.path()), 0600) << entry.path();
      ++keys;
    }
  }
  EXPECT_EQ(keys, 9u);  // root, six roles, TLS CA, the refund desk's TLS key
}

TEST_F(ProviderFolderTest, IsNeverFoundedTwice) {
  for (const std::string& folder : {desk_.provider(), desk_.pool(), desk_.issuer()}) {
    const Bytes before = *ReadFile(desk_.provider() + "/root.pem");
    EXPECT_EQ(InitProvider(folder, "x", desk_.now()).status().code(),
              absl::StatusCode::kAlreadyExists);
    EXPECT_EQ(InitIssuer(folder, "x", desk_.now()).code(), absl::StatusCode::kAlreadyExists);
    EXPECT_EQ(InitPool(folder, desk_.provider(), desk_.now(), desk_.random()).status().code(),
              absl::StatusCode::kAlreadyExists);
    EXPECT_EQ(*ReadFile(desk_.provider() + "/root.pem"), before);
  }
}

TEST_F(ProviderFolderTest, IsFoundedInAnEmptyFolderToo) {
  const std::string folder = desk_.PathOf("empty");
  std::filesystem::create_directory(folder);
  ASSERT_TRUE(InitProvider(folder + "/", "x", desk_.now()).ok());
  EXPECT_EQ(ModeOf(folder), 0700);
  EXPECT_TRUE(ReadProviderRoot(folder).ok());
}

TEST_F(ProviderFolderTest, LeavesNothingBehindWhereItFails) {
  const auto count = [&] {
    size_t n = 0;
    for (const auto& entry : std::filesystem::directory_iterator(desk_.PathOf("."))) {
      n += entry.exists();
    }
    return n;
  };
  const size_t before = count();
  std::filesystem::remove(desk_.provider() + "/tls/key.pem");
  EXPECT_FALSE(InitPool(desk_.PathOf("p"), desk_.provider(), desk_.now(), desk_.random()).ok());
  EXPECT_FALSE(
      MakeReplica(desk_.PathOf("none"), desk_.provider(), desk_.PathOf("p"), desk_.now()).ok());
  EXPECT_EQ(count(), before);
}

TEST_F(ProviderFolderTest, WorksWithoutItsRootKey) {
  std::filesystem::remove_all(desk_.provider() + "/root");
  const std::string pool = desk_.PathOf("p2");
  EXPECT_TRUE(InitPool(pool, desk_.provider(), desk_.now(), desk_.random()).ok());
  EXPECT_TRUE(Create(desk_.GoodSession("s")).ok());
  EXPECT_TRUE(IssueVoucher(desk_.GoodVoucher("s"), desk_.now(), desk_.random()).ok());
  EXPECT_TRUE(Deny(desk_.provider(), {Digest{}}, desk_.PathOf("deny"), desk_.now()).ok());
  EXPECT_TRUE(
      RotatePool({pool, desk_.provider(), {}}, minutes(10), desk_.now(), desk_.random()).ok());
}

TEST_F(ProviderFolderTest, KeepsWhomItDeniedBefore) {
  const std::string out = desk_.PathOf("deny.nark");
  Digest a{}, b{};
  b[0] = 1;
  EXPECT_EQ(*Deny(desk_.provider(), {a}, out, desk_.now()), 1u);
  EXPECT_EQ(*Deny(desk_.provider(), {b}, out, desk_.now()), 2u);
  EXPECT_EQ(*Deny(desk_.provider(), {}, out, desk_.now() + days(1)), 2u);
  VerifiedDenyList list = *VerifyDenyList(ReadNarkFile(out, v1::NarkFile::kDenyList)->deny_list(),
                                          *ReadProviderRoot(desk_.provider()), desk_.now());
  EXPECT_TRUE(list.Denies(a));
  EXPECT_TRUE(list.Denies(b));
  EXPECT_EQ(list.next_update, desk_.now() + days(1) + kDenyListDays);
}

// As who renews it into a file of another name means it.
TEST_F(ProviderFolderTest, AListInANewFileReadmitsNobody) {
  Digest a{}, b{};
  b[0] = 1;
  ASSERT_EQ(*Deny(desk_.provider(), {a}, DenyListOf(desk_.provider()), desk_.now()), 1u);
  EXPECT_EQ(*Deny(desk_.provider(), {b}, desk_.PathOf("deny.new"), desk_.now()), 2u);
  EXPECT_EQ(*Deny(desk_.provider(), {}, desk_.PathOf("deny.newer"), desk_.now()), 1u);
}

TEST_F(ProviderFolderTest, RefusesToExtendAnothersDenyList) {
  Desk other;
  const std::string out = desk_.PathOf("deny.nark");
  ASSERT_TRUE(Deny(other.provider(), {Digest{}}, out, desk_.now()).ok());
  const Bytes before = *ReadFile(out);
  EXPECT_EQ(Deny(desk_.provider(), {}, out, desk_.now()).status().code(),
            absl::StatusCode::kUnauthenticated);
  EXPECT_EQ(*ReadFile(out), before);
}

TEST_F(ProviderFolderTest, RefusesAnExpiredRole) {
  const Timestamp later = desk_.now() + kRoleYears + days(1);
  absl::Status status =
      ReadRole(desk_.provider(), CertificateRole::kTill, *ReadProviderRoot(desk_.provider()), later)
          .status();
  EXPECT_EQ(status.code(), absl::StatusCode::kUnauthenticated);
  EXPECT_THAT(Std(status.message()), HasSubstr("till/certificate.pem"));
}

TEST_F(PoolTest, RotatesAndSealsSessionsToBothKeys) {
  ASSERT_TRUE(Create(desk_.GoodSession("s")).ok());
  const std::string file = desk_.PathOf("s.nark");
  const VerifiedSession before = *ReadSession(file, desk_.now());
  PoolFolder old_pool = *LoadPoolFolder(desk_.pool(), desk_.now());
  absl::StatusOr<Digest> key = Rotate({file});
  ASSERT_TRUE(key.ok()) << key.status();
  PoolFolder pool = *LoadPoolFolder(desk_.pool(), desk_.now());
  ASSERT_EQ(pool.hpke_keys.size(), 2u);
  const VerifiedSession after = *ReadSession(file, desk_.now());
  EXPECT_EQ(after.terms_identity(), before.terms_identity());
  const SecretBytes seed = *OpenSealedSession(before, old_pool.hpke_keys);
  for (const HpkePrivateKey& each : pool.hpke_keys) {
    EXPECT_TRUE(*OpenSealedSession(after, std::span(&each, 1)) == seed);
  }
}

TEST_F(PoolTest, ChangesNothingWhereOneSessionCannotBeResealed) {
  ASSERT_TRUE(Create(desk_.GoodSession("s")).ok());
  Desk other;
  ASSERT_TRUE(CreateSession(other.GoodSession("s"), desk_.now(), desk_.random()).ok());
  const std::string mine = desk_.PathOf("s.nark"), foreign = other.PathOf("s.nark");
  const Bytes session = *ReadFile(mine), manifest = *ReadFile(desk_.pool() + "/manifest.nark");
  absl::Status status = Rotate({mine, foreign}).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(Std(status.message()), HasSubstr("another provider"));
  EXPECT_EQ(*ReadFile(mine), session);
  EXPECT_EQ(*ReadFile(desk_.pool() + "/manifest.nark"), manifest);
}

TEST_F(PoolTest, GivesAReplicaASigningKeyOfItsOwn) {
  const std::string out = desk_.PathOf("replica");
  ASSERT_TRUE(MakeReplica(desk_.pool(), desk_.provider(), out, desk_.now()).ok());
  PoolFolder a = *LoadPoolFolder(desk_.pool(), desk_.now());
  PoolFolder b = *LoadPoolFolder(out, desk_.now());
  EXPECT_EQ(a.hpke_keys[0].public_key(), b.hpke_keys[0].public_key());
  EXPECT_TRUE(a.challenge_keys[0].key == b.challenge_keys[0].key);
  EXPECT_NE(a.signing.key.public_key().id(), b.signing.key.public_key().id());
  EXPECT_NE(a.tls_certificates_pem, b.tls_certificates_pem);
}

TEST_F(PoolTest, BringsAReplicaUpToDateInPlace) {
  const std::string out = desk_.PathOf("replica");
  ASSERT_TRUE(MakeReplica(desk_.pool(), desk_.provider(), out, desk_.now()).ok());
  ASSERT_TRUE(Rotate({}).ok());
  EXPECT_EQ(LoadPoolFolder(out, desk_.now())->hpke_keys.size(), 1u);
  ASSERT_TRUE(MakeReplica(desk_.pool(), desk_.provider(), out, desk_.now()).ok());
  EXPECT_EQ(LoadPoolFolder(out, desk_.now())->hpke_keys.size(), 2u);
  EXPECT_FALSE(MakeReplica(desk_.pool(), desk_.provider(), desk_.pool(), desk_.now()).ok());
  Desk other;
  EXPECT_FALSE(MakeReplica(desk_.pool(), desk_.provider(), other.pool(), desk_.now()).ok());
}

// What is changed there, neither the pool nor its other replicas would know of.
TEST_F(PoolTest, IsNotChangedInAReplicasFolder) {
  ASSERT_TRUE(Create(desk_.GoodSession("s")).ok());
  const std::string file = desk_.PathOf("s.nark"), out = desk_.PathOf("replica");
  ASSERT_TRUE(MakeReplica(desk_.pool(), desk_.provider(), out, desk_.now()).ok());
  const PoolChange change = {out, desk_.provider(), {file}};
  const Bytes session = *ReadFile(file), manifest = *ReadFile(out + "/manifest.nark");
  for (const absl::Status& status :
       {RotatePool(change, minutes(10), desk_.now(), desk_.random()).status(),
        RetireKeys(change, hours(1), desk_.now() + hours(48), desk_.random()).status(),
        RevokeReplica(change, out, desk_.now(), desk_.random()).status()}) {
    EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition) << status;
    EXPECT_THAT(Std(status.message()), HasSubstr(out + " is a replica's"));
    EXPECT_THAT(Std(status.message()), HasSubstr("'narkctl pool replica'"));
  }
  EXPECT_EQ(*ReadFile(file), session);
  EXPECT_EQ(*ReadFile(out + "/manifest.nark"), manifest);
}

TEST_F(PoolTest, MakesNoReplicaOfAnotherPool) {
  const std::string other = desk_.PathOf("other");
  ASSERT_TRUE(InitPool(other, desk_.provider(), desk_.now(), desk_.random()).ok());
  const Bytes manifest = *ReadFile(other + "/manifest.nark");
  const absl::Status status = MakeReplica(desk_.pool(), desk_.provider(), other, desk_.now());
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << status;
  EXPECT_THAT(Std(status.message()), HasSubstr(other + " is no replica's but a pool's"));
  EXPECT_EQ(*ReadFile(other + "/manifest.nark"), manifest);
}

TEST_F(PoolTest, MakesChallengesWithANewKeyOnlyLater) {
  ASSERT_TRUE(Rotate({}).ok());
  const PoolFolder pool = *LoadPoolFolder(desk_.pool(), desk_.now());
  ASSERT_EQ(pool.challenge_keys.size(), 2u);
  EXPECT_EQ(pool.challenge_keys[1].makes_from, desk_.now() + minutes(10));
}

TEST_F(PoolTest, RetiresOldKeysAndSealsSessionsToTheRest) {
  ASSERT_TRUE(Create(desk_.GoodSession("s")).ok());
  const std::string file = desk_.PathOf("s.nark");
  const PoolFolder old_pool = *LoadPoolFolder(desk_.pool(), desk_.now());
  const SecretBytes seed = *OpenSealedSession(*ReadSession(file, desk_.now()), old_pool.hpke_keys);
  const Timestamp day_one = desk_.now() + hours(24), day_two = desk_.now() + hours(48);
  // The only keys stay, however old.
  EXPECT_EQ(*RetireKeys(Change({file}), hours(1), day_one, desk_.random()), 0);
  ASSERT_TRUE(RotatePool(Change({file}), minutes(10), day_one, desk_.random()).ok());
  // The old challenge key is in use for ten minutes more.
  EXPECT_EQ(*RetireKeys(Change({file}), hours(1), day_one + minutes(5), desk_.random()), 1);
  EXPECT_EQ(*RetireKeys(Change({file}), hours(1), day_two, desk_.random()), 1);
  EXPECT_EQ(*RetireKeys(Change({file}), hours(1), day_two, desk_.random()), 0);
  const PoolFolder pool = *LoadPoolFolder(desk_.pool(), day_two);
  ASSERT_EQ(pool.hpke_keys.size(), 1u);
  EXPECT_EQ(pool.challenge_keys.size(), 1u);
  EXPECT_NE(pool.hpke_keys[0].public_key(), old_pool.hpke_keys[0].public_key());
  const VerifiedSession session = *ReadSession(file, day_two);
  EXPECT_TRUE(*OpenSealedSession(session, pool.hpke_keys) == seed);
  EXPECT_EQ(OpenSealedSession(session, old_pool.hpke_keys).status().code(),
            absl::StatusCode::kNotFound);
}

TEST_F(PoolTest, RevokesAReplicaAndCarriesItOn) {
  ASSERT_TRUE(Create(desk_.GoodSession("s")).ok());
  const std::string file = desk_.PathOf("s.nark"), replica = desk_.PathOf("replica");
  ASSERT_TRUE(MakeReplica(desk_.pool(), desk_.provider(), replica, desk_.now()).ok());
  const Digest stolen = LoadPoolFolder(replica, desk_.now())->signing.certificate.public_key().id();
  const Digest own =
      LoadPoolFolder(desk_.pool(), desk_.now())->signing.certificate.public_key().id();
  const VerifiedSession before = *ReadSession(file, desk_.now());
  EXPECT_FALSE(before.RevokesKeyManager(stolen));

  for (int i = 0; i < 2; ++i) {  // once more is the same
    const auto revoked = RevokeReplica(Change({file}), replica, desk_.now(), desk_.random());
    ASSERT_TRUE(revoked.ok()) << revoked.status();
    EXPECT_EQ(*revoked, stolen);
  }
  const auto expect_revoked = [&](const std::string& path, Timestamp now) {
    const VerifiedSession session = *ReadSession(path, now);
    EXPECT_TRUE(session.RevokesKeyManager(stolen)) << path;
    EXPECT_FALSE(session.RevokesKeyManager(own)) << path;
    EXPECT_EQ(session.descriptor().revoked_key_managers_size(), 1) << path;
  };
  expect_revoked(file, desk_.now());
  EXPECT_EQ(ReadSession(file, desk_.now())->terms_identity(), before.terms_identity());
  EXPECT_FALSE(LoadPoolFolder(desk_.pool(), desk_.now())->RevokesItself());

  ASSERT_TRUE(Rotate({file}).ok());
  expect_revoked(file, desk_.now());
  const Timestamp later = desk_.now() + days(2);
  ASSERT_GT(*RetireKeys(Change({file}), hours(24), later, desk_.random()), 0);
  expect_revoked(file, later);
  ASSERT_TRUE(Create(desk_.GoodSession("new")).ok());
  expect_revoked(desk_.PathOf("new.nark"), desk_.now());

  // The folder of that replica, brought up to date, has another key and knows of it.
  ASSERT_TRUE(MakeReplica(desk_.pool(), desk_.provider(), replica, desk_.now()).ok());
  const PoolFolder renewed = *LoadPoolFolder(replica, desk_.now());
  EXPECT_FALSE(renewed.RevokesItself());
  ASSERT_EQ(renewed.revoked.size(), 1u);
  EXPECT_EQ(renewed.revoked[0].key_id, stolen);
}

TEST_F(PoolTest, ReplacesItsOwnSigningKeyWhereThatIsRevoked) {
  ASSERT_TRUE(Create(desk_.GoodSession("s")).ok());
  const std::string file = desk_.PathOf("s.nark");
  const auto revoked = RevokeReplica(Change({file}), desk_.pool(), desk_.now(), desk_.random());
  ASSERT_TRUE(revoked.ok()) << revoked.status();
  const PoolFolder pool = *LoadPoolFolder(desk_.pool(), desk_.now());
  EXPECT_NE(pool.signing.certificate.public_key().id(), *revoked);
  EXPECT_FALSE(pool.RevokesItself());
  EXPECT_TRUE(ReadSession(file, desk_.now())->RevokesKeyManager(*revoked));
}

TEST_F(PoolTest, NamesSoManyRevokedAndForgetsOnlyTheExpired) {
  ASSERT_TRUE(Create(desk_.GoodSession("s")).ok());
  const std::string file = desk_.PathOf("s.nark");
  const SigningIdentity role = *ReadRole(desk_.provider(), CertificateRole::kPool,
                                         *ReadProviderRoot(desk_.provider()), desk_.now());
  PoolFolder pool = *LoadPoolFolder(desk_.pool(), desk_.now());
  for (int i = 0; i < kMaxRevokedKeyManagers; ++i) {
    pool.revoked.push_back({.key_id = Digest{static_cast<uint8_t>(i >> 8), static_cast<uint8_t>(i)},
                            .not_after = desk_.now() + days(1)});
  }
  ASSERT_TRUE(WritePoolFolder(desk_.pool(), pool, role, desk_.now()).ok());
  EXPECT_EQ(
      RevokeReplica(Change({file}), desk_.pool(), desk_.now(), desk_.random()).status().code(),
      absl::StatusCode::kResourceExhausted);
  pool.revoked[7].not_after = desk_.now() - hours(1);
  ASSERT_TRUE(WritePoolFolder(desk_.pool(), pool, role, desk_.now()).ok());
  const auto revoked = RevokeReplica(Change({file}), desk_.pool(), desk_.now(), desk_.random());
  ASSERT_TRUE(revoked.ok()) << revoked.status();
  const VerifiedSession session = *ReadSession(file, desk_.now());
  EXPECT_EQ(session.descriptor().revoked_key_managers_size(), kMaxRevokedKeyManagers);
  EXPECT_TRUE(session.RevokesKeyManager(*revoked));
  EXPECT_FALSE(session.RevokesKeyManager(pool.revoked[7].key_id));
  EXPECT_TRUE(session.RevokesKeyManager(pool.revoked[8].key_id));
}

TEST_F(PoolTest, RevokesNothingThatIsNoKeyManagerOfItsOwn) {
  ASSERT_TRUE(Create(desk_.GoodSession("s")).ok());
  Desk other;
  const std::string file = desk_.PathOf("s.nark");
  const Bytes session = *ReadFile(file), manifest = *ReadFile(desk_.pool() + "/manifest.nark");
  for (const std::string& path :
       {*SigningCertificateFile(other.pool()), desk_.provider() + "/till/certificate.pem",
        desk_.pool() + "/root.pem", SigningKeyFile(desk_.pool())}) {
    const absl::Status status =
        RevokeReplica(Change({file}), path, desk_.now(), desk_.random()).status();
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << status;
    EXPECT_THAT(Std(status.message()), HasSubstr(path));
  }
  const absl::Status nowhere =
      RevokeReplica(Change({}), desk_.pool(), desk_.now(), desk_.random()).status();
  EXPECT_THAT(Std(nowhere.message()), HasSubstr("--session"));
  EXPECT_EQ(*ReadFile(file), session);
  EXPECT_EQ(*ReadFile(desk_.pool() + "/manifest.nark"), manifest);
}

TEST_F(PoolTest, IsRefusedUnderAnotherProvider) {
  Desk other;
  SessionFlags flags = desk_.GoodSession("s");
  flags.pool = other.pool();
  absl::Status status = CreateStatus(flags);
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(Std(status.message()), HasSubstr("pool of another provider"));
  EXPECT_FALSE(
      RotatePool({other.pool(), desk_.provider(), {}}, minutes(10), desk_.now(), desk_.random())
          .ok());
}

TEST_F(SessionTest, WritesAPublicAndASecretFile) {
  SessionFlags flags = desk_.GoodSession("s");
  flags.key_managers = {"a:1", "b:2"};
  flags.refunds = "c:3";
  absl::StatusOr<SessionName> name = Create(flags);
  ASSERT_TRUE(name.ok()) << name.status();
  EXPECT_EQ(ModeOf(flags.out), 0644);
  EXPECT_EQ(ModeOf(flags.sender_outs[0]), 0600);
  VerifiedSession session = *ReadSession(flags.out, desk_.now());
  EXPECT_EQ(session.name(), *name);
  EXPECT_EQ(session.descriptor().key_managers_size(), 2);
  EXPECT_EQ(session.descriptor().refund_desks(0), "c:3");
  EXPECT_EQ(session.terms().adu_timing().duration_ms(), 1000u);
  EXPECT_EQ(session.terms().deadline_ms(), 10'000u);
  absl::StatusOr<OpenedSenderFile> sender = OpenSenderFile(
      ReadNarkFile(flags.sender_outs[0], v1::NarkFile::kSender)->sender(), desk_.now());
  ASSERT_TRUE(sender.ok()) << sender.status();
  EXPECT_EQ(sender->session.name(), *name);
  EXPECT_EQ(sender->sender_id, 1u);
}

TEST_F(SessionTest, NeverReplacesASessionUnasked) {
  SessionFlags flags = desk_.GoodSession("s");
  ASSERT_TRUE(Create(flags).ok());
  const Bytes before = *ReadFile(flags.out);
  EXPECT_EQ(CreateStatus(flags).code(), absl::StatusCode::kAlreadyExists);
  EXPECT_EQ(*ReadFile(flags.out), before);
  flags.existing = ExistingFiles::kReplace;
  EXPECT_TRUE(Create(flags).ok());
  EXPECT_NE(*ReadFile(flags.out), before);
}

TEST_F(SessionTest, ReadsEveryWayToCutAdus) {
  SessionFlags flags = desk_.GoodSession("s");
  flags.adu = "gop";
  EXPECT_TRUE(ParseSessionFlags(flags)->timing.gop());
  flags.adu = "500ms";
  EXPECT_EQ(ParseSessionFlags(flags)->timing.duration_ms(), 500u);
  flags.adu = "64KiB";
  EXPECT_EQ(ParseSessionFlags(flags)->timing.bytes(), 65536u);
  flags.adu = "1316";
  EXPECT_EQ(ParseSessionFlags(flags)->timing.bytes(), 1316u);
}

TEST_F(SessionTest, RefusesBadFlagsByName) {
  using Change = std::function<void(SessionFlags&)>;
  const std::pair<const char*, Change> cases[] = {
      {"--adu", [](auto& f) { f.adu = "often"; }},
      {"--adu", [](auto& f) { f.adu = "0s"; }},
      {"--adu", [](auto& f) { f.adu = "1us"; }},
      {"--adu", [](auto& f) { f.adu = "17MiB"; }},
      {"--adu", [](auto& f) { f.adu = "0"; }},
      {"--generator", [](auto& f) { f.generator = "rot13"; }},
      {"--allow-unbounded-grants", [](auto& f) { f.generator = "hkdf"; }},
      {"--allow-unbounded-grants", [](auto& f) { f.generator = "hash-chain"; }},
      {"--allow-unbounded-grants",
       [](auto& f) {
         f.generator = "logistic-map";
         f.insecure_parts = InsecureParts::kAllow;
       }},
      {"--generator logistic-map is insecure",
       [](auto& f) {
         f.generator = "logistic-map";
         f.unbounded_grants = UnboundedGrants::kAllow;
       }},
      {"--cipher des-cbc is insecure", [](auto& f) { f.cipher = "des-cbc"; }},
      {"--depth",
       [](auto& f) {
         f.generator = "hash-chain";
         f.unbounded_grants = UnboundedGrants::kAllow;
         f.depth = 21;
       }},
      {"--depth", [](auto& f) { f.depth = uint64_t{1} << 40; }},
      {"--depth", [](auto& f) { f.depth = 0; }},
      {"--depth", [](auto& f) { f.depth = 64; }},
      {"--cipher", [](auto& f) { f.cipher = "none"; }},
      {"--receipts", [](auto& f) { f.receipts = "paper"; }},
      {"--timeliness", [](auto& f) { f.timeliness = "unspecified"; }},
      {"--deadline", [](auto& f) { f.deadline = std::chrono::seconds(0); }},
      {"--release", [](auto& f) { f.release = "all"; }},
      {"--refund-cap", [](auto& f) { f.refund_cap = 101; }},
      {"--price-per-adu", [](auto& f) { f.price_per_adu = "0.001"; }},
      {"--currency", [](auto& f) { f.currency.clear(); }},
      {"--currency", [](auto& f) { f.price_per_adu.clear(); }},
      {"--sender-id", [](auto& f) { f.sender_ids = {"0"}; }},
      {"--transport", [](auto& f) { f.transport = "239.1.1.1:5000"; }},
      {"--transport", [](auto& f) { f.transport = "udp://239.1.1.1"; }},
      {"--transport", [](auto& f) { f.transport = "udp://10.0.0.1:5000"; }},
      {"--transport", [](auto& f) { f.transport = "file:"; }},
      {"key manager", [](auto& f) { f.key_managers = {"nowhere"}; }},
      {"refund desk", [](auto& f) { f.refunds = "nowhere"; }},
      {"title", [](auto& f) { f.title = std::string(201, 'x'); }},
      {"--sender-out", [](auto& f) { f.sender_outs = {f.out}; }},
  };
  for (const auto& [name, change] : cases) {
    SessionFlags flags = desk_.GoodSession("bad");
    change(flags);
    absl::Status status = CreateStatus(flags);
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << name << ": " << status;
    EXPECT_THAT(Std(status.message()), HasSubstr(name));
    EXPECT_FALSE(std::filesystem::exists(flags.out));
    EXPECT_FALSE(std::filesystem::exists(flags.sender_outs[0]));
  }
}

TEST_F(SessionTest, TakesAnUnboundedGeneratorWhereAskedFor) {
  SessionFlags flags = desk_.GoodSession("s");
  flags.generator = "hkdf";
  flags.unbounded_grants = UnboundedGrants::kAllow;
  EXPECT_TRUE(Create(flags).ok());
}

TEST_F(SessionTest, TakesInsecurePartsWhereAskedFor) {
  SessionFlags flags = desk_.GoodSession("s");
  flags.cipher = "des-cbc";
  flags.generator = "logistic-map";
  flags.unbounded_grants = UnboundedGrants::kAllow;
  flags.insecure_parts = InsecureParts::kAllow;
  ASSERT_TRUE(Create(flags).ok());
  EXPECT_EQ(ParseSessionFlags(flags)->depth, 20u) << "the most that the generator has";
  EXPECT_EQ(ParseSessionFlags(desk_.GoodSession("t"))->depth, 32u);
}

TEST_F(SessionTest, MakesAFileForEverySender) {
  SessionFlags flags = desk_.GoodSession("s");
  flags.sender_outs = {desk_.PathOf("a.sender"), desk_.PathOf("b.sender")};
  ASSERT_TRUE(Create(flags).ok());
  EXPECT_EQ(ReadSession(flags.out, desk_.now())->sender_ids(), (std::vector<uint32_t>{1, 2}));
  flags.existing = ExistingFiles::kReplace;
  flags.sender_ids = {"40", "4"};
  ASSERT_TRUE(Create(flags).ok());
  const auto first = OpenSenderFile(
      ReadNarkFile(flags.sender_outs[0], v1::NarkFile::kSender)->sender(), desk_.now());
  const auto second = OpenSenderFile(
      ReadNarkFile(flags.sender_outs[1], v1::NarkFile::kSender)->sender(), desk_.now());
  EXPECT_EQ(first->sender_id, 40u);
  EXPECT_EQ(second->sender_id, 4u);
  EXPECT_NE(first->signing_key.public_key().id(), second->signing_key.public_key().id());
  EXPECT_FALSE(first->roots.at(0) == second->roots.at(0));
}

class AddSenderTest : public DeskTest {
 protected:
  SessionFlags CreateSession(OpenToSenders open) {
    SessionFlags flags = desk_.GoodSession("s");
    flags.open_to_senders = open;
    EXPECT_TRUE(Create(flags).ok());
    return flags;
  }
  AddSenderFlags Flags(const SessionFlags& session, const std::string& id) {
    return {.session = session.out,
            .provider = desk_.provider(),
            .pool = desk_.pool(),
            .sender_id = id,
            .out = "",
            .sender_out = desk_.PathOf("added.sender")};
  }
};

TEST_F(AddSenderTest, ChangesTheDescriptorAndNotTheTerms) {
  const SessionFlags made = CreateSession(OpenToSenders::kYes);
  const VerifiedSession before = *ReadSession(made.out, desk_.now());
  const AddSenderFlags flags = Flags(made, "7");
  const auto added = AddSenderTo(flags, desk_.now());
  ASSERT_TRUE(added.ok()) << added.status();
  const VerifiedSession after = *ReadSession(made.out, desk_.now());
  EXPECT_EQ(after.sender_ids(), (std::vector<uint32_t>{1, 7}));
  EXPECT_EQ(after.terms_identity(), before.terms_identity());
  EXPECT_GT(after.descriptor().issue_time_us(), before.descriptor().issue_time_us());
  EXPECT_EQ(ModeOf(flags.sender_out), 0600);
  const auto sender =
      OpenSenderFile(ReadNarkFile(flags.sender_out, v1::NarkFile::kSender)->sender(), desk_.now());
  ASSERT_TRUE(sender.ok()) << sender.status();
  EXPECT_EQ(sender->sender_id, 7u);
  // Its key is the one that key managers derive.
  const auto first = OpenSenderFile(
      ReadNarkFile(made.sender_outs[0], v1::NarkFile::kSender)->sender(), desk_.now());
  EXPECT_FALSE(sender->roots.at(0) == first->roots.at(0));
}

TEST_F(AddSenderTest, WritesTheLaterSessionElsewhereWhereAsked) {
  const SessionFlags made = CreateSession(OpenToSenders::kYes);
  const Bytes before = *ReadFile(made.out);
  AddSenderFlags flags = Flags(made, "7");
  flags.out = desk_.PathOf("later.nark");
  ASSERT_TRUE(AddSenderTo(flags, desk_.now()).ok());
  EXPECT_EQ(*ReadFile(made.out), before);
  EXPECT_EQ(ReadSession(flags.out, desk_.now())->sender_ids(), (std::vector<uint32_t>{1, 7}));
}

TEST_F(AddSenderTest, RefusesAndLeavesNothing) {
  const SessionFlags closed = CreateSession(OpenToSenders::kNo);
  const Bytes before = *ReadFile(closed.out);
  const std::tuple<std::string, absl::StatusCode, std::string> cases[] = {
      {"7", absl::StatusCode::kInvalidArgument, "open to senders"},
      {"1", absl::StatusCode::kAlreadyExists, "sender 1 already"},
      {"0", absl::StatusCode::kInvalidArgument, "--sender-id"},
      {"seven", absl::StatusCode::kInvalidArgument, "--sender-id"},
  };
  for (const auto& [id, code, message] : cases) {
    const AddSenderFlags flags = Flags(closed, id);
    const absl::Status status = AddSenderTo(flags, desk_.now()).status();
    EXPECT_EQ(status.code(), code) << status;
    EXPECT_THAT(Std(status.message()), HasSubstr(message));
    EXPECT_FALSE(std::filesystem::exists(flags.sender_out));
  }
  Desk other;
  AddSenderFlags flags = Flags(closed, "1");
  flags.provider = other.provider();
  flags.pool = other.pool();
  EXPECT_THAT(Std(AddSenderTo(flags, desk_.now()).status().message()),
              HasSubstr("another provider"));
  EXPECT_EQ(*ReadFile(closed.out), before);
}

TEST_F(VoucherIssueTest, PricesEveryStreamBought) {
  SessionFlags flags = desk_.GoodSession("s");
  flags.sender_outs = {desk_.PathOf("a.sender"), desk_.PathOf("b.sender")};
  ASSERT_TRUE(Create(flags).ok());
  VoucherFlags voucher = desk_.GoodVoucher("s");
  const auto both = IssueVoucher(voucher, desk_.now(), desk_.random());
  ASSERT_TRUE(both.ok()) << both.status();
  EXPECT_EQ(both->price().amount_minor(), 100u);  // 2 senders, 10 ADUs, 5 cents
  voucher.senders = {"2"};
  EXPECT_EQ(IssueVoucher(voucher, desk_.now(), desk_.random())->price().amount_minor(), 50u);
}

TEST_F(VoucherIssueTest, SellsForOneSecureSpace) {
  ASSERT_TRUE(Create(desk_.GoodSession("s")).ok());
  VoucherFlags flags = desk_.GoodVoucher("s");
  flags.count = 3;
  flags.senders = {"1"};
  flags.groups = {std::string(32, '0')};
  flags.expires = hours(1);
  flags.lease = std::chrono::seconds(10);
  flags.payer = "invoice 7";
  absl::StatusOr<v1::Voucher> voucher = IssueVoucher(flags, desk_.now(), desk_.random());
  ASSERT_TRUE(voucher.ok()) << voucher.status();
  EXPECT_EQ(voucher->price().amount_minor(), 15u);
  EXPECT_EQ(voucher->policy().expires_us(), ToMicros(desk_.now() + hours(1)));
  EXPECT_EQ(voucher->policy().lease_ms(), 10'000u);
  EXPECT_EQ(voucher->payer_reference(), "invoice 7");
  absl::StatusOr<VerifiedVoucher> verified =
      VerifyVoucher(ReadNarkFile(flags.out, v1::NarkFile::kVoucher)->voucher(),
                    *ReadSession(flags.session, desk_.now()), desk_.now());
  EXPECT_TRUE(verified.ok()) << verified.status();
}

TEST_F(VoucherIssueTest, RefusesBadFlagsByName) {
  ASSERT_TRUE(Create(desk_.GoodSession("s")).ok());
  using Change = std::function<void(VoucherFlags&)>;
  const std::pair<const char*, Change> cases[] = {
      {"--secure-space", [](auto& f) { f.secure_space = "abc"; }},
      {"--secure-space", [](auto& f) { f.secure_space = std::string(64, 'g'); }},
      {"--range", [](auto& f) { f.range = "all"; }},
      {"range", [](auto& f) { f.range = "9-1"; }},
      {"range", [](auto& f) { f.range = "0-4294967296"; }},
      {"--count", [](auto& f) { f.count = 0; }},
      {"--sender", [](auto& f) { f.senders = {"one"}; }},
      {"sender 2", [](auto& f) { f.senders = {"2"}; }},
      {"--group", [](auto& f) { f.groups = {"friends"}; }},
      {"--price", [](auto& f) { f.price = "cheap"; }},
      {"--currency", [](auto& f) { f.currency = "EUR"; }},
      {"payer", [](auto& f) { f.payer = std::string(201, 'x'); }},
  };
  for (const auto& [name, change] : cases) {
    VoucherFlags flags = desk_.GoodVoucher("s");
    change(flags);
    absl::Status status = IssueVoucher(flags, desk_.now(), desk_.random()).status();
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << name << ": " << status;
    EXPECT_THAT(Std(status.message()), HasSubstr(name));
    EXPECT_FALSE(std::filesystem::exists(flags.out));
  }
}

TEST_F(VoucherIssueTest, SellsOnlyItsOwnSessions) {
  Desk other;
  ASSERT_TRUE(CreateSession(other.GoodSession("s"), desk_.now(), desk_.random()).ok());
  VoucherFlags flags = desk_.GoodVoucher("s");
  flags.session = other.PathOf("s.nark");
  absl::Status status = IssueVoucher(flags, desk_.now(), desk_.random()).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(Std(status.message()), HasSubstr("another provider"));
}

TEST_F(VoucherIssueTest, RefusesAnExpiredSession) {
  ASSERT_TRUE(Create(desk_.GoodSession("s")).ok());
  absl::Status status =
      ReadSession(desk_.PathOf("s.nark"), desk_.now() + kRoleYears + days(1)).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kUnauthenticated);
  EXPECT_THAT(Std(status.message()), HasSubstr("s.nark"));
  EXPECT_THAT(Std(status.message()), HasSubstr("expired"));
}

}  // namespace
}  // namespace nark::narkctl
