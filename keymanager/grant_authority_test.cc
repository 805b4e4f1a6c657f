#include "keymanager/grant_authority.h"

#include <gtest/gtest.h>

#include <functional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "common/base/status.h"
#include "common/crypto/odd_certificate.h"
#include "common/object/envelope.h"
#include "common/object/sealed_session.h"
#include "common/schedule/generator.h"
#include "keymanager/testing.h"

namespace nark::keymanager {
namespace {

constexpr Rate kNoLimit = {.burst = 1e9, .per_second = 1e9};

class GrantAuthorityTest : public testing::Test {
 protected:
  GrantAuthorityTest() : authority_(MakeAuthority(provider_, world_, limits_)) {}

  v1::Challenge Challenge(const TestSecureSpace& space) {
    auto response = authority_->GetChallenge(ChallengeRequest(session_.session(), space));
    EXPECT_TRUE(response.ok()) << response.status();
    return response->challenge();
  }
  v1::Challenge Challenge() { return Challenge(space_); }

  Purchase Bought() const { return {session_.descriptor(), voucher_, space_}; }
  Exchange Good() { return Attest(Bought(), Challenge(), random_); }

  // Asserts the answer and, for the operator, what was wrong.
  void ExpectRefused(const v1::IssueGrantRequest& request, Cause cause, absl::StatusCode code,
                     const std::string& reason) {
    refusals_.Clear();
    const absl::Status status = authority_->IssueGrant(request).status();
    EXPECT_EQ(status.code(), code) << status;
    EXPECT_EQ(ReasonOf(status), reason);
    ASSERT_TRUE(refusals_.last().has_value());
    EXPECT_EQ(CauseName(*refusals_.last()), CauseName(cause)) << refusals_.last_detail();
    EXPECT_EQ(refusals_.count(cause), 1);
  }
  void ExpectNotAttested(const v1::IssueGrantRequest& request, Cause cause) {
    ExpectRefused(request, cause, absl::StatusCode::kUnauthenticated, "NOT_ATTESTED");
  }
  void ExpectGranted(const Exchange& exchange) {
    const auto answer = authority_->IssueGrant(exchange.request);
    ASSERT_TRUE(answer.ok()) << answer.status() << refusals_.last_detail();
    const auto grant = OpenGrant(exchange, *answer, provider_.root.certificate, clock_.Now());
    EXPECT_TRUE(grant.ok()) << grant.status();
  }
  void Rebuild(Trust trust) {
    auto made = GrantAuthority::Create(KeysOf(provider_), std::move(trust), world_, limits_);
    ASSERT_TRUE(made.ok()) << made.status();
    authority_ = *std::move(made);
  }

  TestProvider provider_;
  ManualClock clock_{kTestTime};
  SeededRandom random_{7};
  RecordedRefusals refusals_;
  const World world_{.clock = clock_, .random = random_, .refusals = refusals_};
  Limits limits_ = [] {
    Limits limits;
    limits.joins_per_secure_space = kNoLimit;
    return limits;
  }();
  const TestSession session_ = provider_.MakeSession();
  const TestSecureSpace space_ = provider_.MakeSecureSpace();
  const v1::SignedEnvelope voucher_ = provider_.MakeVoucher(session_, space_.id, 100, 199);
  std::unique_ptr<GrantAuthority> authority_;
};

// --- What is granted ---

TEST_F(GrantAuthorityTest, GrantsWhatTheVoucherBought) {
  const Exchange exchange = Good();
  const auto answer = authority_->IssueGrant(exchange.request);
  ASSERT_TRUE(answer.ok()) << answer.status() << refusals_.last_detail();
  const auto grant = OpenGrant(exchange, *answer, provider_.root.certificate, clock_.Now());
  ASSERT_TRUE(grant.ok()) << grant.status();
  const Digest voucher_identity = ObjectIdentity(voucher_);
  EXPECT_EQ(grant->grant_id(), ToText(GrantId(voucher_identity, space_.id)));
  EXPECT_EQ(grant->session().SerializeAsString(), session_.name().ToProto().SerializeAsString());
  EXPECT_EQ(grant->voucher_identity(), ToText(voucher_identity));
  EXPECT_EQ(grant->secure_space_id(), ToText(space_.id));
  EXPECT_EQ(grant->terms_identity(), ToText(session_.session().terms_identity()));
  EXPECT_EQ(grant->policy().range().first(), 100u);
  EXPECT_EQ(grant->policy().range().last(), 199u);
  EXPECT_EQ(grant->contact_sequence(), 3u);
  EXPECT_EQ(grant->issue_time_us(), ToMicros(clock_.Now()));
  EXPECT_EQ(grant->release_mode(), v1::RELEASE_MODE_KEY);
}

// Every leaf inside equals the sender's own, and none outside can be derived.
TEST_F(GrantAuthorityTest, SeedsOpenExactlyTheRange) {
  const Exchange exchange = Good();
  const auto answer = authority_->IssueGrant(exchange.request);
  ASSERT_TRUE(answer.ok()) << answer.status();
  const auto grant = OpenGrant(exchange, *answer, provider_.root.certificate, clock_.Now());
  ASSERT_TRUE(grant.ok()) << grant.status();
  ASSERT_EQ(grant->seeds_size(), 1);
  EXPECT_EQ(grant->seeds(0).sender_id(), 1u);
  EXPECT_EQ(grant->seeds(0).sub_session(), 0u);

  const schedule::Parameters parameters = {.id = "marks", .depth = 32};
  const auto generator = schedule::FindGenerator(parameters.id);
  ASSERT_TRUE(generator.ok());
  std::vector<schedule::Node> nodes;
  for (const v1::SeedNode& node : grant->seeds(0).nodes()) {
    nodes.push_back({node.level(), node.prefix(), SecretBytes::CopyOf(AsBytes(node.key()))});
  }
  std::vector<schedule::Node> root;
  root.push_back({0, 0, session_.SenderRoot()});
  auto granted = (*generator)->Open(parameters, std::move(nodes));
  auto all = (*generator)->Open(parameters, std::move(root));
  ASSERT_TRUE(granted.ok() && all.ok());
  SecretBytes expected, got;
  for (uint64_t id = 100; id <= 199; ++id) {
    ASSERT_TRUE((*all)->Leaf(id, expected).ok());
    ASSERT_TRUE((*granted)->Leaf(id, got).ok()) << id;
    EXPECT_TRUE(got == expected) << id;
  }
  for (const uint64_t id : {uint64_t{0}, uint64_t{99}, uint64_t{200}, uint64_t{0xffffffff}}) {
    EXPECT_EQ((*granted)->Leaf(id, got).code(), absl::StatusCode::kOutOfRange) << id;
  }
}

TEST_F(GrantAuthorityTest, GrantsOnlyPermittedSendersAndSubSessions) {
  SessionOptions options;
  for (const uint32_t id : {1u, 2u, 3u}) {
    v1::PermittedSender sender;
    sender.set_sender_id(id);
    if (id == 1) options.senders = {};
    options.senders.push_back(sender);
  }
  for (const uint32_t id : {5u, 6u}) {
    v1::SubSession sub;
    sub.set_id(id);
    sub.set_title("sub");
    options.sub_sessions.push_back(sub);
  }
  const TestSession session = provider_.MakeSession(options);
  VoucherOptions bought;
  bought.secure_space_id = space_.id;
  bought.policy.mutable_range()->set_last(9);
  bought.policy.add_sender_ids(2);
  bought.policy.add_sender_ids(3);
  bought.policy.add_sub_sessions(0);
  bought.policy.add_sub_sessions(6);
  const v1::SignedEnvelope voucher = provider_.MakeVoucher(session, bought);
  auto challenge = authority_->GetChallenge(ChallengeRequest(session.session(), space_));
  ASSERT_TRUE(challenge.ok());
  const Exchange exchange =
      Attest({session.descriptor(), voucher, space_}, challenge->challenge(), random_);
  const auto answer = authority_->IssueGrant(exchange.request);
  ASSERT_TRUE(answer.ok()) << refusals_.last_detail();
  const auto grant = OpenGrant(exchange, *answer, provider_.root.certificate, clock_.Now());
  ASSERT_TRUE(grant.ok()) << grant.status();
  std::vector<std::pair<uint32_t, uint32_t>> seeds;
  for (const auto& one : grant->seeds()) seeds.emplace_back(one.sub_session(), one.sender_id());
  EXPECT_EQ(seeds, (std::vector<std::pair<uint32_t, uint32_t>>{{0, 2}, {0, 3}, {6, 2}, {6, 3}}));
}

TEST_F(GrantAuthorityTest, CarriesGroupsAndLimitsOver) {
  VoucherOptions bought;
  bought.secure_space_id = space_.id;
  bought.policy.mutable_range()->set_last(999);
  bought.policy.set_count(10);
  bought.policy.set_lease_ms(60'000);
  bought.policy.set_expires_us(ToMicros(clock_.Now() + std::chrono::hours(1)));
  bought.group_ids = {Bytes(16, 4), Bytes(32, 5)};
  const v1::SignedEnvelope voucher = provider_.MakeVoucher(session_, bought);
  const Exchange exchange = Attest({session_.descriptor(), voucher, space_}, Challenge(), random_);
  const auto answer = authority_->IssueGrant(exchange.request);
  ASSERT_TRUE(answer.ok()) << refusals_.last_detail();
  const auto grant = OpenGrant(exchange, *answer, provider_.root.certificate, clock_.Now());
  ASSERT_TRUE(grant.ok()) << grant.status();
  EXPECT_EQ(grant->policy().count(), 10u);
  EXPECT_EQ(grant->policy().lease_ms(), 60'000u);
  EXPECT_EQ(grant->policy().expires_us(), bought.policy.expires_us());
  ASSERT_EQ(grant->group_ids_size(), 2);
  EXPECT_EQ(grant->group_ids(1), std::string(32, 5));
}

// --- Statelessness ---

TEST_F(GrantAuthorityTest, AReplayOfTheSameRequestIsTheSameGrant) {
  const Exchange exchange = Good();
  const auto one = authority_->IssueGrant(exchange.request);
  const auto two = authority_->IssueGrant(exchange.request);
  ASSERT_TRUE(one.ok() && two.ok());
  EXPECT_EQ(one->SerializeAsString(), two->SerializeAsString());
}

// A replay to another replica does work again, and yields the same grant but for
// its issue time: grants are idempotent.
TEST_F(GrantAuthorityTest, ARetryElsewhereIsAnEquivalentGrant) {
  const auto second = MakeAuthority(provider_, world_, limits_);
  const auto third = MakeAuthority(provider_, world_, limits_);
  const Exchange exchange = Good();
  const auto at_second = second->IssueGrant(exchange.request);
  ASSERT_TRUE(at_second.ok()) << refusals_.last_detail();
  clock_.Advance(std::chrono::seconds(5));
  const auto at_third = third->IssueGrant(exchange.request);
  ASSERT_TRUE(at_third.ok()) << refusals_.last_detail();
  auto one = OpenGrant(exchange, *at_second, provider_.root.certificate, clock_.Now());
  auto two = OpenGrant(exchange, *at_third, provider_.root.certificate, clock_.Now());
  ASSERT_TRUE(one.ok() && two.ok());
  EXPECT_NE(one->issue_time_us(), two->issue_time_us());
  one->clear_issue_time_us();
  two->clear_issue_time_us();
  EXPECT_EQ(one->SerializeAsString(), two->SerializeAsString());
  EXPECT_NE(at_second->SerializeAsString(), at_third->SerializeAsString());
}

// --- Challenges ---

TEST_F(GrantAuthorityTest, RefusesChallengesForOtherProvidersAndBadShapes) {
  TestProvider other(kTestTime, 2);
  const TestSession foreign = other.MakeSession();
  const auto expect = [&](const v1::GetChallengeRequest& request, Cause cause) {
    const absl::Status status = authority_->GetChallenge(request).status();
    EXPECT_EQ(status.code(), absl::StatusCode::kUnauthenticated);
    EXPECT_EQ(ReasonOf(status), "NOT_ATTESTED");
    EXPECT_EQ(*refusals_.last(), cause);
  };
  expect(ChallengeRequest(foreign.session(), space_), Cause::kOtherProvider);
  expect({}, Cause::kMalformed);
  v1::GetChallengeRequest request = ChallengeRequest(session_.session(), space_);
  for (const size_t size : {0, 31, 33, 100'000}) {
    request.set_secure_space_id(std::string(size, 'x'));
    expect(request, Cause::kMalformed);
  }
  request = ChallengeRequest(session_.session(), space_);
  request.mutable_session()->mutable_session_id()->pop_back();
  expect(request, Cause::kMalformed);
}

TEST_F(GrantAuthorityTest, AChallengeHoldsForOneMinuteAndNoLonger) {
  const Exchange exchange = Good();
  const auto fresh = MakeAuthority(provider_, world_, limits_);
  clock_.Advance(std::chrono::seconds(60));
  EXPECT_TRUE(fresh->IssueGrant(exchange.request).ok());
  clock_.Advance(std::chrono::microseconds(1));
  ExpectNotAttested(exchange.request, Cause::kChallengeExpired);
}

TEST_F(GrantAuthorityTest, AnAnswerIsNotRepeatedAfterTheChallengeHasExpired) {
  const Exchange exchange = Good();
  ASSERT_TRUE(authority_->IssueGrant(exchange.request).ok());
  clock_.Advance(std::chrono::seconds(61));
  ExpectNotAttested(exchange.request, Cause::kChallengeExpired);
}

// Of two replicas, one of which has made the challenge.
TEST_F(GrantAuthorityTest, ClocksMayDifferBySecondsAndNotByMinutes) {
  const auto challenged_by = [&](std::chrono::seconds ahead) {
    ManualClock clock(kTestTime + ahead);
    const auto other = MakeAuthority(
        provider_, {.clock = clock, .random = random_, .refusals = refusals_}, limits_);
    auto challenge = other->GetChallenge(ChallengeRequest(session_.session(), space_));
    EXPECT_TRUE(challenge.ok()) << challenge.status();
    return Attest(Bought(), challenge->challenge(), random_);
  };
  for (const int seconds : {-5, 5, -30, 30}) {
    SCOPED_TRACE(seconds);
    ExpectGranted(challenged_by(std::chrono::seconds(seconds)));
  }
  ExpectNotAttested(challenged_by(-std::chrono::minutes(10)).request, Cause::kChallengeExpired);
  ExpectNotAttested(challenged_by(std::chrono::minutes(10)).request, Cause::kChallengeEarly);
}

TEST_F(GrantAuthorityTest, RefusesAChallengeOfAnotherPool) {
  TestProvider other(kTestTime, 2);
  const auto elsewhere = MakeAuthority(other, world_, limits_);
  // The other pool would refuse our session: its MAC key is what is foreign here.
  const auto keys = KeysOf(other);
  const auto challenge = keys->challenge_keys.Make(session_.name(), space_.id, clock_.Now(),
                                                   std::chrono::minutes(1), random_);
  ASSERT_TRUE(challenge.ok());
  ExpectNotAttested(Attest(Bought(), *challenge, random_).request, Cause::kChallengeMac);
}

TEST_F(GrantAuthorityTest, RefusesAChallengeMadeForAnotherSession) {
  const TestSession other = provider_.MakeSession();
  const auto challenge = authority_->GetChallenge(ChallengeRequest(other.session(), space_));
  ASSERT_TRUE(challenge.ok());
  ExpectNotAttested(Attest(Bought(), challenge->challenge(), random_).request,
                    Cause::kChallengeSession);
}

TEST_F(GrantAuthorityTest, RefusesAChallengeMadeForAnotherSecureSpace) {
  const TestSecureSpace other = provider_.MakeSecureSpace();
  ExpectNotAttested(Attest(Bought(), Challenge(other), random_).request, Cause::kChallengeSession);
}

TEST_F(GrantAuthorityTest, RefusesEveryFlippedBitOfTheChallenge) {
  const Exchange exchange = Good();
  std::string* (v1::Challenge::*const kFields[])() = {&v1::Challenge::mutable_body,
                                                      &v1::Challenge::mutable_mac_key_id,
                                                      &v1::Challenge::mutable_mac};
  for (const auto field : kFields) {
    const size_t bits = (v1::Challenge(exchange.request.challenge()).*field)()->size() * 8;
    for (size_t bit = 0; bit < bits; ++bit) {
      v1::IssueGrantRequest request = exchange.request;
      (*(request.mutable_challenge()->*field)())[bit / 8] ^= static_cast<char>(1 << (bit % 8));
      ExpectNotAttested(request, Cause::kChallengeMac);
    }
  }
}

// --- The objects ---

TEST_F(GrantAuthorityTest, RefusesASessionOfAnotherProvider) {
  TestProvider other(kTestTime, 2);
  const TestSession session = other.MakeSession();
  const v1::SignedEnvelope voucher = other.MakeVoucher(session, space_.id, 0, 9);
  // Signed in earnest, with a challenge of this pool for our own session.
  ExpectNotAttested(Attest({session.descriptor(), voucher, space_}, Challenge(), random_).request,
                    Cause::kOtherProvider);
}

TEST_F(GrantAuthorityTest, RefusesAVoucherOfAnotherSessionOrProvider) {
  const TestSession other = provider_.MakeSession();
  const v1::SignedEnvelope of_other = provider_.MakeVoucher(other, space_.id, 0, 9);
  ExpectNotAttested(Attest({session_.descriptor(), of_other, space_}, Challenge(), random_).request,
                    Cause::kVoucher);
  TestProvider elsewhere(kTestTime, 2);
  const TestSession theirs = elsewhere.MakeSession();
  const v1::SignedEnvelope foreign = elsewhere.MakeVoucher(theirs, space_.id, 0, 9);
  ExpectNotAttested(Attest({session_.descriptor(), foreign, space_}, Challenge(), random_).request,
                    Cause::kVoucher);
}

TEST_F(GrantAuthorityTest, RefusesAVoucherSignedByAnotherRole) {
  auto forged = SignEnvelope(payload_type::kVoucher, voucher_.payload(),
                             provider_.descriptor_role.key, provider_.descriptor_role.Chain());
  ASSERT_TRUE(forged.ok());
  ExpectNotAttested(Attest({session_.descriptor(), *forged, space_}, Challenge(), random_).request,
                    Cause::kVoucher);
}

TEST_F(GrantAuthorityTest, RefusesASecureSpaceOfAnIssuerThatNobodyTrusts) {
  TestProvider stranger(kTestTime, 3);
  const TestSecureSpace space = stranger.MakeSecureSpace();
  const v1::SignedEnvelope voucher = provider_.MakeVoucher(session_, space.id, 0, 9);
  ExpectNotAttested(
      Attest({session_.descriptor(), voucher, space}, Challenge(space), random_).request,
      Cause::kCertificateUntrusted);
}

TEST_F(GrantAuthorityTest, TrustsEachOfSeveralIssuers) {
  TestProvider other(kTestTime, 3);
  auto trust =
      Trust::Create({provider_.issuer.certificate, other.issuer.certificate}, {}, std::nullopt);
  ASSERT_TRUE(trust.ok()) << trust.status();
  Rebuild(*std::move(trust));
  const TestSecureSpace space = other.MakeSecureSpace();
  const v1::SignedEnvelope voucher = provider_.MakeVoucher(session_, space.id, 0, 9);
  ExpectGranted(Attest({session_.descriptor(), voucher, space}, Challenge(space), random_));
  ExpectGranted(Good());
}

TEST_F(GrantAuthorityTest, RefusesARoleCertificateInPlaceOfASecureSpaces) {
  Exchange exchange = Good();
  exchange.request.clear_secure_space_certificates();
  exchange.request.add_secure_space_certificates(ToText(provider_.till.certificate.der()));
  ExpectNotAttested(exchange.request, Cause::kCertificateUsage);
}

// The operator learns which it was; the caller, whoever it is, always the same.
class CertificateFaultTest : public GrantAuthorityTest {
 protected:
  using Chain = std::vector<Bytes>;
  struct Case {
    std::string name;
    Chain chain;
    Cause cause;
    std::string detail;
  };

  // For the keys of space_, signed by `issuer`.
  Certificate Card(const SigningIdentity& issuer, std::chrono::hours from, std::chrono::hours to) {
    const CertificateTemplate content = {
        .common_name = "card",
        .role = CertificateRole::kSecureSpace,
        .not_before = kTestTime + from,
        .not_after = kTestTime + to,
        .sender_scope = std::nullopt,
        .secure_space_scope =
            SecureSpaceScope{.note_spki = space_.note_key.public_key().spki(), .assurance = 1},
        .dns_name = ""};
    return IssueCertificate(content, space_.attestation_key.public_key(), issuer.certificate,
                            issuer.key)
        .value();
  }
  Certificate Card(const SigningIdentity& issuer) {
    return Card(issuer, -std::chrono::hours(1), std::chrono::hours(1));
  }
  v1::IssueGrantRequest With(const Chain& chain) {
    v1::IssueGrantRequest request = Good().request;
    request.clear_secure_space_certificates();
    for (const Bytes& der : chain) request.add_secure_space_certificates(ToText(der));
    return request;
  }
  Trust TrustIn(const std::vector<Certificate>& issuers) {
    const auto list = IssueRevocationList(provider_.issuer.certificate, provider_.issuer.key,
                                          {revoked_.serial_hex()}, clock_.Now(),
                                          clock_.Now() + std::chrono::hours(1), 1);
    return Trust::Create(issuers, {*list}, std::nullopt).value();
  }

  const Certificate revoked_ = Card(provider_.issuer);
};

TEST_F(CertificateFaultTest, EachHasACauseOfItsOwn) {
  using std::chrono::hours;
  TestProvider stranger(kTestTime, 3), also_trusted(kTestTime, 4);
  const SigningIdentity& issuer = provider_.issuer;
  const Certificate good = Card(issuer);
  Bytes damaged = good.der();
  damaged.pop_back();
  const Bytes& root = issuer.certificate.der();
  const std::vector<Case> cases = {
      {"expired",
       {Card(issuer, -hours(2), -hours(1)).der()},
       Cause::kCertificateExpired,
       "has expired"},
      {"not yet valid",
       {Card(issuer, hours(1), hours(2)).der()},
       Cause::kCertificateNotYetValid,
       "not yet valid"},
      {"revoked", {revoked_.der()}, Cause::kRevoked, revoked_.serial_hex()},
      {"another CA of the same name",
       {Card(stranger.issuer).der()},
       Cause::kCertificateUntrusted,
       "issuer certificate"},
      {"a till", {provider_.till.certificate.der()}, Cause::kCertificateUsage, "is a till"},
      {"a key manager",
       {provider_.key_manager.certificate.der()},
       Cause::kCertificateUsage,
       "is a key-manager"},
      {"self-signed",
       {SelfIssued(good, space_.attestation_key)},
       Cause::kCertificateSelfSigned,
       "but itself"},
      {"the issuer's own", {root}, Cause::kCertificateSelfSigned, "but itself"},
      {"P-192", {WithOddKey(good, OddKey::kP192, issuer.key)}, Cause::kCertificateWeakKey, "P-256"},
      {"P-384", {WithOddKey(good, OddKey::kP384, issuer.key)}, Cause::kCertificateWeakKey, "P-256"},
      {"RSA-1024",
       {WithOddKey(good, OddKey::kRsa1024, issuer.key)},
       Cause::kCertificateWeakKey,
       "P-256"},
      {"signed by RSA-1024", {SignedByRsa(good)}, Cause::kCertificateWeakKey, "ECDSA"},
      {"two", {good.der(), root}, Cause::kCertificateChainLength, "longer"},
      {"four", {good.der(), root, root, root}, Cause::kCertificateChainLength, "longer"},
      {"five", {good.der(), root, root, root, root}, Cause::kCertificateChainLength, "more than 4"},
      {"damaged", {damaged}, Cause::kCertificate, "not a certificate"},
  };
  const Certificate& own = issuer.certificate;
  const Certificate& other = also_trusted.issuer.certificate;
  for (const std::vector<Certificate>& issuers :
       std::vector<std::vector<Certificate>>{{own}, {own, other}, {other, own}}) {
    Rebuild(TrustIn(issuers));
    // Also where a sound one has been seen, whose form is known then.
    ExpectGranted(Good());
    for (const Case& c : cases) {
      SCOPED_TRACE(c.name);
      ExpectNotAttested(With(c.chain), c.cause);
      EXPECT_NE(refusals_.last_detail().find(c.detail), std::string::npos)
          << refusals_.last_detail();
    }
  }
  EXPECT_TRUE(authority_->IssueGrant(With({good.der()})).ok()) << refusals_.last_detail();
}

TEST_F(CertificateFaultTest, AStrangerIsToldTheSameWhicheverItIs) {
  const absl::Status first = RefusalFor(Cause::kMalformed);
  for (int i = 0; i <= static_cast<int>(Cause::kEvidence); ++i) {
    EXPECT_EQ(RefusalFor(static_cast<Cause>(i)), first) << i;
  }
  std::set<std::string_view> names;
  for (int i = 0; i < kCauses; ++i) names.insert(CauseName(static_cast<Cause>(i)));
  EXPECT_EQ(names.size(), static_cast<size_t>(kCauses));
}

TEST_F(GrantAuthorityTest, RefusesAnExpiredSecureSpaceCertificateAlsoIfItIsCached) {
  ExpectGranted(Good());
  clock_.Set(space_.certificate.not_after() + std::chrono::hours(1));
  // Everything else has expired by then as well: the chain alone is looked at.
  google::protobuf::RepeatedPtrField<std::string> chain;
  chain.Add(ToText(space_.certificate.der()));
  const auto leaf = TrustOf(provider_).VerifySecureSpace(chain, clock_.Now());
  EXPECT_EQ(leaf.status().code(), absl::StatusCode::kUnauthenticated);
  EXPECT_FALSE(authority_->IssueGrant(Good().request).ok());
}

// --- Evidence ---

TEST_F(GrantAuthorityTest, RefusesEvidenceThatNamesAnythingElse) {
  const auto flip = [](std::string* field) { (*field)[5] ^= 1; };
  const std::vector<std::function<void(v1::Evidence&)>> edits = {
      [&](v1::Evidence& e) { flip(e.mutable_challenge_identity()); },
      [&](v1::Evidence& e) { flip(e.mutable_session()->mutable_provider()); },
      [&](v1::Evidence& e) { flip(e.mutable_session()->mutable_session_id()); },
      [&](v1::Evidence& e) { flip(e.mutable_terms_identity()); },
      [&](v1::Evidence& e) { flip(e.mutable_voucher_identity()); },
      [&](v1::Evidence& e) { flip(e.mutable_secure_space_id()); },
      [&](v1::Evidence& e) { e.clear_challenge_identity(); },
      [&](v1::Evidence& e) { e.clear_session(); },
      [&](v1::Evidence& e) { e.clear_terms_identity(); },
      [&](v1::Evidence& e) { e.clear_voucher_identity(); },
      [&](v1::Evidence& e) { e.clear_secure_space_id(); },
      [&](v1::Evidence& e) { e.clear_hpke_public_key(); },
      [&](v1::Evidence& e) { e.mutable_hpke_public_key()->push_back('x'); },
      [&](v1::Evidence& e) { e.set_hpke_public_key(std::string(32, '\0')); },  // small order
  };
  for (size_t i = 0; i < edits.size(); ++i) {
    SCOPED_TRACE(i);
    ExpectNotAttested(Attest(Bought(), Challenge(), random_, edits[i]).request, Cause::kEvidence);
  }
}

TEST_F(GrantAuthorityTest, RefusesEvidenceSignedByAnotherKey) {
  const TestSecureSpace other = provider_.MakeSecureSpace();
  const Exchange good = Good();
  for (const PrivateKey* key : std::initializer_list<const PrivateKey*>{
           &other.attestation_key, &space_.note_key, &provider_.till.key}) {
    v1::IssueGrantRequest request = good.request;
    auto signed_elsewhere =
        SignEnvelope(payload_type::kEvidence, good.request.evidence().payload(), *key, {});
    ASSERT_TRUE(signed_elsewhere.ok());
    *request.mutable_evidence() = *signed_elsewhere;
    ExpectNotAttested(request, Cause::kCertificateKey);
    // And with the name of the right key on it.
    request.mutable_evidence()->set_key_id(good.request.evidence().key_id());
    ExpectNotAttested(request, Cause::kEvidence);
  }
}

TEST_F(GrantAuthorityTest, RefusesEvidenceThatWasSignedAsSomethingElse) {
  Exchange exchange = Good();
  auto note = SignEnvelope(payload_type::kDeliveryNote, exchange.request.evidence().payload(),
                           space_.attestation_key, {});
  ASSERT_TRUE(note.ok());
  *exchange.request.mutable_evidence() = *note;
  ExpectNotAttested(exchange.request, Cause::kEvidence);
  // And with the type of evidence written over it.
  exchange.request.mutable_evidence()->set_payload_type(std::string(payload_type::kEvidence));
  ExpectNotAttested(exchange.request, Cause::kEvidence);
}

TEST_F(GrantAuthorityTest, RefusesEvidenceWithUnknownFields) {
  Exchange exchange = Good();
  auto padded = SignEnvelope(payload_type::kEvidence,
                             exchange.request.evidence().payload() + std::string("\x78\x01", 2),
                             space_.attestation_key, {});
  ASSERT_TRUE(padded.ok());
  *exchange.request.mutable_evidence() = *padded;
  ExpectNotAttested(exchange.request, Cause::kEvidence);
}

// --- Damage ---

TEST_F(GrantAuthorityTest, RefusesMissingAndOversizedFields) {
  const Exchange good = Good();
  const std::vector<std::function<void(v1::IssueGrantRequest&)>> edits = {
      [](v1::IssueGrantRequest& r) { r.Clear(); },
      [](v1::IssueGrantRequest& r) { r.clear_session_descriptor(); },
      [](v1::IssueGrantRequest& r) { r.clear_voucher(); },
      [](v1::IssueGrantRequest& r) { r.clear_evidence(); },
      [](v1::IssueGrantRequest& r) { r.clear_secure_space_certificates(); },
      [](v1::IssueGrantRequest& r) { r.add_secure_space_certificates(""); },
      [](v1::IssueGrantRequest& r) { r.add_secure_space_certificates(std::string(4097, 'x')); },
      [](v1::IssueGrantRequest& r) {
        r.mutable_session_descriptor()->set_payload(std::string((1 << 20) + 1, 'x'));
      },
      [](v1::IssueGrantRequest& r) { r.mutable_voucher()->set_payload(std::string(65'537, 'x')); },
      [](v1::IssueGrantRequest& r) { r.mutable_evidence()->set_payload(std::string(4097, 'x')); },
      [](v1::IssueGrantRequest& r) { r.mutable_evidence()->mutable_signature()->pop_back(); },
      [](v1::IssueGrantRequest& r) { r.mutable_voucher()->mutable_key_id()->push_back('x'); },
      [](v1::IssueGrantRequest& r) {
        for (int i = 0; i < 5; ++i) r.mutable_voucher()->add_certificates("x");
      },
  };
  for (size_t i = 0; i < edits.size(); ++i) {
    SCOPED_TRACE(i);
    v1::IssueGrantRequest request = good.request;
    edits[i](request);
    ExpectNotAttested(request, Cause::kMalformed);
  }
  v1::IssueGrantRequest request = good.request;
  request.clear_challenge();
  ExpectNotAttested(request, Cause::kChallengeMac);
}

// One bit of any byte of the serialised request (of the descriptor, which comes
// first and is dear to verify, of every fifth). gRPC would not even deliver what
// does not parse; whatever does is refused, and says nothing but NOT_ATTESTED.
TEST_F(GrantAuthorityTest, RefusesEveryFlippedByteOfARequest) {
  const Exchange good = Good();
  const std::string bytes = good.request.SerializeAsString();
  int parsed = 0;
  const size_t descriptor_size = good.request.session_descriptor().ByteSizeLong();
  for (size_t at = 0; at < bytes.size(); at += at < descriptor_size ? 5 : 1) {
    std::string flipped = bytes;
    flipped[at] ^= static_cast<char>(1 << (at % 8));
    v1::IssueGrantRequest request;
    if (!request.ParseFromString(flipped)) continue;
    ++parsed;
    const absl::Status status = authority_->IssueGrant(request).status();
    ASSERT_EQ(status.code(), absl::StatusCode::kUnauthenticated) << "byte " << at;
    ASSERT_EQ(ReasonOf(status), "NOT_ATTESTED") << "byte " << at;
  }
  EXPECT_GT(parsed, 800);
  EXPECT_EQ(refusals_.count(Cause::kInternal), 0);
}

TEST_F(GrantAuthorityTest, RefusesEveryTruncationOfEachObject) {
  const Exchange good = Good();
  const std::vector<std::string* (*)(v1::IssueGrantRequest&)> fields = {
      [](v1::IssueGrantRequest& r) { return r.mutable_session_descriptor()->mutable_payload(); },
      [](v1::IssueGrantRequest& r) { return r.mutable_voucher()->mutable_payload(); },
      [](v1::IssueGrantRequest& r) { return r.mutable_evidence()->mutable_payload(); },
      [](v1::IssueGrantRequest& r) { return r.mutable_secure_space_certificates(0); },
  };
  for (const auto field : fields) {
    v1::IssueGrantRequest request = good.request;
    const size_t size = field(request)->size();
    for (size_t keep = 0; keep < size; keep += 7) {
      request = good.request;
      field(request)->resize(keep);
      const absl::Status status = authority_->IssueGrant(request).status();
      ASSERT_EQ(ReasonOf(status), "NOT_ATTESTED") << keep;
    }
  }
}

// --- After the evidence: each with its own reason ---

TEST_F(GrantAuthorityTest, RefusesAVoucherForAnotherSecureSpace) {
  const TestSecureSpace other = provider_.MakeSecureSpace();
  ExpectRefused(Attest({session_.descriptor(), voucher_, other}, Challenge(other), random_).request,
                Cause::kVoucherOtherSecureSpace, absl::StatusCode::kPermissionDenied,
                "VOUCHER_OTHER_SECURE_SPACE");
}

TEST_F(GrantAuthorityTest, RefusesAnExpiredVoucher) {
  VoucherOptions bought;
  bought.secure_space_id = space_.id;
  bought.policy.mutable_range()->set_last(9);
  bought.policy.set_expires_us(ToMicros(clock_.Now() + std::chrono::hours(1)));
  const v1::SignedEnvelope voucher = provider_.MakeVoucher(session_, bought);
  const Purchase purchase = {session_.descriptor(), voucher, space_};
  clock_.Advance(std::chrono::hours(1));
  ExpectGranted(Attest(purchase, Challenge(), random_));
  clock_.Advance(std::chrono::microseconds(1));
  ExpectRefused(Attest(purchase, Challenge(), random_).request, Cause::kVoucherExpired,
                absl::StatusCode::kFailedPrecondition, "VOUCHER_EXPIRED");
}

TEST_F(GrantAuthorityTest, RefusesADeniedSecureSpaceAndNobodyElse) {
  const TestSecureSpace other = provider_.MakeSecureSpace();
  Digest before = space_.id, after = space_.id;
  before[31] ^= 1;
  after[31] ^= 2;
  const auto envelope =
      MakeDenyList(provider_.id(), {other.id, before, space_.id, after}, provider_.control,
                   clock_.Now(), clock_.Now() + std::chrono::hours(1));
  ASSERT_TRUE(envelope.ok()) << envelope.status();
  auto deny = VerifyDenyList(*envelope, provider_.root.certificate, clock_.Now());
  ASSERT_TRUE(deny.ok()) << deny.status();
  auto trust = Trust::Create({provider_.issuer.certificate}, {}, *std::move(deny));
  ASSERT_TRUE(trust.ok());
  Rebuild(*std::move(trust));
  ExpectRefused(Good().request, Cause::kDenied, absl::StatusCode::kPermissionDenied,
                "SECURE_SPACE_DENIED");
  const TestSecureSpace free = provider_.MakeSecureSpace();
  const v1::SignedEnvelope voucher = provider_.MakeVoucher(session_, free.id, 0, 9);
  ExpectGranted(Attest({session_.descriptor(), voucher, free}, Challenge(free), random_));
}

TEST_F(GrantAuthorityTest, RefusesASessionSealedToAnotherPool) {
  SeededRandom random(99);
  auto key = HpkePrivateKey::Generate(random);
  ASSERT_TRUE(key.ok());
  auto resealed = ResealSession(session_.session(), session_.secrets(), provider_.descriptor_role,
                                {{key->public_key()}, {}}, clock_.Now(), random);
  ASSERT_TRUE(resealed.ok()) << resealed.status();
  ExpectRefused(Attest({*resealed, voucher_, space_}, Challenge(), random_).request,
                Cause::kPoolKeyUnknown, absl::StatusCode::kFailedPrecondition, "POOL_KEY_UNKNOWN");
}

TEST_F(GrantAuthorityTest, RefusesASealedSessionThatDoesNotOpen) {
  auto descriptor =
      PayloadOf<v1::SessionDescriptor>(session_.descriptor(), "the session descriptor");
  ASSERT_TRUE(descriptor.ok());
  (*descriptor->mutable_sealed_sessions(0)->mutable_ciphertext())[3] ^= 1;
  auto envelope = SignEnvelope(payload_type::kSessionDescriptor, Serialise(*descriptor),
                               provider_.descriptor_role.key, provider_.descriptor_role.Chain());
  ASSERT_TRUE(envelope.ok());
  ExpectRefused(Attest({*envelope, voucher_, space_}, Challenge(), random_).request,
                Cause::kSessionNotSealed, absl::StatusCode::kFailedPrecondition,
                "SESSION_NOT_SEALED");
}

TEST_F(GrantAuthorityTest, RefusesARevokedSecureSpace) {
  auto list = IssueRevocationList(provider_.issuer.certificate, provider_.issuer.key,
                                  {space_.certificate.serial_hex()}, clock_.Now(),
                                  clock_.Now() + std::chrono::hours(1), 1);
  ASSERT_TRUE(list.ok()) << list.status();
  auto trust = Trust::Create({provider_.issuer.certificate}, {*list}, std::nullopt);
  ASSERT_TRUE(trust.ok()) << trust.status();
  Rebuild(*std::move(trust));
  ExpectNotAttested(Good().request, Cause::kRevoked);
  const TestSecureSpace free = provider_.MakeSecureSpace();
  const v1::SignedEnvelope voucher = provider_.MakeVoucher(session_, free.id, 0, 9);
  ExpectGranted(Attest({session_.descriptor(), voucher, free}, Challenge(free), random_));
}

TEST_F(GrantAuthorityTest, ListsPastTheirNextUpdateStopJoinsRetryably) {
  auto list = IssueRevocationList(provider_.issuer.certificate, provider_.issuer.key, {},
                                  clock_.Now(), clock_.Now() + std::chrono::hours(1), 1);
  ASSERT_TRUE(list.ok());
  auto trust = Trust::Create({provider_.issuer.certificate}, {*list}, std::nullopt);
  ASSERT_TRUE(trust.ok()) << trust.status();
  Rebuild(*std::move(trust));
  clock_.Advance(std::chrono::minutes(59));
  clock_.Advance(std::chrono::seconds(59));
  const Exchange exchange = Good();
  ExpectGranted(exchange);
  EXPECT_TRUE(authority_->CheckReady().ok());
  clock_.Advance(std::chrono::seconds(1));
  EXPECT_EQ(authority_->CheckReady().code(), absl::StatusCode::kUnavailable);
  ExpectRefused(exchange.request, Cause::kListsExpired, absl::StatusCode::kUnavailable,
                "LISTS_EXPIRED");
  EXPECT_GT(RetryAfterSeconds(authority_->IssueGrant(exchange.request).status()), 0);
  const absl::Status challenge =
      authority_->GetChallenge(ChallengeRequest(session_.session(), space_)).status();
  EXPECT_EQ(challenge.code(), absl::StatusCode::kUnavailable);
  EXPECT_EQ(ReasonOf(challenge), "LISTS_EXPIRED");
}

// No secure space takes what it signs then.
TEST_F(GrantAuthorityTest, IsReadyOnlyWhileItsSigningChainIsValid) {
  const Certificate& own = provider_.key_manager.certificate;
  ASSERT_LE(own.not_after(), provider_.pool_role.certificate.not_after());
  const auto ready_at = [&](Timestamp now) {
    clock_.Set(now);
    return authority_->CheckReady();
  };
  Rebuild(TrustOf(provider_));
  EXPECT_TRUE(ready_at(own.not_after()).ok());
  const absl::Status late = ready_at(own.not_after() + std::chrono::seconds(1));
  EXPECT_EQ(late.code(), absl::StatusCode::kUnavailable);
  EXPECT_NE(late.message().find("has expired"), absl::string_view::npos) << late;
  const absl::Status early = ready_at(own.not_before() - std::chrono::seconds(1));
  EXPECT_EQ(early.code(), absl::StatusCode::kUnavailable);
  EXPECT_NE(early.message().find("is not valid yet"), absl::string_view::npos) << early;
  EXPECT_TRUE(ready_at(kTestTime).ok());
}

TEST_F(GrantAuthorityTest, LimitsTheRateOfOneSecureSpaceOnly) {
  limits_.joins_per_secure_space = {.burst = 2, .per_second = 1};
  Rebuild(TrustOf(provider_));
  ExpectGranted(Good());
  const Exchange second = Good();
  ExpectGranted(second);
  ExpectRefused(Good().request, Cause::kRateLimited, absl::StatusCode::kResourceExhausted,
                "RATE_LIMITED");
  EXPECT_GT(RetryAfterSeconds(authority_->IssueGrant(Good().request).status()), 0);
  // A repeated answer costs nothing and is not counted.
  ExpectGranted(second);
  const TestSecureSpace other = provider_.MakeSecureSpace();
  const v1::SignedEnvelope voucher = provider_.MakeVoucher(session_, other.id, 0, 9);
  ExpectGranted(Attest({session_.descriptor(), voucher, other}, Challenge(other), random_));
  clock_.Advance(std::chrono::seconds(1));
  ExpectGranted(Good());
}

// Unattested requests do not spend another's rate.
TEST_F(GrantAuthorityTest, AForgerSpendsNobodysRate) {
  limits_.joins_per_secure_space = {.burst = 1, .per_second = 1};
  Rebuild(TrustOf(provider_));
  Exchange forged = Good();
  (*forged.request.mutable_evidence()->mutable_signature())[9] ^= 1;
  for (int i = 0; i < 5; ++i) ExpectNotAttested(forged.request, Cause::kEvidence);
  ExpectGranted(Good());
}

// --- Set-up ---

TEST_F(GrantAuthorityTest, NeedsASigningKeyThatTheProviderCertified) {
  auto keys = KeysOf(provider_);
  TestProvider other(kTestTime, 2);
  keys->signing = other.MakeReplica();
  EXPECT_EQ(GrantAuthority::Create(std::move(keys), TrustOf(provider_), world_).status().code(),
            absl::StatusCode::kUnauthenticated);
  auto swapped = KeysOf(provider_);
  swapped->signing.key = std::move(provider_.MakeReplica().key);
  EXPECT_EQ(GrantAuthority::Create(std::move(swapped), TrustOf(provider_), world_).status().code(),
            absl::StatusCode::kInvalidArgument);
}

TEST_F(GrantAuthorityTest, TrustWantsIssuersAndListsThatFit) {
  using absl::StatusCode;
  const Certificate& issuer = provider_.issuer.certificate;
  EXPECT_EQ(Trust::Create({}, {}, std::nullopt).status().code(), StatusCode::kInvalidArgument);
  EXPECT_EQ(Trust::Create({issuer, issuer}, {}, std::nullopt).status().code(),
            StatusCode::kInvalidArgument);
  EXPECT_EQ(Trust::Create({provider_.root.certificate}, {}, std::nullopt).status().code(),
            StatusCode::kUnauthenticated);
  TestProvider other(kTestTime, 2);
  auto foreign = IssueRevocationList(other.issuer.certificate, other.issuer.key, {}, clock_.Now(),
                                     clock_.Now() + std::chrono::hours(1), 1);
  auto own = IssueRevocationList(provider_.issuer.certificate, provider_.issuer.key, {},
                                 clock_.Now(), clock_.Now() + std::chrono::hours(1), 1);
  ASSERT_TRUE(foreign.ok() && own.ok());
  EXPECT_EQ(Trust::Create({issuer}, {*foreign}, std::nullopt).status().code(),
            StatusCode::kUnauthenticated);
  EXPECT_EQ(Trust::Create({issuer}, {*own, *own}, std::nullopt).status().code(),
            StatusCode::kInvalidArgument);
}

}  // namespace
}  // namespace nark::keymanager
