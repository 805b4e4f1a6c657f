#include <gtest/gtest.h>

#include "common/base/status.h"
#include "common/crypto/odd_certificate.h"
#include "common/object/envelope.h"
#include "nark/v1/attestation.pb.h"
#include "securespace/testing.h"

namespace nark::securespace {
namespace {

using Spoil = std::function<void(v1::Grant&)>;

void ExpectRefusal(const absl::Status& status, absl::StatusCode code, std::string_view reason) {
  EXPECT_EQ(status.code(), code) << status;
  EXPECT_EQ(ReasonOf(status), reason) << status;
}

v1::AttestRequest RequestOf(TestWorld& world) {
  return AttestRequestFor(world.session.descriptor(), world.Voucher(0, 9));
}

TEST(AttestTest, StatesWhatWasAsked) {
  TestWorld world;
  v1::AttestRequest request = RequestOf(world);
  absl::StatusOr<v1::AttestResponse> response = world.space().Attest(request);
  ASSERT_TRUE(response.ok()) << response.status();
  ASSERT_TRUE(VerifyEnvelope(response->evidence(), payload_type::kEvidence,
                             world.identity.attestation_key.public_key())
                  .ok());
  absl::StatusOr<v1::Evidence> evidence = PayloadOf<v1::Evidence>(response->evidence(), "evidence");
  ASSERT_TRUE(evidence.ok());
  EXPECT_EQ(evidence->secure_space_id(), ToText(world.identity.id));
  EXPECT_EQ(Serialise(evidence->session()), Serialise(world.session.name().ToProto()));
  EXPECT_EQ(evidence->voucher_identity(), ToText(ObjectIdentity(request.voucher())));
  EXPECT_EQ(evidence->terms_identity(), ToText(world.session.session().terms_identity()));
  EXPECT_EQ(evidence->challenge_identity(),
            ToText(ObjectIdentity(payload_type::kChallenge, AsBytes(request.challenge().body()))));
  EXPECT_EQ(evidence->counter(), 0u);
  EXPECT_EQ(evidence->contact_sequence(), 0u);
  ASSERT_EQ(response->secure_space_certificates_size(), 1);
  EXPECT_EQ(response->secure_space_certificates(0), ToText(world.identity.certificate.der()));
}

TEST(AttestTest, MakesAFreshKeyForEachExchange) {
  TestWorld world;
  v1::AttestRequest request = RequestOf(world);
  v1::Evidence first = *PayloadOf<v1::Evidence>(world.space().Attest(request)->evidence(), "e");
  v1::Evidence second = *PayloadOf<v1::Evidence>(world.space().Attest(request)->evidence(), "e");
  EXPECT_NE(first.hpke_public_key(), second.hpke_public_key());
}

TEST(AttestTest, NeedsACertificate) {
  TestWorld world;
  auto bare =
      Emulation::Open(KeysOf(world.identity), {}, {world.storage, world.clock, world.random});
  ASSERT_TRUE(bare.ok());
  EXPECT_TRUE(absl::IsFailedPrecondition((*bare)->Attest(RequestOf(world)).status()));
}

TEST(AttestTest, SendsAVoucherOfAnotherSecureSpace) {
  TestWorld world;
  TestSecureSpace other = world.provider.MakeSecureSpace();
  v1::SignedEnvelope voucher = world.provider.MakeVoucher(world.session, other.id, 0, 9);
  EXPECT_TRUE(world.space().Attest(AttestRequestFor(world.session.descriptor(), voucher)).ok());
  // The key manager refuses it; one that does not is not believed.
  ExpectRefusal(world.Join(voucher).status(), absl::StatusCode::kUnauthenticated, "GRANT_REFUSED");
}

TEST(AttestTest, RefusesWhatAnotherProviderSold) {
  TestWorld world;
  TestProvider stranger(kTestTime, 2);
  TestSession foreign = stranger.MakeSession();
  EXPECT_FALSE(world.space()
                   .Attest(AttestRequestFor(world.session.descriptor(),
                                            stranger.MakeVoucher(foreign, world.identity.id, 0, 9)))
                   .ok());
}

TEST(AttestTest, RefusesADescriptorWithAnyByteChanged) {
  TestWorld world;
  v1::AttestRequest good = RequestOf(world);
  for (size_t at = 0; at < good.session_descriptor().payload().size(); at += 37) {
    v1::AttestRequest request = good;
    (*request.mutable_session_descriptor()->mutable_payload())[at] ^= 1;
    EXPECT_FALSE(world.space().Attest(request).ok()) << at;
  }
  for (size_t at = 0; at < good.voucher().payload().size(); at += 7) {
    v1::AttestRequest request = good;
    (*request.mutable_voucher()->mutable_payload())[at] ^= 1;
    EXPECT_FALSE(world.space().Attest(request).ok()) << at;
  }
}

TEST(AttestTest, RefusesAnEmptyOrHugeChallenge) {
  TestWorld world;
  v1::AttestRequest request = RequestOf(world);
  request.mutable_challenge()->clear_body();
  EXPECT_TRUE(absl::IsInvalidArgument(world.space().Attest(request).status()));
  request.mutable_challenge()->set_body(std::string(5000, 'x'));
  EXPECT_TRUE(absl::IsInvalidArgument(world.space().Attest(request).status()));
}

TEST(InstallGrantTest, NeedsAnExchange) {
  TestWorld world;
  v1::InstallGrantRequest request;
  *request.mutable_session() = world.session.name().ToProto();
  ExpectRefusal(world.space().InstallGrant(request).status(), absl::StatusCode::kFailedPrecondition,
                "NO_EXCHANGE");
}

TEST(InstallGrantTest, RefusesEveryFieldThatDiffersFromWhatWasAsked) {
  const std::vector<std::pair<std::string, Spoil>> lies = {
      {"grant id", [](v1::Grant& g) { (*g.mutable_grant_id())[0] ^= 1; }},
      {"provider", [](v1::Grant& g) { (*g.mutable_session()->mutable_provider())[0] ^= 1; }},
      {"session", [](v1::Grant& g) { (*g.mutable_session()->mutable_session_id())[0] ^= 1; }},
      {"voucher", [](v1::Grant& g) { (*g.mutable_voucher_identity())[0] ^= 1; }},
      {"secure space", [](v1::Grant& g) { (*g.mutable_secure_space_id())[0] ^= 1; }},
      {"terms", [](v1::Grant& g) { (*g.mutable_terms_identity())[0] ^= 1; }},
      {"wider range", [](v1::Grant& g) { g.mutable_policy()->mutable_range()->set_last(99); }},
      {"count", [](v1::Grant& g) { g.mutable_policy()->set_count(5); }},
      {"expiry", [](v1::Grant& g) { g.mutable_policy()->set_expires_us(5); }},
      {"groups", [](v1::Grant& g) { g.add_group_ids(std::string(16, 'g')); }},
      {"contact", [](v1::Grant& g) { g.set_contact_sequence(1); }},
      {"mode", [](v1::Grant& g) { g.set_release_mode(v1::RELEASE_MODE_PLAINTEXT); }},
      {"no seeds", [](v1::Grant& g) { g.clear_seeds(); }},
      {"no nodes", [](v1::Grant& g) { g.mutable_seeds(0)->clear_nodes(); }},
      {"a node less", [](v1::Grant& g) { g.mutable_seeds(0)->mutable_nodes()->RemoveLast(); }},
      {"a node twice",
       [](v1::Grant& g) { *g.mutable_seeds(0)->add_nodes() = g.seeds(0).nodes(0); }},
      {"the root",
       [](v1::Grant& g) {
         g.mutable_seeds(0)->mutable_nodes(0)->set_level(0);
         g.mutable_seeds(0)->mutable_nodes(0)->set_prefix(0);
       }},
      {"a node that is none",
       [](v1::Grant& g) { g.mutable_seeds(0)->mutable_nodes(0)->set_level(33); }},
      {"a prefix that is none",
       [](v1::Grant& g) { g.mutable_seeds(0)->mutable_nodes(0)->set_prefix(~uint64_t{0}); }},
      {"a short key", [](v1::Grant& g) { g.mutable_seeds(0)->mutable_nodes(0)->set_key("x"); }},
      {"seeds twice", [](v1::Grant& g) { *g.add_seeds() = v1::SenderSeeds(g.seeds(0)); }},
      {"another sender", [](v1::Grant& g) { g.mutable_seeds(0)->set_sender_id(7); }},
      {"another sub-session", [](v1::Grant& g) { g.mutable_seeds(0)->set_sub_session(7); }},
      {"issued before its signer", [](v1::Grant& g) { g.set_issue_time_us(1); }},
      {"issued after its signer", [](v1::Grant& g) { g.set_issue_time_us(~uint64_t{0} / 4); }},
  };
  TestWorld world;
  v1::SignedEnvelope voucher = world.Voucher(0, 9);
  for (const auto& [name, spoil] : lies) {
    SCOPED_TRACE(name);
    GrantOptions options;
    options.spoil_grant = spoil;
    ExpectRefusal(world.Join(voucher, options).status(), absl::StatusCode::kUnauthenticated,
                  "GRANT_REFUSED");
  }
  EXPECT_EQ(world.Reason(1), v1::REFUSAL_REASON_NO_GRANT);
  EXPECT_EQ(world.space().GetIdentity()->grants_size(), 0);
  // None of them did any harm.
  EXPECT_TRUE(world.Join(voucher).ok());
}

TEST(InstallGrantTest, BelievesKeyManagersOfTheSessionsProviderOnly) {
  TestWorld world;
  TestProvider stranger(kTestTime, 2);
  for (const SigningIdentity* signer :
       {&stranger.key_manager, &world.provider.till, &world.provider.pool_role}) {
    GrantOptions options;
    options.signer = signer;
    ExpectRefusal(world.Join(world.Voucher(0, 9), options).status(),
                  absl::StatusCode::kUnauthenticated, "GRANT_REFUSED");
  }
  SigningIdentity replica = world.provider.MakeReplica();
  GrantOptions options;
  options.signer = &replica;
  EXPECT_TRUE(world.Join(world.Voucher(0, 9), options).ok());
}

// A key manager's certificate with something wrong: for the key of `key_manager`.
Certificate KeyManagerCertificate(const SigningIdentity& key_manager, const SigningIdentity& issuer,
                                  std::chrono::hours from, std::chrono::hours to) {
  return IssueCertificate({.common_name = "replica",
                           .role = CertificateRole::kKeyManager,
                           .not_before = kTestTime + from,
                           .not_after = kTestTime + to,
                           .sender_scope = std::nullopt,
                           .secure_space_scope = std::nullopt,
                           .dns_name = ""},
                          key_manager.certificate.public_key(), issuer.certificate, issuer.key)
      .value();
}

// Each refusal names what is wrong with the chain; the grant itself is true.
TEST(InstallGrantTest, NamesWhatIsWrongWithAKeyManagersChain) {
  using std::chrono::hours;
  TestWorld world;
  TestProvider stranger(kTestTime, 2);
  const SigningIdentity& signer = world.provider.key_manager;
  const SigningIdentity& pool = world.provider.pool_role;
  const Certificate good = KeyManagerCertificate(signer, pool, -hours(1), hours(1));
  const auto der = [](const Certificate& certificate) { return certificate.der(); };
  struct Case {
    std::string message;
    std::vector<Bytes> chain;
  };
  const Case cases[] = {
      {"signed by nobody but itself", {SelfIssued(good, signer.key), der(pool.certificate)}},
      {"issuer certificate",
       {der(KeyManagerCertificate(signer, stranger.pool_role, -hours(1), hours(1))),
        der(stranger.pool_role.certificate)}},
      {"has expired",
       {der(KeyManagerCertificate(signer, pool, -hours(2), -hours(1))), der(pool.certificate)}},
      {"not yet valid",
       {der(KeyManagerCertificate(signer, pool, hours(1), hours(2))), der(pool.certificate)}},
      {"is a till, not a key-manager",
       {der(world.provider.till.certificate), der(pool.certificate)}},
      {"not a pool", {der(good), der(world.provider.senders_role.certificate)}},
      {"pool certificate missing", {der(good)}},
      {"longer than its role asks for",
       {der(good), der(pool.certificate), der(world.provider.root.certificate)}},
      {"whose key is not on P-256",
       {WithOddKey(good, OddKey::kP192, pool.key), der(pool.certificate)}},
      {"whose key is not on P-256",
       {WithOddKey(good, OddKey::kRsa1024, pool.key), der(pool.certificate)}},
      {"names another key than its signer's",
       {der(world.provider.MakeReplica().certificate), der(pool.certificate)}},
  };
  const v1::SignedEnvelope voucher = world.Voucher(0, 9);
  const auto install = [&](const std::vector<Bytes>& chain) {
    const v1::AttestRequest request = AttestRequestFor(world.session.descriptor(), voucher);
    const v1::AttestResponse evidence = world.space().Attest(request).value();
    v1::InstallGrantRequest grant;
    *grant.mutable_session() = world.session.name().ToProto();
    *grant.mutable_grant() =
        MakeGrant(world.provider, world.session, voucher, request, evidence).value();
    grant.mutable_grant()->clear_certificates();
    for (const Bytes& one : chain) grant.mutable_grant()->add_certificates(ToText(one));
    return world.space().InstallGrant(grant).status();
  };
  for (const Case& c : cases) {
    SCOPED_TRACE(c.message);
    const absl::Status status = install(c.chain);
    ExpectRefusal(status, absl::StatusCode::kUnauthenticated, "GRANT_REFUSED");
    EXPECT_NE(Std(status.message()).find(c.message), std::string::npos) << status;
  }
  EXPECT_TRUE(install({der(good), der(pool.certificate)}).ok());
}

void ExpectRevoked(const absl::Status& status) {
  ExpectRefusal(status, absl::StatusCode::kUnauthenticated, "GRANT_REFUSED");
  EXPECT_NE(Std(status.message()).find("this key manager's certificate has been revoked"),
            std::string::npos)
      << status;
}

v1::SignedEnvelope Revoking(TestWorld& world, const SigningIdentity& key_manager) {
  return ResealSession(world.session.session(), world.session.secrets(),
                       world.provider.descriptor_role,
                       {{world.provider.pool_keys[0].public_key()},
                        {key_manager.certificate.public_key().id()}},
                       kTestTime, world.provider.random())
      .value();
}

TEST(InstallGrantTest, RefusesAKeyManagerThatTheDescriptorRevokes) {
  TestWorld world;
  const SigningIdentity stolen = world.provider.MakeReplica();
  GrantOptions by_stolen;
  by_stolen.signer = &stolen;
  const v1::SignedEnvelope earlier = world.session.descriptor();
  const v1::SignedEnvelope later = Revoking(world, stolen);
  const auto use = [&](const v1::SignedEnvelope& descriptor) {
    world.session.made.descriptor = descriptor;
    world.session.made.session = *VerifiedSession::Verify(descriptor, kTestTime);
  };

  use(later);
  const v1::SignedEnvelope voucher = world.Voucher(0, 9);
  ExpectRevoked(world.Join(voucher, by_stolen).status());
  EXPECT_EQ(world.space().GetIdentity()->grants_size(), 0);
  EXPECT_TRUE(world.Join(voucher).ok()) << "the other replica";
  // Also asked under the descriptor of before: the later one is known here.
  use(earlier);
  ExpectRevoked(world.Join(voucher, by_stolen).status());
  EXPECT_TRUE(world.Join(voucher).ok());
  ASSERT_TRUE(world.Reopen().ok());
  ExpectRevoked(world.Join(voucher, by_stolen).status());
}

TEST(InstallGrantTest, RefusesAGrantThatWasResealedOrBelongsElsewhere) {
  TestWorld world;
  const std::vector<std::function<void(v1::SealedGrant&)>> lies = {
      [](v1::SealedGrant& s) { (*s.mutable_transcript())[3] ^= 1; },
      [](v1::SealedGrant& s) { (*s.mutable_enc())[3] ^= 1; },
      [](v1::SealedGrant& s) { (*s.mutable_ciphertext())[3] ^= 1; },
      [](v1::SealedGrant& s) { s.set_ciphertext(std::string(70'000, 'x')); },
      [](v1::SealedGrant& s) { s.clear_ciphertext(); },
  };
  for (const auto& lie : lies) {
    GrantOptions options;
    options.spoil_sealed = lie;
    ExpectRefusal(world.Join(world.Voucher(0, 9), options).status(),
                  absl::StatusCode::kUnauthenticated, "GRANT_REFUSED");
  }
}

TEST(InstallGrantTest, RefusesTheGrantOfAnEarlierExchange) {
  TestWorld world;
  v1::SignedEnvelope voucher = world.Voucher(0, 9);
  v1::AttestRequest request = AttestRequestFor(world.session.descriptor(), voucher);
  v1::AttestResponse first = *world.space().Attest(request);
  v1::AttestResponse second = *world.space().Attest(request);
  v1::InstallGrantRequest install;
  *install.mutable_session() = world.session.name().ToProto();
  *install.mutable_grant() = *MakeGrant(world.provider, world.session, voucher, request, first);
  ExpectRefusal(world.space().InstallGrant(install).status(), absl::StatusCode::kUnauthenticated,
                "GRANT_REFUSED");
  *install.mutable_grant() = *MakeGrant(world.provider, world.session, voucher, request, second);
  EXPECT_TRUE(world.space().InstallGrant(install).ok());
  // The answer may have been lost.
  EXPECT_TRUE(world.space().InstallGrant(install).ok());
}

TEST(InstallGrantTest, AGrantOfAnotherSessionIsRefused) {
  TestWorld world;
  TestSession other = world.provider.MakeSession();
  v1::SignedEnvelope voucher = world.Voucher(0, 9);
  v1::AttestRequest request = AttestRequestFor(world.session.descriptor(), voucher);
  v1::AttestResponse response = *world.space().Attest(request);
  v1::InstallGrantRequest install;
  *install.mutable_session() = world.session.name().ToProto();
  *install.mutable_grant() = *MakeGrant(world.provider, other, voucher, request, response);
  ExpectRefusal(world.space().InstallGrant(install).status(), absl::StatusCode::kUnauthenticated,
                "GRANT_REFUSED");
}

TEST(InstallGrantTest, ARetryChangesNothing) {
  TestWorld world;
  v1::SignedEnvelope voucher = world.Voucher(0, 9);
  std::string id = world.Join(voucher)->grant_id();
  EXPECT_EQ(world.Reason(1), v1::REFUSAL_REASON_UNSPECIFIED);
  EXPECT_EQ(world.Join(voucher)->grant_id(), id);
  EXPECT_EQ(world.Reason(1), v1::REFUSAL_REASON_RELEASED);
  EXPECT_EQ(world.space().GetIdentity()->grants_size(), 1);
}

TEST(InstallGrantTest, RefusesOtherSeedsUnderAnInstalledId) {
  TestWorld world;
  v1::SignedEnvelope voucher = world.Voucher(0, 9);
  ASSERT_TRUE(world.Join(voucher).ok());
  GrantOptions options;
  options.spoil_grant = [](v1::Grant& grant) {
    (*grant.mutable_seeds(0)->mutable_nodes(0)->mutable_key())[0] ^= 1;
  };
  ExpectRefusal(world.Join(voucher, options).status(), absl::StatusCode::kUnauthenticated,
                "GRANT_MISMATCH");
  EXPECT_EQ(world.Reason(1), v1::REFUSAL_REASON_UNSPECIFIED);
}

TEST(InstallGrantTest, AClosedSessionStaysClosed) {
  TestWorld world;
  ASSERT_TRUE(world.Join(world.Voucher(0, 9)).ok());
  ASSERT_TRUE(world.Note(v1::NOTE_STATUS_FINAL).ok());
  ExpectRefusal(world.Join(world.Voucher(0, 9)).status(), absl::StatusCode::kFailedPrecondition,
                "SESSION_CLOSED");
  ASSERT_TRUE(world.Reopen().ok());
  ExpectRefusal(world.Join(world.Voucher(10, 19)).status(), absl::StatusCode::kFailedPrecondition,
                "SESSION_CLOSED");
}

TEST(InstallGrantTest, IsListedAndSurvivesARestart) {
  TestWorld world;
  v1::SignedEnvelope voucher = world.Voucher(0, 9);
  ASSERT_TRUE(world.Join(voucher).ok());
  ASSERT_TRUE(world.Reopen().ok());
  absl::StatusOr<v1::GetIdentityResponse> identity = world.space().GetIdentity();
  ASSERT_TRUE(identity.ok());
  EXPECT_EQ(identity->secure_space_id(), ToText(world.identity.id));
  EXPECT_EQ(identity->assurance(), v1::ASSURANCE_CLASS_EMULATED);
  ASSERT_EQ(identity->grants_size(), 1);
  EXPECT_EQ(identity->grants(0).voucher_identity(), ToText(ObjectIdentity(voucher)));
  EXPECT_EQ(identity->grants(0).grant_id(),
            ToText(GrantId(ObjectIdentity(voucher), world.identity.id)));
  EXPECT_EQ(world.Reason(1), v1::REFUSAL_REASON_UNSPECIFIED);
}

TEST(InstallGrantTest, SessionsAreKeptApart) {
  TestWorld world;
  ASSERT_TRUE(world.Join(world.Voucher(0, 9)).ok());
  TestSession other = world.provider.MakeSession();
  TestAdu adu = MakeAdu(other, 1);
  auto decisions = world.space().ReleaseKeys({other.name(), 0, {adu.header}});
  ASSERT_TRUE(decisions.ok());
  EXPECT_EQ(decisions->at(0).refusal, v1::REFUSAL_REASON_NO_GRANT);
  decisions = world.space().ReleaseKeys({world.session.name(), 0, {adu.header}});
  ASSERT_TRUE(decisions.ok());
  EXPECT_EQ(decisions->at(0).refusal, v1::REFUSAL_REASON_MALFORMED);
}

TEST(CounterTest, GrowsWithEveryChangeAndOnlyThen) {
  TestWorld world;
  const auto counter = [&] { return world.Note()->counter(); };
  ASSERT_TRUE(world.Join(world.Voucher(0, 9)).ok());
  uint64_t joined = counter();
  EXPECT_GT(joined, 0u);
  EXPECT_EQ(world.Reason(1), v1::REFUSAL_REASON_UNSPECIFIED);
  uint64_t released = counter();
  EXPECT_GT(released, joined);
  EXPECT_EQ(world.Reason(1), v1::REFUSAL_REASON_RELEASED);
  EXPECT_EQ(counter(), released);
  ASSERT_TRUE(world.Reopen().ok());
  EXPECT_EQ(counter(), released);
  v1::Evidence evidence =
      *PayloadOf<v1::Evidence>(world.space().Attest(RequestOf(world))->evidence(), "evidence");
  EXPECT_EQ(evidence.counter(), released);
}

TEST(StateFilesTest, AMissingFileIsRefusedNeverReset) {
  TestWorld world;
  ASSERT_TRUE(world.Join(world.Voucher(0, 9)).ok());
  auto files = world.storage.files();
  ASSERT_EQ(files.size(), 2u);
  for (const auto& [name, content] : files) {
    world.storage.files() = files;
    world.storage.files().erase(name);
    absl::Status status = world.Reopen();
    EXPECT_TRUE(absl::IsNotFound(status)) << status;
    EXPECT_NE(status.message().find(name), absl::string_view::npos) << status;
  }
}

TEST(StateFilesTest, AFlippedBitIsRefusedNeverReset) {
  TestWorld world;
  ASSERT_TRUE(world.Join(world.Voucher(0, 9)).ok());
  EXPECT_EQ(world.Reason(1), v1::REFUSAL_REASON_UNSPECIFIED);
  EXPECT_EQ(world.Reason(2), v1::REFUSAL_REASON_UNSPECIFIED);
  auto files = world.storage.files();
  for (const auto& [name, content] : files) {
    for (size_t at = 0; at < content.size(); at += 11) {  // every bit: JournalTest
      world.storage.files() = files;
      world.storage.files()[name][at] ^= static_cast<uint8_t>(1 << at % 8);
      absl::Status status = world.Reopen();
      ASSERT_TRUE(absl::IsDataLoss(status)) << name << " " << at << ": " << status;
    }
  }
  world.storage.files() = files;
  ASSERT_TRUE(world.Reopen().ok());
  EXPECT_EQ(world.Reason(1), v1::REFUSAL_REASON_RELEASED);
}

TEST(StateFilesTest, HoldNoSeedInTheClear) {
  TestWorld world;
  ASSERT_TRUE(world.Join(world.Voucher(0, 0)).ok());  // one node: the leaf's parent or itself
  std::string seed;
  GrantOptions spy;
  spy.spoil_grant = [&](v1::Grant& grant) { seed = grant.seeds(0).nodes(0).key(); };
  ASSERT_TRUE(world.Join(world.Voucher(0, 0), spy).ok());
  ASSERT_EQ(seed.size(), 32u);
  for (const auto& [name, content] : world.storage.files()) {
    EXPECT_EQ(AsText(content).find(seed), std::string_view::npos) << name;
  }
}

TEST(StateFilesTest, AreMadeOnce) {
  TestWorld world;
  EXPECT_TRUE(
      absl::IsAlreadyExists(Emulation::Initialise(world.state_key, world.storage, world.random)));
}

}  // namespace
}  // namespace nark::securespace
