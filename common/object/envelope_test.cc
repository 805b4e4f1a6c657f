#include "common/object/envelope.h"

#include <string>

#include "common/base/status.h"
#include "common/object/testing.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "nark/v1/voucher.pb.h"

namespace nark {
namespace {

using ::testing::HasSubstr;

absl::StatusCode CodeOf(const absl::Status& status) { return status.code(); }

class EnvelopeTest : public ::testing::Test {
 protected:
  EnvelopeTest() : key_(*PrivateKey::Generate()) {}

  v1::SignedEnvelope Signed(std::string_view payload = "the payload") {
    return *SignEnvelope(payload_type::kVoucher, payload, key_, {});
  }
  absl::Status Verify(const v1::SignedEnvelope& envelope) {
    return VerifyEnvelope(envelope, payload_type::kVoucher, key_.public_key());
  }

  PrivateKey key_;
};

TEST_F(EnvelopeTest, EncodesAsDsseDoes) {
  // The example of the DSSE specification (protocol.md, "Test Vectors").
  EXPECT_EQ(PreAuthenticationPrefix("http://example.com/HelloWorld", 11) + "hello world",
            "DSSEv1 29 http://example.com/HelloWorld 11 hello world");
}

TEST_F(EnvelopeTest, VerifiesWhatItSigned) { EXPECT_TRUE(Verify(Signed()).ok()); }

TEST_F(EnvelopeTest, SignsAnEmptyPayload) { EXPECT_TRUE(Verify(Signed("")).ok()); }

TEST_F(EnvelopeTest, RefusesAnotherType) {
  absl::Status status = VerifyEnvelope(Signed(), payload_type::kGrant, key_.public_key());
  EXPECT_EQ(CodeOf(status), absl::StatusCode::kUnauthenticated);
  EXPECT_THAT(Std(status.message()), HasSubstr("of type application/vnd.nark.voucher"));
}

TEST_F(EnvelopeTest, RefusesATypeThatWasChanged) {
  v1::SignedEnvelope envelope = Signed();
  envelope.set_payload_type(std::string(payload_type::kGrant));
  absl::Status status = VerifyEnvelope(envelope, payload_type::kGrant, key_.public_key());
  EXPECT_EQ(CodeOf(status), absl::StatusCode::kUnauthenticated);
}

TEST_F(EnvelopeTest, DoesNotPrintATypeThatIsNone) {
  v1::SignedEnvelope envelope = Signed();
  envelope.set_payload_type("\x1b[2J");
  EXPECT_THAT(Std(Verify(envelope).message()), ::testing::Not(HasSubstr("\x1b")));
}

TEST_F(EnvelopeTest, RefusesAnotherKey) {
  PrivateKey other = *PrivateKey::Generate();
  absl::Status status = VerifyEnvelope(Signed(), payload_type::kVoucher, other.public_key());
  EXPECT_EQ(CodeOf(status), absl::StatusCode::kUnauthenticated);
}

TEST_F(EnvelopeTest, RefusesCertificatesThatNobodyChecks) {
  TestProvider provider;
  v1::SignedEnvelope envelope = Signed();
  envelope.add_certificates(ToText(provider.till.certificate.der()));
  EXPECT_EQ(CodeOf(Verify(envelope)), absl::StatusCode::kUnauthenticated);
}

TEST_F(EnvelopeTest, RefusesToSignMoreThanItsLimits) {
  std::string large(kMaxPayloadBytes + 1, 'x');
  EXPECT_EQ(CodeOf(SignEnvelope(payload_type::kVoucher, large, key_, {}).status()),
            absl::StatusCode::kInvalidArgument);
  EXPECT_TRUE(SignEnvelope(payload_type::kVoucher, large.substr(1), key_, {}).ok());
  TestProvider provider;
  std::vector<Certificate> five(5, provider.till.certificate);
  EXPECT_EQ(CodeOf(SignEnvelope(payload_type::kVoucher, "", key_, five).status()),
            absl::StatusCode::kInvalidArgument);
}

TEST_F(EnvelopeTest, RefusesAPayloadAboveTheLimit) {
  v1::SignedEnvelope envelope = Signed();
  envelope.set_payload(std::string(kMaxPayloadBytes + 1, 'x'));
  EXPECT_THAT(Std(Verify(envelope).message()), HasSubstr("larger than 1 MiB"));
}

TEST_F(EnvelopeTest, RefusesEveryFlippedBit) {
  const std::string bytes = Serialise(Signed());
  for (size_t bit = 0; bit < bytes.size() * 8; ++bit) {
    std::string flipped = bytes;
    flipped[bit / 8] ^= static_cast<char>(1 << bit % 8);
    v1::SignedEnvelope envelope;
    bool refused = !ParseStrictly(AsBytes(flipped), "it", envelope).ok() || !Verify(envelope).ok();
    EXPECT_TRUE(refused) << "bit " << bit;
  }
}

TEST_F(EnvelopeTest, GivesMalleatedSignaturesOneIdentity) {
  v1::SignedEnvelope a = Signed(), b = Signed();
  EXPECT_NE(a.signature(), b.signature());
  EXPECT_EQ(ObjectIdentity(a), ObjectIdentity(b));
  EXPECT_NE(ObjectIdentity(a), ObjectIdentity(payload_type::kGrant, AsBytes(a.payload())));
}

TEST_F(EnvelopeTest, VerifiesTheChainThatItCarries) {
  TestProvider provider;
  v1::SignedEnvelope envelope =
      *SignEnvelope(payload_type::kVoucher, "x", provider.till.key, provider.till.Chain());
  ChainRules rules = {.at = kTestTime, .leaf_role = CertificateRole::kTill};
  absl::StatusOr<Certificate> signer =
      VerifyEnvelopeChain(envelope, payload_type::kVoucher, provider.root.certificate, rules);
  ASSERT_TRUE(signer.ok()) << signer.status();
  EXPECT_EQ(signer->der(), provider.till.certificate.der());
}

TEST_F(EnvelopeTest, RefusesAChainOfAnotherRole) {
  TestProvider provider;
  v1::SignedEnvelope envelope =
      *SignEnvelope(payload_type::kVoucher, "x", provider.refunds.key, provider.refunds.Chain());
  ChainRules rules = {.at = kTestTime, .leaf_role = CertificateRole::kTill};
  EXPECT_EQ(
      CodeOf(VerifyEnvelopeChain(envelope, payload_type::kVoucher, provider.root.certificate, rules)
                 .status()),
      absl::StatusCode::kUnauthenticated);
}

TEST_F(EnvelopeTest, RefusesACertificateOfAnotherKey) {
  TestProvider provider;
  v1::SignedEnvelope envelope =
      *SignEnvelope(payload_type::kVoucher, "x", provider.refunds.key, provider.till.Chain());
  ChainRules rules = {.at = kTestTime, .leaf_role = CertificateRole::kTill};
  EXPECT_EQ(
      CodeOf(VerifyEnvelopeChain(envelope, payload_type::kVoucher, provider.root.certificate, rules)
                 .status()),
      absl::StatusCode::kUnauthenticated);
}

TEST_F(EnvelopeTest, RefusesNoneAndTooManyCertificates) {
  TestProvider provider;
  v1::SignedEnvelope envelope = *SignEnvelope(payload_type::kVoucher, "x", provider.till.key, {});
  ChainRules rules = {.at = kTestTime, .leaf_role = CertificateRole::kTill};
  for (int i = 0; i < 6; ++i) {
    absl::Status status =
        VerifyEnvelopeChain(envelope, payload_type::kVoucher, provider.root.certificate, rules)
            .status();
    EXPECT_EQ(status.ok(), i == 1) << i << " certificates: " << status;
    envelope.add_certificates(ToText(provider.till.certificate.der()));
  }
}

TEST(ParseStrictlyTest, RefusesWhatIsNotCanonical) {
  v1::AduRange range;
  EXPECT_TRUE(ParseStrictly(AsBytes(std::string("\x08\x01\x10\x02")), "it", range).ok());
  EXPECT_EQ(range.last(), 2u);
  const std::string bad[] = {
      std::string("\x08\x01\x10\x02\x18\x01"),  // an unknown field
      std::string("\x10\x02\x08\x01"),          // another order
      std::string("\x08\x81\x00\x10\x02", 5),   // a padded number
      std::string("\x08\x01\x08\x01\x10\x02"),  // a field twice
      std::string("\x08\x00\x10\x02", 4),       // a default that is spelt out
      std::string("\x08\x01\x10"),              // cut off
  };
  for (const std::string& bytes : bad) {
    absl::Status status = ParseStrictly(AsBytes(bytes), "it", range);
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << ToHex(AsBytes(bytes));
  }
}

TEST(ParseStrictlyTest, RefusesUnknownFieldsInside) {
  v1::Voucher voucher;
  // policy { unknown field 15: 1 }
  EXPECT_FALSE(ParseStrictly(AsBytes(std::string("\x2a\x02\x78\x01")), "it", voucher).ok());
  EXPECT_TRUE(ParseStrictly(AsBytes(std::string("\x2a\x02\x10\x01")), "it", voucher).ok());
}

}  // namespace
}  // namespace nark
