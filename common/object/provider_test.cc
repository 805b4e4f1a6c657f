#include "common/object/provider.h"

#include <memory>
#include <string>
#include <utility>

#include "common/base/status.h"
#include "common/object/deny_list.h"
#include "common/object/envelope.h"
#include "common/object/sealed_session.h"
#include "common/object/sender_file.h"
#include "common/object/testing.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace nark {
namespace {

using ::testing::HasSubstr;

class ProviderTest : public ::testing::Test {
 protected:
  VoucherOptions Bought(uint64_t first, uint64_t last) {
    VoucherOptions options;
    options.policy.mutable_range()->set_first(first);
    options.policy.mutable_range()->set_last(last);
    return options;
  }
  v1::Money PriceOf(const TestSession& session, const VoucherOptions& options) {
    return PayloadOf<v1::Voucher>(provider_.MakeVoucher(session, options), "it")->price();
  }

  TestProvider provider_;
};

TEST_F(ProviderTest, SealsTheSeedToThePool) {
  TestSession session = provider_.MakeSession();
  absl::StatusOr<SecretBytes> seed = OpenSealedSession(session.session(), provider_.pool_keys);
  ASSERT_TRUE(seed.ok()) << seed.status();
  EXPECT_TRUE(*seed == session.seed());
}

TEST_F(ProviderTest, SealsTheSeedToNobodyElse) {
  TestSession session = provider_.MakeSession();
  TestProvider other(kTestTime, 2);
  EXPECT_EQ(OpenSealedSession(session.session(), other.pool_keys).status().code(),
            absl::StatusCode::kNotFound);
}

TEST_F(ProviderTest, RefusesASealedSeedOfAnotherSession) {
  // Both are signed by the provider; the info of HPKE tells them apart.
  TestSession a = provider_.MakeSession(), b = provider_.MakeSession();
  v1::SessionDescriptor mixed = a.session().descriptor();
  *mixed.mutable_sealed_sessions() = b.session().descriptor().sealed_sessions();
  v1::SignedEnvelope envelope =
      *SignEnvelope(payload_type::kSessionDescriptor, Serialise(mixed),
                    provider_.descriptor_role.key, provider_.descriptor_role.Chain());
  absl::StatusOr<VerifiedSession> session = VerifiedSession::Verify(envelope, kTestTime);
  ASSERT_TRUE(session.ok()) << session.status();
  EXPECT_EQ(OpenSealedSession(*session, provider_.pool_keys).status().code(),
            absl::StatusCode::kInvalidArgument);
}

TEST_F(ProviderTest, ResealsWithoutTouchingTheTerms) {
  TestSession session = provider_.MakeSession();
  HpkePrivateKey fresh = *HpkePrivateKey::Generate(provider_.random());
  absl::StatusOr<v1::SignedEnvelope> envelope =
      ResealSession(session.session(), session.secrets(), provider_.descriptor_role,
                    {{provider_.pool_keys[0].public_key(), fresh.public_key()}, {Digest{7}}},
                    kTestTime, provider_.random());
  ASSERT_TRUE(envelope.ok()) << envelope.status();
  VerifiedSession resealed = *VerifiedSession::Verify(*envelope, kTestTime);
  EXPECT_EQ(resealed.terms_identity(), session.session().terms_identity());
  EXPECT_NE(resealed.descriptor_identity(), session.session().descriptor_identity());
  EXPECT_GT(resealed.descriptor().issue_time_us(), session.session().descriptor().issue_time_us());
  EXPECT_TRUE(resealed.RevokesKeyManager(Digest{7}));
  EXPECT_FALSE(resealed.RevokesKeyManager(Digest{8}));
  for (const HpkePrivateKey* key : {&fresh, &provider_.pool_keys[0]}) {
    absl::StatusOr<SecretBytes> seed = OpenSealedSession(resealed, std::span(key, 1));
    ASSERT_TRUE(seed.ok()) << seed.status();
    EXPECT_TRUE(*seed == session.seed());
  }
}

SessionOptions Audited(uint8_t secret = 7, uint32_t words_log2 = 12) {
  SecretBytes bytes(audit::kAuditSecretBytes);
  bytes.RevealMutable()[0] = secret;
  SessionOptions options;
  options.cipher = "chameleon";
  options.audit = AuditOptions{.family = std::make_shared<const audit::Family>(
                                   *audit::Family::Of(std::move(bytes), words_log2)),
                               .colluders = 3};
  return options;
}

TEST_F(ProviderTest, SealsTheAuditSecretToThePoolAndReseals) {
  const SessionOptions options = Audited();
  const TestSession session = provider_.MakeSession(options);
  const v1::AuditTrail& audit = session.session().terms().audit();
  EXPECT_EQ(audit.block_id(), ToText(options.audit->family->id()));
  EXPECT_EQ(audit.block_words_log2(), 12u);
  EXPECT_EQ(audit.colluders(), 3u);
  EXPECT_EQ(audit.false_accusation_one_in(), 1'000'000u);
  const auto secrets = OpenSessionSecrets(session.session(), provider_.pool_keys);
  ASSERT_TRUE(secrets.ok()) << secrets.status();
  EXPECT_TRUE(secrets->seed == session.seed());
  EXPECT_TRUE(secrets->audit == options.audit->family->secret());

  const HpkePrivateKey fresh = *HpkePrivateKey::Generate(provider_.random());
  const auto envelope = ResealSession(session.session(), *secrets, provider_.descriptor_role,
                                      {{fresh.public_key()}, {}}, kTestTime, provider_.random());
  ASSERT_TRUE(envelope.ok()) << envelope.status();
  const VerifiedSession resealed = *VerifiedSession::Verify(*envelope, kTestTime);
  EXPECT_TRUE(OpenSessionSecrets(resealed, std::span(&fresh, 1))->audit == secrets->audit);
}

TEST_F(ProviderTest, GivesASenderNoMoreThanItNeedsToBeMarked) {
  const SessionOptions options = Audited();
  const TestSession session = provider_.MakeSession(options);
  const auto opened = OpenSenderFile(session.sender_files.at(1), kTestTime);
  ASSERT_TRUE(opened.ok()) << opened.status();
  const audit::Family& family = *options.audit->family;
  EXPECT_TRUE(opened->base_block_key == *family.BaseBlockKey());
  ASSERT_EQ(opened->audit_keys.size(), 1u);
  EXPECT_TRUE(opened->audit_keys.at(0) == *family.StreamKey(session.name(), 0, 1));
  const auto plain = OpenSenderFile(provider_.MakeSession().sender_files.at(1), kTestTime);
  EXPECT_TRUE(plain->base_block_key.empty());
  EXPECT_TRUE(plain->audit_keys.empty());
}

TEST_F(ProviderTest, RefusesAuditTrailsThatCanNotBe) {
  const auto refused = [this](const SessionOptions& options) {
    const SessionPool pool = {{provider_.pool_keys[0].public_key()}, {}};
    SessionOptions whole = options;
    whole.transports[0] = "file:x";
    for (const v1::SubSession& sub : whole.sub_sessions) whole.transports[sub.id()] = "file:x";
    const absl::Status status =
        MakeSession(whole, provider_.signers(), pool, kTestTime, provider_.random()).status();
    return std::string(Std(status.message()));
  };
  SessionOptions options = Audited();
  options.cipher = "aes-128-gcm";
  EXPECT_THAT(refused(options), HasSubstr("a cipher that marks nothing"));
  options = {};
  options.cipher = "chameleon";
  EXPECT_THAT(refused(options), HasSubstr("no audit trail"));
  options = Audited();
  options.audit->colluders = 4;
  EXPECT_THAT(refused(options), HasSubstr("suffice for 1 to 3"));
  options.audit->colluders = 0;
  EXPECT_THAT(refused(options), HasSubstr("suffice for 1 to 3"));
  options = Audited();
  options.audit->false_accusation_one_in = 99;
  EXPECT_THAT(refused(options), HasSubstr("one in 100 to one in 10^12"));
  options = Audited();
  options.sub_sessions.emplace_back().set_id(5);
  options.sub_sessions.back().set_demands_digest(true);
  EXPECT_THAT(refused(options), HasSubstr("no demand for digests"));
}

TEST_F(ProviderTest, RefusesADescriptorThatDoesNotSealTheAuditSecretToEachKey) {
  const TestSession session = provider_.MakeSession(Audited());
  v1::SessionDescriptor descriptor = session.session().descriptor();
  descriptor.clear_sealed_audit_secrets();
  const auto verified = [this](const v1::SessionDescriptor& changed) {
    return VerifiedSession::Verify(
               *SignEnvelope(payload_type::kSessionDescriptor, Serialise(changed),
                             provider_.descriptor_role.key, provider_.descriptor_role.Chain()),
               kTestTime)
        .status();
  };
  EXPECT_THAT(Std(verified(descriptor).message()), HasSubstr("audit secret"));
  descriptor = provider_.MakeSession().session().descriptor();
  *descriptor.add_sealed_audit_secrets() = descriptor.sealed_sessions(0);
  EXPECT_THAT(Std(verified(descriptor).message()), HasSubstr("audit secret"));
}

TEST_F(ProviderTest, RefusesOptionsThatContradictEachOther) {
  SessionOptions options;
  options.transports[0] = "file:x";
  options.deadline_ms = 0;
  const SessionPool pool = {{provider_.pool_keys[0].public_key()}, {}};
  absl::Status status =
      MakeSession(options, provider_.signers(), pool, kTestTime, provider_.random()).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(Std(status.message()), HasSubstr("deadline"));
  options.timeliness = v1::TIMELINESS_NONE;
  EXPECT_TRUE(MakeSession(options, provider_.signers(), pool, kTestTime, provider_.random()).ok());
  EXPECT_FALSE(MakeSession(options, provider_.signers(), {}, kTestTime, provider_.random()).ok());
}

TEST_F(ProviderTest, PricesByTheList) {
  SessionOptions options;
  options.price_per_adu.emplace();
  options.price_per_adu->set_amount_minor(3);
  options.price_per_adu->set_currency("EUR");
  TestSession session = provider_.MakeSession(options);
  EXPECT_EQ(PriceOf(session, Bought(10, 19)).amount_minor(), 30u);
  EXPECT_EQ(PriceOf(session, Bought(10, 19)).currency(), "EUR");
  VoucherOptions counted = Bought(0, 99);
  counted.policy.set_count(5);
  EXPECT_EQ(PriceOf(session, counted).amount_minor(), 15u);
  counted.price.emplace();
  counted.price->set_amount_minor(7);
  counted.price->set_currency("EUR");
  EXPECT_EQ(PriceOf(session, counted).amount_minor(), 7u);
}

TEST_F(ProviderTest, RefusesAPriceBeyondAllNumbers) {
  SessionOptions options;
  options.depth = 63;
  options.price_per_adu.emplace();
  options.price_per_adu->set_amount_minor(1000);
  options.price_per_adu->set_currency("EUR");
  TestSession session = provider_.MakeSession(options);
  absl::Status status = MakeVoucher(Bought(0, (1ull << 63) - 1), session.session(), provider_.till,
                                    kTestTime, provider_.random())
                            .status();
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(Std(status.message()), HasSubstr("price"));
}

TEST_F(ProviderTest, GivesASenderItsOwnRootsOnly) {
  SessionOptions options;
  options.senders.emplace_back().set_sender_id(2);
  v1::SubSession audio;
  audio.set_id(4);
  options.sub_sessions = {audio};
  TestSession session = provider_.MakeSession(options);
  absl::StatusOr<OpenedSenderFile> sender = OpenSenderFile(session.sender_files.at(2), kTestTime);
  ASSERT_TRUE(sender.ok()) << sender.status();
  EXPECT_EQ(sender->sender_id, 2u);
  EXPECT_EQ(sender->session.name(), session.name());
  ASSERT_EQ(sender->roots.size(), 2u);
  EXPECT_TRUE(sender->roots.at(0) == session.SenderRoot(2, 0));
  EXPECT_TRUE(sender->roots.at(4) == session.SenderRoot(2, 4));
  EXPECT_FALSE(sender->roots.at(0) == session.SenderRoot(1, 0));
  EXPECT_EQ(sender->signing_key.public_key().id(), session.sender_key(2).public_key().id());
}

TEST_F(ProviderTest, RefusesASenderFileWithAnothersKey) {
  SessionOptions options;
  options.senders.emplace_back().set_sender_id(2);
  TestSession session = provider_.MakeSession(options);
  v1::SenderFile a = *PayloadOf<v1::SenderFile>(session.sender_files.at(1), "it");
  v1::SenderFile b = *PayloadOf<v1::SenderFile>(session.sender_files.at(2), "it");
  auto open = [&](const v1::SenderFile& file) {
    return OpenSenderFile(*SignEnvelope(payload_type::kSenderFile, Serialise(file),
                                        provider_.senders_role.key, provider_.senders_role.Chain()),
                          kTestTime)
        .status();
  };
  EXPECT_TRUE(open(a).ok());
  v1::SenderFile mixed = a;
  mixed.set_signing_key(b.signing_key());
  EXPECT_EQ(open(mixed).code(), absl::StatusCode::kInvalidArgument);
  mixed = a;
  mixed.set_sender_id(2);
  EXPECT_EQ(open(mixed).code(), absl::StatusCode::kInvalidArgument);
  mixed = a;
  mixed.clear_roots();
  EXPECT_EQ(open(mixed).code(), absl::StatusCode::kInvalidArgument);
  mixed = a;
  mixed.set_tls_key(b.signing_key());
  EXPECT_EQ(open(mixed).code(), absl::StatusCode::kInvalidArgument);
}

TEST_F(ProviderTest, DeniesWhomTheListNames) {
  Digest a{}, b{}, c{};
  a[0] = 3, b[0] = 1, c[0] = 2;
  v1::SignedEnvelope envelope = *MakeDenyList(provider_.id(), {a, b, a}, provider_.control,
                                              kTestTime, kTestTime + std::chrono::hours(1));
  absl::StatusOr<VerifiedDenyList> list =
      VerifyDenyList(envelope, provider_.root.certificate, kTestTime);
  ASSERT_TRUE(list.ok()) << list.status();
  EXPECT_EQ(list->secure_space_ids.size(), 2u);
  EXPECT_TRUE(list->Denies(a));
  EXPECT_TRUE(list->Denies(b));
  EXPECT_FALSE(list->Denies(c));
  EXPECT_EQ(list->next_update, kTestTime + std::chrono::hours(1));
}

TEST_F(ProviderTest, RefusesADenyListOfAnotherRoleOrProvider) {
  TestProvider other(kTestTime, 2);
  auto verify = [&](const Digest& id, const SigningIdentity& signer) {
    return VerifyDenyList(*MakeDenyList(id, {}, signer, kTestTime, kTestTime),
                          provider_.root.certificate, kTestTime)
        .status()
        .code();
  };
  EXPECT_EQ(verify(provider_.id(), provider_.control), absl::StatusCode::kOk);
  EXPECT_EQ(verify(provider_.id(), provider_.till), absl::StatusCode::kUnauthenticated);
  EXPECT_EQ(verify(provider_.id(), other.control), absl::StatusCode::kUnauthenticated);
  EXPECT_EQ(verify(other.id(), provider_.control), absl::StatusCode::kInvalidArgument);
}

TEST_F(ProviderTest, CertifiesASecureSpaceUnderTheIssuer) {
  TestSecureSpace space = provider_.MakeSecureSpace();
  absl::StatusOr<Certificate> leaf =
      VerifyChain({space.certificate}, provider_.issuer.certificate,
                  {.at = kTestTime, .leaf_role = CertificateRole::kSecureSpace});
  ASSERT_TRUE(leaf.ok()) << leaf.status();
  EXPECT_EQ(leaf->secure_space_scope()->note_spki, space.note_key.public_key().spki());
  EXPECT_EQ(leaf->subject(), ToHex(space.id));
}

}  // namespace
}  // namespace nark
