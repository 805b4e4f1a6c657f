#include <functional>
#include <string>

#include "common/base/status.h"
#include "common/object/envelope.h"
#include "common/object/session.h"
#include "common/object/testing.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace nark {
namespace {

using ::testing::HasSubstr;

class VoucherTest : public ::testing::Test {
 protected:
  VoucherTest()
      : session_(provider_.MakeSession()),
        space_(provider_.MakeSecureSpace()),
        voucher_(provider_.MakeVoucher(session_, space_.id, 10, 19)) {}

  absl::Status With(const std::function<void(v1::Voucher&)>& change) {
    v1::Voucher voucher = *PayloadOf<v1::Voucher>(voucher_, "it");
    change(voucher);
    return VerifyVoucher(*SignEnvelope(payload_type::kVoucher, Serialise(voucher),
                                       provider_.till.key, provider_.till.Chain()),
                         session_.session(), kTestTime)
        .status();
  }

  TestProvider provider_;
  TestSession session_;
  TestSecureSpace space_;
  v1::SignedEnvelope voucher_;
};

TEST_F(VoucherTest, IsAcceptedAsSold) {
  absl::StatusOr<VerifiedVoucher> voucher = VerifyVoucher(voucher_, session_.session(), kTestTime);
  ASSERT_TRUE(voucher.ok()) << voucher.status();
  EXPECT_EQ(voucher->voucher.policy().range().first(), 10u);
  EXPECT_EQ(voucher->voucher.policy().range().last(), 19u);
  EXPECT_EQ(voucher->identity, ObjectIdentity(voucher_));
}

TEST_F(VoucherTest, IsRefusedInEveryWrongShape) {
  using Change = std::function<void(v1::Voucher&)>;
  const std::pair<const char*, Change> cases[] = {
      {"voucher's id", [](auto& v) { v.clear_voucher_id(); }},
      {"session", [](auto& v) { v.clear_session(); }},
      {"other terms", [](auto& v) { v.clear_terms_identity(); }},
      {"secure-space id", [](auto& v) { v.set_secure_space_id("short"); }},
      {"no range", [](auto& v) { v.mutable_policy()->clear_range(); }},
      {"ends before", [](auto& v) { v.mutable_policy()->mutable_range()->set_first(20); }},
      {"beyond", [](auto& v) { v.mutable_policy()->mutable_range()->set_last(1ull << 32); }},
      {"sender 2", [](auto& v) { v.mutable_policy()->add_sender_ids(2); }},
      {"sender 1 twice",
       [](auto& v) {
         v.mutable_policy()->add_sender_ids(1), v.mutable_policy()->add_sender_ids(1);
       }},
      {"sub-session 5", [](auto& v) { v.mutable_policy()->add_sub_sessions(5); }},
      {"sub-session 0 twice",
       [](auto& v) {
         v.mutable_policy()->add_sub_sessions(0), v.mutable_policy()->add_sub_sessions(0);
       }},
      {"expiry", [](auto& v) { v.mutable_policy()->set_expires_us(~0ull); }},
      {"price", [](auto& v) { v.mutable_price()->set_currency("EURO"); }},
      {"issue time", [](auto& v) { v.clear_issue_time_us(); }},
      {"payer", [](auto& v) { v.set_payer_reference(std::string(201, 'x')); }},
      {"group id", [](auto& v) { v.add_group_ids(std::string(15, 'x')); }},
      {"group id", [](auto& v) { v.add_group_ids(std::string(33, 'x')); }},
      {"group twice",
       [](auto& v) { v.add_group_ids(std::string(16, 'x')), v.add_group_ids(v.group_ids(0)); }},
  };
  EXPECT_TRUE(With([](v1::Voucher&) {}).ok());
  for (const auto& [message, change] : cases) {
    absl::Status status = With(change);
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << message << ": " << status;
    EXPECT_THAT(Std(status.message()), HasSubstr(message));
  }
}

TEST_F(VoucherTest, MayEndAtTheLastId) {
  EXPECT_TRUE(With([](v1::Voucher& v) {
                v.mutable_policy()->mutable_range()->set_last((1ull << 32) - 1);
              }).ok());
}

TEST_F(VoucherTest, IsRefusedForAnotherSession) {
  TestSession other = provider_.MakeSession();
  absl::Status status = VerifyVoucher(voucher_, other.session(), kTestTime).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(Std(status.message()), HasSubstr("for session"));
  EXPECT_EQ(ReasonOf(status), "");
}

TEST_F(VoucherTest, IsRefusedForAnotherProvider) {
  TestProvider other(kTestTime, 2);
  TestSession foreign = other.MakeSession();
  absl::Status status = VerifyVoucher(voucher_, foreign.session(), kTestTime).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(Std(status.message()), HasSubstr("of provider"));
}

TEST_F(VoucherTest, IsRefusedFromAnotherProvidersTill) {
  // Someone else's till writes this session's name.
  TestProvider other(kTestTime, 2);
  v1::SignedEnvelope forged =
      *SignEnvelope(payload_type::kVoucher, voucher_.payload(), other.till.key, other.till.Chain());
  EXPECT_EQ(VerifyVoucher(forged, session_.session(), kTestTime).status().code(),
            absl::StatusCode::kUnauthenticated);
}

TEST_F(VoucherTest, IsRefusedFromAnyRoleButTheTill) {
  for (const SigningIdentity* role :
       {&provider_.descriptor_role, &provider_.refunds, &provider_.pool_role, &provider_.control}) {
    v1::SignedEnvelope forged =
        *SignEnvelope(payload_type::kVoucher, voucher_.payload(), role->key, role->Chain());
    EXPECT_EQ(VerifyVoucher(forged, session_.session(), kTestTime).status().code(),
              absl::StatusCode::kUnauthenticated);
  }
}

TEST_F(VoucherTest, IsRefusedUnderAnotherType) {
  v1::SignedEnvelope wrong = *SignEnvelope(payload_type::kTerms, voucher_.payload(),
                                           provider_.till.key, provider_.till.Chain());
  EXPECT_EQ(VerifyVoucher(wrong, session_.session(), kTestTime).status().code(),
            absl::StatusCode::kUnauthenticated);
}

}  // namespace
}  // namespace nark
