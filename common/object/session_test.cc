#include "common/object/session.h"

#include <functional>
#include <string>

#include "common/base/status.h"
#include "common/object/envelope.h"
#include "common/object/testing.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace nark {
namespace {

using ::testing::HasSubstr;

// Signs what a provider would never sign, to see it refused.
class VerifiedSessionTest : public ::testing::Test {
 protected:
  VerifiedSessionTest() : session_(provider_.MakeSession(Options())) {}

  static SessionOptions Options() {
    SessionOptions options;
    options.key_managers = {"localhost:7001", "[::1]:7002"};
    options.refund_desks = {"refunds.example.org:7003"};
    v1::SubSession audio;
    audio.set_id(3);
    options.sub_sessions = {audio};
    options.senders[0].set_may_control(true);
    v1::PermittedSender second;
    second.set_sender_id(9);
    options.senders.push_back(second);
    return options;
  }

  v1::SignedEnvelope Resigned(const v1::SessionDescriptor& descriptor) {
    return *SignEnvelope(payload_type::kSessionDescriptor, Serialise(descriptor),
                         provider_.descriptor_role.key, provider_.descriptor_role.Chain());
  }

  absl::Status WithDescriptor(const std::function<void(v1::SessionDescriptor&)>& change) {
    v1::SessionDescriptor descriptor = session_.session().descriptor();
    change(descriptor);
    return VerifiedSession::Verify(Resigned(descriptor), kTestTime).status();
  }

  absl::Status WithTerms(const std::function<void(v1::Terms&)>& change) {
    v1::Terms terms = session_.session().terms();
    change(terms);
    v1::SignedEnvelope signed_terms =
        *SignEnvelope(payload_type::kTerms, Serialise(terms), provider_.descriptor_role.key,
                      provider_.descriptor_role.Chain());
    return WithDescriptor(
        [&](v1::SessionDescriptor& descriptor) { *descriptor.mutable_terms() = signed_terms; });
  }

  static void Revoke(v1::SessionDescriptor& descriptor, const std::vector<uint8_t>& first_bytes) {
    for (const uint8_t byte : first_bytes) {
      descriptor.add_revoked_key_managers(ToText(Digest{byte}));
    }
  }

  TestProvider provider_;
  TestSession session_;
};

TEST_F(VerifiedSessionTest, TellsWhichKeyManagersAreRevoked) {
  v1::SessionDescriptor descriptor = session_.session().descriptor();
  EXPECT_FALSE(session_.session().RevokesKeyManager(Digest{1}));
  Revoke(descriptor, {0x01, 0x7f, 0x80, 0xff});
  const auto session = VerifiedSession::Verify(Resigned(descriptor), kTestTime);
  ASSERT_TRUE(session.ok()) << session.status();
  for (const uint8_t byte : {0x01, 0x7f, 0x80, 0xff}) {
    EXPECT_TRUE(session->RevokesKeyManager(Digest{byte})) << int{byte};
  }
  for (const uint8_t byte : {0x00, 0x02, 0x81}) {
    EXPECT_FALSE(session->RevokesKeyManager(Digest{byte})) << int{byte};
  }
}

TEST_F(VerifiedSessionTest, ManyKeyManagersMayBeRevoked) {
  EXPECT_TRUE(WithDescriptor([](v1::SessionDescriptor& descriptor) {
                for (int i = 0; i < kMaxRevokedKeyManagers; ++i) {
                  descriptor.add_revoked_key_managers(
                      ToText(Digest{static_cast<uint8_t>(i >> 8), static_cast<uint8_t>(i)}));
                }
              }).ok());
}

TEST_F(VerifiedSessionTest, AcceptsWhatAProviderMakes) {
  absl::StatusOr<VerifiedSession> session =
      VerifiedSession::Verify(session_.descriptor(), kTestTime);
  ASSERT_TRUE(session.ok()) << session.status();
  EXPECT_EQ(session->name().provider, provider_.id());
  EXPECT_EQ(session->terms_identity(), ObjectIdentity(session->descriptor().terms()));
  EXPECT_EQ(session->descriptor_identity(), ObjectIdentity(session_.descriptor()));
  ASSERT_NE(session->FindSender(1), nullptr);
  EXPECT_EQ(session->FindSender(1)->key.id(), session_.sender_key().public_key().id());
  EXPECT_TRUE(session->FindSender(1)->may_control);
  EXPECT_FALSE(session->FindSender(9)->may_control);
  EXPECT_EQ(session->FindSender(2), nullptr);
}

TEST_F(VerifiedSessionTest, AcceptsResignedBytes) {
  EXPECT_TRUE(WithDescriptor([](v1::SessionDescriptor&) {}).ok());
  EXPECT_TRUE(WithTerms([](v1::Terms&) {}).ok());
}

TEST_F(VerifiedSessionTest, RefusesTermsOfEveryWrongShape) {
  using Change = std::function<void(v1::Terms&)>;
  const std::pair<const char*, Change> cases[] = {
      {"session's provider", [](auto& t) { t.mutable_session()->clear_provider(); }},
      {"session's id", [](auto& t) { t.mutable_session()->set_session_id("short"); }},
      {"title", [](auto& t) { t.set_title(std::string(201, 'x')); }},
      {"cipher", [](auto& t) { t.clear_cipher(); }},
      {"cipher", [](auto& t) { t.set_cipher("AES"); }},
      {"generator", [](auto& t) { t.clear_generator(); }},
      {"generator", [](auto& t) { t.mutable_generator()->clear_id(); }},
      {"depth", [](auto& t) { t.mutable_generator()->set_depth(0); }},
      {"depth", [](auto& t) { t.mutable_generator()->set_depth(64); }},
      {"receipt type", [](auto& t) { t.clear_receipt_type(); }},
      {"receipt type", [](auto& t) { t.set_receipt_type(static_cast<v1::ReceiptType>(9)); }},
      {"release mode", [](auto& t) { t.clear_release_mode(); }},
      {"release mode", [](auto& t) { t.set_release_mode(static_cast<v1::ReleaseMode>(9)); }},
      {"timeliness", [](auto& t) { t.clear_timeliness(); }},
      {"timeliness", [](auto& t) { t.set_timeliness(static_cast<v1::Timeliness>(9)); }},
      {"deadline", [](auto& t) { t.clear_deadline_ms(); }},
      {"deadline", [](auto& t) { t.set_timeliness(v1::TIMELINESS_NONE); }},
      {"timing", [](auto& t) { t.clear_adu_timing(); }},
      {"timing", [](auto& t) { t.mutable_adu_timing()->set_gop(false); }},
      {"duration", [](auto& t) { t.mutable_adu_timing()->set_duration_ms(0); }},
      {"size", [](auto& t) { t.mutable_adu_timing()->set_bytes(0); }},
      {"size", [](auto& t) { t.mutable_adu_timing()->set_bytes((16 << 20) + 1); }},
      {"price", [](auto& t) { t.mutable_price_per_adu()->set_currency("eur"); }},
      {"refund", [](auto& t) { t.clear_refund(); }},
      {"tolerance", [](auto& t) { t.mutable_refund()->set_tolerance_per_mille(1001); }},
      {"cap", [](auto& t) { t.mutable_refund()->set_cap_percent(101); }},
      {"cap", [](auto& t) { t.mutable_refund()->set_emulated_cap_percent(101); }},
      {"sub-session 3 twice", [](auto& t) { *t.add_sub_sessions() = t.sub_sessions(0); }},
      {"sub-session 0 twice", [](auto& t) { t.add_sub_sessions(); }},
      {"permit no sender", [](auto& t) { t.clear_senders(); }},
      {"id 0", [](auto& t) { t.add_senders(); }},
      {"sender 1 twice", [](auto& t) { *t.add_senders() = t.senders(0); }},
      {"control block", [](auto& t) { t.set_control_block_bytes(79); }},
      {"control block", [](auto& t) { t.set_control_block_bytes(257); }},
  };
  for (const auto& [message, change] : cases) {
    absl::Status status = WithTerms(change);
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << message << ": " << status;
    EXPECT_THAT(Std(status.message()), HasSubstr(message));
  }
}

TEST_F(VerifiedSessionTest, RefusesDescriptorsOfEveryWrongShape) {
  using Change = std::function<void(v1::SessionDescriptor&)>;
  const std::pair<const char*, Change> cases[] = {
      {"no transport for sub-session 0", [](auto& d) { d.clear_transports(); }},
      {"no transport for sub-session 3", [](auto& d) { d.mutable_transports()->RemoveLast(); }},
      {"transport too many", [](auto& d) { *d.add_transports() = d.transports(0); }},
      {"transport too many", [](auto& d) { d.mutable_transports(1)->set_sub_session(4); }},
      {"transport", [](auto& d) { d.mutable_transports(0)->clear_uri(); }},
      {"transport", [](auto& d) { d.mutable_transports(0)->set_uri(std::string(1025, 'x')); }},
      {"key manager", [](auto& d) { d.add_key_managers("localhost"); }},
      {"key manager", [](auto& d) { d.add_key_managers("localhost:0"); }},
      {"key manager", [](auto& d) { d.add_key_managers("localhost:65536"); }},
      {"key manager", [](auto& d) { d.add_key_managers("a b:1"); }},
      {"key manager", [](auto& d) { d.add_key_managers("[::1:1"); }},
      {"refund desk", [](auto& d) { d.add_refund_desks(":7000"); }},
      {"TLS CA", [](auto& d) { d.clear_tls_ca_certificate(); }},
      {"TLS CA", [](auto& d) { d.set_tls_ca_certificate(d.root_certificate()); }},
      {"no pool key", [](auto& d) { d.clear_pool_keys(), d.clear_sealed_sessions(); }},
      {"pool key", [](auto& d) { d.mutable_pool_keys(0)->set_public_key("short"); }},
      {"pool key's id", [](auto& d) { d.mutable_pool_keys(0)->set_key_id("other"); }},
      {"pool key twice", [](auto& d) { *d.add_pool_keys() = d.pool_keys(0); }},
      {"each pool key", [](auto& d) { d.clear_sealed_sessions(); }},
      {"twice to one", [](auto& d) { *d.add_sealed_sessions() = d.sealed_sessions(0); }},
      {"encapsulated", [](auto& d) { d.mutable_sealed_sessions(0)->clear_enc(); }},
      {"ciphertext", [](auto& d) { d.mutable_sealed_sessions(0)->set_ciphertext("x"); }},
      {"issue time", [](auto& d) { d.clear_issue_time_us(); }},
      {"issue time", [](auto& d) { d.set_issue_time_us(~uint64_t{0}); }},
      {"sender 1 twice", [](auto& d) { *d.add_senders() = d.senders(0); }},
      {"revoked key manager's id", [](auto& d) { d.add_revoked_key_managers("short"); }},
      {"in order, each once",
       [](auto& d) {
         Revoke(d, {2, 2});
       }},
      {"in order, each once",
       [](auto& d) {
         Revoke(d, {0x80, 0x7f});
       }},
      {"more than 1024",
       [](auto& d) {
         for (int i = 0; i <= kMaxRevokedKeyManagers; ++i) Revoke(d, {1});
       }},
  };
  for (const auto& [message, change] : cases) {
    absl::Status status = WithDescriptor(change);
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << message << ": " << status;
    EXPECT_THAT(Std(status.message()), HasSubstr(message));
  }
}

TEST_F(VerifiedSessionTest, RefusesWhatAnotherProviderSigned) {
  TestProvider other(kTestTime, 2);
  TestSession foreign = other.MakeSession();
  using Change = std::function<void(v1::SessionDescriptor&)>;
  const std::pair<const char*, Change> cases[] = {
      {"root", [](auto& d) { d.clear_root_certificate(); }},
      {"provider root",
       [&](auto& d) { d.set_root_certificate(ToText(other.till.certificate.der())); }},
      {"descriptor",
       [&](auto& d) { d.set_root_certificate(ToText(other.root.certificate.der())); }},
      {"terms", [&](auto& d) { *d.mutable_terms() = foreign.session().descriptor().terms(); }},
      {"terms", [&](auto& d) { d.mutable_terms()->clear_certificates(); }},
      {"sender", [&](auto& d) { *d.add_senders() = foreign.session().descriptor().senders(0); }},
      {"certificates", [&](auto& d) { d.add_senders(); }},
  };
  for (const auto& [message, change] : cases) {
    absl::Status status = WithDescriptor(change);
    EXPECT_EQ(status.code(), absl::StatusCode::kUnauthenticated) << message << ": " << status;
    EXPECT_THAT(Std(status.message()), HasSubstr(message));
  }
}

TEST_F(VerifiedSessionTest, RefusesTermsThatNameAnotherProvider) {
  absl::Status status =
      WithTerms([](v1::Terms& t) { t.mutable_session()->set_provider(std::string(32, 'x')); });
  EXPECT_EQ(status.code(), absl::StatusCode::kUnauthenticated);
  EXPECT_THAT(Std(status.message()), HasSubstr("another provider"));
}

TEST_F(VerifiedSessionTest, RefusesASenderOfAnotherSession) {
  TestSession other = provider_.MakeSession();
  absl::Status status = WithDescriptor([&](v1::SessionDescriptor& d) {
    *d.mutable_senders(0) = other.session().descriptor().senders(0);
  });
  EXPECT_EQ(status.code(), absl::StatusCode::kUnauthenticated);
  EXPECT_THAT(Std(status.message()), HasSubstr("another session"));
}

TEST_F(VerifiedSessionTest, RefusesASenderWhomTheTermsDoNotPermit) {
  v1::PermittedSender third;
  third.set_sender_id(77);
  SigningIdentity sender = *MakeSender(session_.name(), third, provider_.senders_role, kTestTime);
  absl::Status status = WithDescriptor([&](v1::SessionDescriptor& d) {
    v1::SenderCertificate* added = d.add_senders();
    for (const Certificate& link : sender.Chain()) added->add_certificates(ToText(link.der()));
  });
  EXPECT_EQ(status.code(), absl::StatusCode::kUnauthenticated);
  EXPECT_THAT(Std(status.message()), HasSubstr("sender 77"));
}

TEST_F(VerifiedSessionTest, HearsASenderAddedToOpenTermsAndNeverObeysIt) {
  SessionOptions options = Options();
  options.open_to_senders = OpenToSenders::kYes;
  TestSession open = provider_.MakeSession(options);
  v1::PermittedSender third;
  third.set_sender_id(77);
  third.set_may_control(true);
  SigningIdentity sender = *MakeSender(open.name(), third, provider_.senders_role, kTestTime);
  v1::SessionDescriptor descriptor = open.session().descriptor();
  v1::SenderCertificate* added = descriptor.add_senders();
  for (const Certificate& link : sender.Chain()) added->add_certificates(ToText(link.der()));
  absl::StatusOr<VerifiedSession> session =
      VerifiedSession::Verify(Resigned(descriptor), kTestTime);
  ASSERT_TRUE(session.ok()) << session.status();
  ASSERT_NE(session->FindSender(77), nullptr);
  EXPECT_FALSE(session->FindSender(77)->may_control);
  EXPECT_EQ(session->sender_ids(), (std::vector<uint32_t>{1, 9, 77}));
  EXPECT_EQ(session->terms_identity(), open.session().terms_identity());
}

TEST_F(VerifiedSessionTest, LetsPoliciesNameAddedSendersInOpenTermsOnly) {
  v1::Policy policy;
  policy.mutable_range()->set_last(9);
  policy.add_sender_ids(77);
  v1::Terms terms = session_.session().terms();
  EXPECT_EQ(CheckPolicy(policy, terms).code(), absl::StatusCode::kInvalidArgument);
  terms.set_open_to_senders(true);
  EXPECT_TRUE(CheckPolicy(policy, terms).ok());
  policy.add_sender_ids(0);
  EXPECT_EQ(CheckPolicy(policy, terms).code(), absl::StatusCode::kInvalidArgument);
}

TEST_F(VerifiedSessionTest, CountsWhatAPolicyBuys) {
  const v1::Terms& terms = session_.session().terms();
  v1::Policy policy;
  policy.mutable_range()->set_first(10);
  policy.mutable_range()->set_last(19);
  EXPECT_EQ(StreamsOf(policy, terms), (Streams{{0, 1}, {0, 9}}));
  EXPECT_EQ(*AdusBought(policy, StreamsOf(policy, terms)), 20u);
  policy.add_sub_sessions(3);
  policy.add_sub_sessions(0);
  EXPECT_EQ(StreamsOf(policy, terms), (Streams{{0, 1}, {0, 9}, {3, 1}, {3, 9}}));
  EXPECT_EQ(*AdusBought(policy, StreamsOf(policy, terms)), 40u);
  policy.set_count(15);  // of each sender
  EXPECT_EQ(*AdusBought(policy, StreamsOf(policy, terms)), 30u);
  policy.add_sender_ids(9);
  EXPECT_EQ(StreamsOf(policy, terms), (Streams{{0, 9}, {3, 9}}));
  EXPECT_EQ(*AdusBought(policy, StreamsOf(policy, terms)), 15u);
  policy.mutable_range()->set_last((uint64_t{1} << 62) + 10);
  EXPECT_EQ(*AdusBought(policy, StreamsOf(policy, terms)), 15u);
  policy.set_count(0);
  EXPECT_EQ(AdusBought(policy, StreamsOf(policy, terms)).status().code(),
            absl::StatusCode::kOutOfRange);
}

TEST_F(VerifiedSessionTest, LetsASenderControlOnlyWhereBothSaySo) {
  v1::Terms terms = session_.session().terms();
  terms.mutable_senders(0)->set_may_control(false);
  terms.mutable_senders(1)->set_may_control(true);
  v1::SessionDescriptor descriptor = session_.session().descriptor();
  *descriptor.mutable_terms() =
      *SignEnvelope(payload_type::kTerms, Serialise(terms), provider_.descriptor_role.key,
                    provider_.descriptor_role.Chain());
  absl::StatusOr<VerifiedSession> session =
      VerifiedSession::Verify(Resigned(descriptor), kTestTime);
  ASSERT_TRUE(session.ok()) << session.status();
  EXPECT_FALSE(session->FindSender(1)->may_control);
  EXPECT_FALSE(session->FindSender(9)->may_control);
}

TEST_F(VerifiedSessionTest, RefusesADescriptorSignedByAnotherRole) {
  for (const SigningIdentity* role : {&provider_.till, &provider_.refunds, &provider_.pool_role,
                                      &provider_.senders_role, &provider_.control}) {
    v1::SignedEnvelope envelope =
        *SignEnvelope(payload_type::kSessionDescriptor, Serialise(session_.session().descriptor()),
                      role->key, role->Chain());
    EXPECT_EQ(VerifiedSession::Verify(envelope, kTestTime).status().code(),
              absl::StatusCode::kUnauthenticated);
  }
}

TEST_F(VerifiedSessionTest, RefusesAnExpiredDescriptor) {
  Timestamp later = provider_.descriptor_role.certificate.not_after() + std::chrono::seconds(1);
  absl::Status status = VerifiedSession::Verify(session_.descriptor(), later).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kUnauthenticated);
  EXPECT_THAT(Std(status.message()), HasSubstr("expired"));
}

TEST(SessionNameTest, ComesBackFromItsProto) {
  SessionName name;
  name.provider.fill(0xab);
  name.session_id.fill(0x01);
  EXPECT_EQ(*SessionName::FromProto(name.ToProto()), name);
  EXPECT_EQ(name.ToString(), "abababab/01010101010101010101010101010101");
}

TEST(SessionNameTest, SeparatesSubSessionsAndProviders) {
  SessionName a, b;
  b.provider[0] = 1;
  EXPECT_NE(SessionContext(a, 0), SessionContext(b, 0));
  EXPECT_NE(SessionContext(a, 0), SessionContext(a, 1));
  EXPECT_EQ(SessionTag(SessionContext(a, 0)), LoadBig64(SessionContext(a, 0).data()));
}

}  // namespace
}  // namespace nark
