#include "common/object/trust.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "common/base/status.h"
#include "common/object/leaf_form.h"
#include "common/object/testing.h"

namespace nark {
namespace {

google::protobuf::RepeatedPtrField<std::string> Chain(ByteView der) {
  google::protobuf::RepeatedPtrField<std::string> chain;
  chain.Add(ToText(der));
  return chain;
}

Trust MakeTrust(const TestProvider& provider, const std::vector<RevocationList>& lists = {}) {
  auto trust = Trust::Create({provider.issuer.certificate}, lists, std::nullopt);
  EXPECT_TRUE(trust.ok()) << trust.status();
  return *std::move(trust);
}

class LeafFormTest : public testing::Test {
 protected:
  const PublicKey& issuer_key() const { return provider_.issuer.certificate.public_key(); }
  // What the general way says.
  absl::Status General(ByteView der, Timestamp at) const {
    return MakeTrust(provider_).VerifySecureSpace(Chain(der), at).status();
  }
  TestProvider provider_;
  const TestSecureSpace example_ = provider_.MakeSecureSpace();
  const std::optional<LeafForm> form_ = LeafForm::Of(example_.certificate);
};

TEST_F(LeafFormTest, ReadsWhatTheGeneralWayReads) {
  ASSERT_TRUE(form_.has_value());
  for (int i = 0; i < 20; ++i) {
    const TestSecureSpace space = provider_.MakeSecureSpace();
    const auto leaf = form_->Verify(space.certificate.der(), issuer_key(), kTestTime);
    ASSERT_TRUE(leaf.has_value());
    EXPECT_EQ(leaf->attestation_key.spki(), space.certificate.public_key().spki());
    EXPECT_EQ(leaf->note_spki, space.certificate.secure_space_scope()->note_spki);
    EXPECT_EQ(leaf->serial_hex, space.certificate.serial_hex());
    EXPECT_EQ(leaf->not_before, space.certificate.not_before());
    EXPECT_EQ(leaf->not_after, space.certificate.not_after());
  }
}

TEST_F(LeafFormTest, RefusesEveryFlippedBitAndEveryTruncation) {
  ASSERT_TRUE(form_.has_value());
  const Bytes good = provider_.MakeSecureSpace().certificate.der();
  for (size_t bit = 0; bit < good.size() * 8; ++bit) {
    Bytes flipped = good;
    flipped[bit / 8] ^= static_cast<uint8_t>(1 << (bit % 8));
    EXPECT_FALSE(form_->Verify(flipped, issuer_key(), kTestTime).has_value()) << "bit " << bit;
  }
  for (size_t keep = 0; keep < good.size(); ++keep) {
    EXPECT_FALSE(form_->Verify(ByteView(good).first(keep), issuer_key(), kTestTime).has_value());
  }
  Bytes longer = good;
  longer.push_back(0);
  EXPECT_FALSE(form_->Verify(longer, issuer_key(), kTestTime).has_value());
}

// Also where the issuer itself would sign it: no other form passes.
TEST_F(LeafFormTest, KnowsNoOtherForm) {
  ASSERT_TRUE(form_.has_value());
  const CertificateTemplate other_kinds[] = {
      {.common_name = std::string(64, 'a'),
       .role = CertificateRole::kSecureSpace,
       .not_before = kTestTime,
       .not_after = kTestTime + std::chrono::hours(1),
       .sender_scope = std::nullopt,
       .secure_space_scope =
           SecureSpaceScope{.note_spki = example_.note_key.public_key().spki(), .assurance = 2},
       .dns_name = ""},
      {.common_name = "another name",
       .role = CertificateRole::kSecureSpace,
       .not_before = kTestTime,
       .not_after = kTestTime + std::chrono::hours(1),
       .sender_scope = std::nullopt,
       .secure_space_scope =
           SecureSpaceScope{.note_spki = example_.note_key.public_key().spki(), .assurance = 1},
       .dns_name = ""},
  };
  for (const CertificateTemplate& content : other_kinds) {
    const auto certificate = IssueCertificate(content, example_.attestation_key.public_key(),
                                              provider_.issuer.certificate, provider_.issuer.key);
    ASSERT_TRUE(certificate.ok()) << certificate.status();
    EXPECT_FALSE(form_->Verify(certificate->der(), issuer_key(), kTestTime).has_value());
    EXPECT_TRUE(General(certificate->der(), kTestTime).ok());
  }
  EXPECT_FALSE(
      form_->Verify(provider_.till.certificate.der(), issuer_key(), kTestTime).has_value());
  EXPECT_FALSE(LeafForm::Of(provider_.till.certificate).has_value());
}

TEST_F(LeafFormTest, AgreesWithTheGeneralWayOnTheTimes) {
  ASSERT_TRUE(form_.has_value());
  const Certificate& leaf = example_.certificate;
  for (const Timestamp edge : {leaf.not_before(), leaf.not_after()}) {
    for (const int offset_ms : {-1001, -1000, -999, -1, 0, 1, 999, 1000, 1001}) {
      const Timestamp at = edge + std::chrono::milliseconds(offset_ms);
      EXPECT_EQ(form_->Verify(leaf.der(), issuer_key(), at).has_value(),
                General(leaf.der(), at).ok())
          << offset_ms;
    }
  }
}

TEST_F(LeafFormTest, RefusesAnotherIssuersSignature) {
  ASSERT_TRUE(form_.has_value());
  TestProvider other(kTestTime, 2);
  EXPECT_FALSE(
      form_->Verify(example_.certificate.der(), other.issuer.certificate.public_key(), kTestTime)
          .has_value());
  const TestSecureSpace foreign = other.MakeSecureSpace();
  EXPECT_FALSE(form_->Verify(foreign.certificate.der(), issuer_key(), kTestTime).has_value());
}

// The second certificate of a form takes the short way, and must end alike.
TEST(TrustTest, AnswersAlikeOnBothWays) {
  TestProvider provider;
  TestProvider other(kTestTime, 2);
  const TestSecureSpace first = provider.MakeSecureSpace();
  const TestSecureSpace good = provider.MakeSecureSpace();
  const TestSecureSpace revoked = provider.MakeSecureSpace();
  const TestSecureSpace foreign = other.MakeSecureSpace();
  auto list = IssueRevocationList(provider.issuer.certificate, provider.issuer.key,
                                  {revoked.certificate.serial_hex()}, kTestTime,
                                  kTestTime + std::chrono::hours(1), 1);
  ASSERT_TRUE(list.ok());
  const Trust warm = MakeTrust(provider, {*list});
  ASSERT_TRUE(warm.VerifySecureSpace(Chain(first.certificate.der()), kTestTime).ok());
  for (const TestSecureSpace* space : {&good, &revoked, &foreign}) {
    const auto cold = MakeTrust(provider, {*list});
    const auto expected = cold.VerifySecureSpace(Chain(space->certificate.der()), kTestTime);
    const auto got = warm.VerifySecureSpace(Chain(space->certificate.der()), kTestTime);
    EXPECT_EQ(got.status(), expected.status());
  }
  const Timestamp late = good.certificate.not_after();
  EXPECT_EQ(warm.VerifySecureSpace(Chain(good.certificate.der()), late).status().code(),
            absl::StatusCode::kUnauthenticated);
  // Of any age: expired is nothing, revoked is.
  const auto cold = MakeTrust(provider, {*list});
  for (const Trust* trust : {&cold, &warm}) {
    for (const TestSecureSpace* space : {&good, &revoked, &foreign}) {
      const auto leaf = trust->VerifySecureSpace(Chain(space->certificate.der()), std::nullopt);
      EXPECT_EQ(leaf.status().code(), space == &good      ? absl::StatusCode::kOk
                                      : space == &revoked ? absl::StatusCode::kPermissionDenied
                                                          : absl::StatusCode::kUnauthenticated);
      if (leaf.ok()) {
        EXPECT_EQ(leaf->assurance, 1);
      }
    }
  }
}

}  // namespace
}  // namespace nark
