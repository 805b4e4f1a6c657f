#include "common/crypto/certificate.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "common/crypto/certificate_fixture.h"
#include "common/crypto/hash.h"

namespace nark {
namespace {

using namespace std::chrono_literals;

class CertificateTest : public CertificateFixture {};

TEST_F(CertificateTest, SaysWhatItsTemplateSaid) {
  Certificate certificate = Issue(CertificateRole::kTill, provider_);
  EXPECT_EQ(certificate.subject(), "till");
  EXPECT_EQ(certificate.role(), CertificateRole::kTill);
  EXPECT_EQ(certificate.not_before(), kStart);
  EXPECT_EQ(certificate.not_after(), kEnd);
  EXPECT_EQ(certificate.public_key().id(), key_.public_key().id());
  EXPECT_FALSE(certificate.sender_scope().has_value());
  EXPECT_FALSE(certificate.secure_space_scope().has_value());
}

TEST_F(CertificateTest, TimesAreCutToSeconds) {
  CertificateTemplate content = Template(CertificateRole::kTill);
  content.not_before = kStart + 999'999us;
  EXPECT_EQ(IssueCertificate(content, key_.public_key(), provider_.certificate, provider_.key)
                ->not_before(),
            kStart);
}

TEST_F(CertificateTest, TimesBeyond2049Survive) {
  CertificateTemplate content = Template(CertificateRole::kProviderRoot);
  content.not_after = Timestamp(std::chrono::sys_days(std::chrono::year(2070) / 1 / 1));
  EXPECT_EQ(IssueSelfSigned(content, key_)->not_after(), content.not_after);
}

TEST_F(CertificateTest, SerialsArePositiveAndDoNotRepeat) {
  std::vector<std::string> serials;
  for (int i = 0; i < 50; ++i) {
    serials.push_back(Issue(CertificateRole::kTill, provider_).serial_hex());
    EXPECT_EQ(serials.back().size(), 32u);
    EXPECT_LT(serials.back()[0], '8') << "negative";
  }
  std::sort(serials.begin(), serials.end());
  EXPECT_EQ(std::unique(serials.begin(), serials.end()), serials.end());
}

TEST_F(CertificateTest, ASendersScopeSurvives) {
  Certificate certificate = SenderChain()[0];
  ASSERT_TRUE(certificate.sender_scope().has_value());
  EXPECT_EQ(certificate.sender_scope()->provider, scope_.provider);
  EXPECT_EQ(certificate.sender_scope()->session_id, scope_.session_id);
  EXPECT_EQ(certificate.sender_scope()->sender_id, scope_.sender_id);
  EXPECT_EQ(certificate.sender_scope()->may_control, scope_.may_control);
}

TEST_F(CertificateTest, ASecureSpacesScopeSurvives) {
  Certificate certificate = SecureSpace();
  ASSERT_TRUE(certificate.secure_space_scope().has_value());
  EXPECT_EQ(certificate.secure_space_scope()->note_spki, note_key_.public_key().spki());
  EXPECT_EQ(certificate.secure_space_scope()->assurance, 2);
}

TEST_F(CertificateTest, ReadsBackFromDerAndPem) {
  Certificate certificate = SecureSpace();
  EXPECT_EQ(Certificate::FromDer(certificate.der())->der(), certificate.der());
  EXPECT_EQ(Certificate::FromPem(AsBytes(certificate.ToPem()))->der(), certificate.der());
  std::vector<Certificate> chain = SenderChain();
  std::string pem = chain[0].ToPem() + chain[1].ToPem();
  std::vector<Certificate> read = CertificatesFromPem(AsBytes(pem)).value();
  ASSERT_EQ(read.size(), 2u);
  EXPECT_EQ(read[0].der(), chain[0].der());
  EXPECT_EQ(read[1].der(), chain[1].der());
  EXPECT_EQ(Certificate::FromPem(AsBytes(pem)).status().code(), kInvalid) << "two, not one";
}

TEST_F(CertificateTest, RefusesTrailingBytesAndTruncation) {
  const Bytes der = SecureSpace().der();
  for (size_t size = 0; size < der.size(); ++size) {
    EXPECT_EQ(Certificate::FromDer(ByteView(der).first(size)).status().code(), kInvalid) << size;
  }
  Bytes longer = der;
  longer.push_back(0);
  EXPECT_EQ(Certificate::FromDer(longer).status().code(), kInvalid);
}

// The outer length in BER's longer form: the same certificate to a lenient parser.
TEST_F(CertificateTest, RefusesASecondEncoding) {
  Bytes der = SecureSpace().der();
  ASSERT_EQ(der[1], 0x82);
  Bytes second = {der[0], 0x83, 0x00};
  second.insert(second.end(), der.begin() + 2, der.end());
  EXPECT_EQ(Certificate::FromDer(second).status().code(), kInvalid);
}

TEST_F(CertificateTest, RefusesKeysThatAreNotOnP256) {
  // `openssl req -x509` with P-384 and Ed25519 keys.
  for (const char* pem : {kP384Certificate, kEd25519Certificate}) {
    absl::Status status = Certificate::FromPem(AsBytes(pem)).status();
    EXPECT_EQ(status.code(), kInvalid) << status;
  }
}

TEST_F(CertificateTest, ReadsAForeignCertificateAsOneWithoutRole) {
  Certificate certificate = Certificate::FromPem(AsBytes(kP256Certificate)).value();
  EXPECT_EQ(certificate.role(), CertificateRole::kNone);
  EXPECT_EQ(certificate.subject(), "p256");
  EXPECT_EQ(certificate.ToPem(), kP256Certificate);
}

TEST_F(CertificateTest, ANameCannotBreakALineOfAMessage) {
  CertificateTemplate content = Template(CertificateRole::kTill);
  content.common_name = "two\nlines\x1b[31m";
  EXPECT_EQ(
      IssueCertificate(content, key_.public_key(), provider_.certificate, provider_.key)->subject(),
      "two?lines?[31m");
}

TEST_F(CertificateTest, OnlyTheRightIssuerIssues) {
  struct Pair {
    const Ca& issuer;
    CertificateRole role;
  };
  for (const Pair& pair :
       {Pair{provider_, CertificateRole::kKeyManager},
        Pair{provider_, CertificateRole::kProviderRoot}, Pair{provider_, CertificateRole::kNone},
        Pair{pool_, CertificateRole::kTill}, Pair{pool_, CertificateRole::kPool},
        Pair{tls_, CertificateRole::kTill}, Pair{issuer_, CertificateRole::kDescriptor}}) {
    absl::Status status = IssueCertificate(Template(pair.role), key_.public_key(),
                                           pair.issuer.certificate, pair.issuer.key)
                              .status();
    EXPECT_EQ(status.code(), kInvalid) << RoleName(pair.role) << ": " << status;
  }
  EXPECT_EQ(IssueSelfSigned(Template(CertificateRole::kTill), key_).status().code(), kInvalid);
  EXPECT_EQ(IssueSelfSigned(Template(CertificateRole::kNone), key_).status().code(), kInvalid);
}

TEST_F(CertificateTest, AKeyOfAnotherCertificateIssuesNothing) {
  EXPECT_EQ(IssueCertificate(Template(CertificateRole::kTill), key_.public_key(),
                             provider_.certificate, pool_.key)
                .status()
                .code(),
            kInvalid);
}

TEST_F(CertificateTest, ContentThatDoesNotFitItsRoleIsRefused) {
  std::vector<CertificateTemplate> wrong(6, Template(CertificateRole::kTill));
  wrong[0].sender_scope = scope_;
  wrong[1].secure_space_scope = SecureSpaceScope{note_key_.public_key().spki(), 1};
  wrong[2].dns_name = "keymanager.nark";
  wrong[3].common_name = "";
  wrong[4].common_name = std::string(65, 'x');
  wrong[5].not_after = wrong[5].not_before;
  for (const CertificateTemplate& content : wrong) {
    EXPECT_EQ(IssueCertificate(content, key_.public_key(), provider_.certificate, provider_.key)
                  .status()
                  .code(),
              kInvalid);
  }
  for (CertificateRole role : {CertificateRole::kSecureSpace, CertificateRole::kSender}) {
    const Ca& issuer = role == CertificateRole::kSender ? senders_ : issuer_;
    EXPECT_EQ(IssueCertificate(Template(role), key_.public_key(), issuer.certificate, issuer.key)
                  .status()
                  .code(),
              kInvalid)
        << "scope missing";
  }
  CertificateTemplate bad_note_key = Template(CertificateRole::kSecureSpace);
  bad_note_key.secure_space_scope = SecureSpaceScope{Bytes(91, 1), 1};
  EXPECT_EQ(IssueCertificate(bad_note_key, key_.public_key(), issuer_.certificate, issuer_.key)
                .status()
                .code(),
            kInvalid);
}

TEST_F(CertificateTest, ASecureSpaceIdComesFromBothKeys) {
  const Bytes& a = key_.public_key().spki();
  const Bytes& b = note_key_.public_key().spki();
  EXPECT_EQ(SecureSpaceId(a, b), LabelledHash("nark secure space id v1", {a, b}));
  EXPECT_NE(SecureSpaceId(a, b), SecureSpaceId(b, a));
}

class RequestTest : public CertificateFixture {};

TEST_F(RequestTest, CarriesBothKeysAndTheClass) {
  std::string pem = MakeSecureSpaceRequestPem(key_, note_key_, 2).value();
  SecureSpaceRequest request = ParseSecureSpaceRequestPem(AsBytes(pem)).value();
  EXPECT_EQ(request.attestation_key.id(), key_.public_key().id());
  EXPECT_EQ(request.scope.note_spki, note_key_.public_key().spki());
  EXPECT_EQ(request.scope.assurance, 2);
}

TEST_F(RequestTest, RefusesEveryFlippedBit) {
  const std::string pem = MakeSecureSpaceRequestPem(key_, note_key_, 1).value();
  for (size_t bit = 0; bit < 8 * pem.size(); ++bit) {
    std::string broken = pem;
    broken[bit / 8] = static_cast<char>(broken[bit / 8] ^ (1 << (bit % 8)));
    EXPECT_EQ(ParseSecureSpaceRequestPem(AsBytes(broken)).status().code(), kInvalid) << bit;
  }
}

TEST_F(RequestTest, RefusesARequestWithoutNoteKey) {
  // `openssl req -new` with a P-256 key.
  absl::Status status = ParseSecureSpaceRequestPem(AsBytes(kForeignRequest)).status();
  EXPECT_EQ(status.code(), kInvalid);
  EXPECT_EQ(std::string(status.message()), "a certificate request not made by a secure space");
}

}  // namespace
}  // namespace nark
