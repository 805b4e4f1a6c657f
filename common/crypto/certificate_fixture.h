#ifndef NARK_COMMON_CRYPTO_CERTIFICATE_FIXTURE_H_
#define NARK_COMMON_CRYPTO_CERTIFICATE_FIXTURE_H_

#include <gtest/gtest.h>

#include <string>
#include <utility>
#include <vector>

#include "common/crypto/certificate.h"

namespace nark {

// A provider, an issuer and a TLS CA, each with keys of its own, for the tests of
// certificates, chains and revocation lists.
class CertificateFixture : public testing::Test {
 protected:
  static constexpr auto kInvalid = absl::StatusCode::kInvalidArgument;
  static constexpr auto kUnauthenticated = absl::StatusCode::kUnauthenticated;
  // 2025-01-01 to 2030-01-01, and a day between.
  static constexpr Timestamp kStart{std::chrono::seconds(1735689600)};
  static constexpr Timestamp kEnd{std::chrono::seconds(1893456000)};
  static constexpr Timestamp kNow{std::chrono::seconds(1767225600)};

  struct Ca {
    PrivateKey key;
    Certificate certificate;
  };

  static CertificateTemplate Template(CertificateRole role) {
    CertificateTemplate content;
    content.common_name = RoleName(role);
    content.role = role;
    content.not_before = kStart;
    content.not_after = kEnd;
    return content;
  }

  static Ca MakeRoot(CertificateRole role) {
    PrivateKey key = PrivateKey::Generate().value();
    Certificate certificate = IssueSelfSigned(Template(role), key).value();
    return {std::move(key), std::move(certificate)};
  }
  static Ca MakeCa(CertificateRole role, const Ca& issuer) {
    PrivateKey key = PrivateKey::Generate().value();
    Certificate certificate =
        IssueCertificate(Template(role), key.public_key(), issuer.certificate, issuer.key).value();
    return {std::move(key), std::move(certificate)};
  }

  // For key_.
  Certificate Issue(const CertificateTemplate& content, const Ca& issuer) const {
    return IssueCertificate(content, key_.public_key(), issuer.certificate, issuer.key).value();
  }
  Certificate Issue(CertificateRole role, const Ca& issuer) const {
    return Issue(Template(role), issuer);
  }
  Certificate SecureSpace() const {
    CertificateTemplate content = Template(CertificateRole::kSecureSpace);
    content.secure_space_scope = SecureSpaceScope{note_key_.public_key().spki(), 2};
    return Issue(content, issuer_);
  }
  std::vector<Certificate> SenderChain() const {
    CertificateTemplate content = Template(CertificateRole::kSender);
    content.sender_scope = scope_;
    return {Issue(content, senders_), senders_.certificate};
  }

  const SenderScope scope_ = MakeScope();
  const PrivateKey key_ = PrivateKey::Generate().value();
  const PrivateKey note_key_ = PrivateKey::Generate().value();
  const Ca provider_ = MakeRoot(CertificateRole::kProviderRoot);
  const Ca issuer_ = MakeRoot(CertificateRole::kIssuerRoot);
  const Ca tls_ = MakeRoot(CertificateRole::kTlsCa);
  const Ca pool_ = MakeCa(CertificateRole::kPool, provider_);
  const Ca senders_ = MakeCa(CertificateRole::kSenders, provider_);

 private:
  static SenderScope MakeScope() {
    SenderScope scope;
    scope.provider.fill(0x11);
    scope.session_id.fill(0x22);
    scope.sender_id = 0xfedcba98;
    scope.may_control = true;
    return scope;
  }
};

// Made by OpenSSL's own tool.
inline constexpr char kP256Certificate[] =
    "-----BEGIN CERTIFICATE-----\n"
    "MIIBczCCARmgAwIBAgIUXeFcTMWZ6XdbGtftyOB1GEXMNbwwCgYIKoZIzj0EAwIw\n"
    "DzENMAsGA1UEAwwEcDI1NjAeFw0yNjExMjIxMzQzMjRaFw0zNjExMTkxMzQzMjRa\n"
    "MA8xDTALBgNVBAMMBHAyNTYwWTATBgcqhkjOPQIBBggqhkjOPQMBBwNCAASjjLwH\n"
    "bFQ3o2LhbhzVhb6+Ckc9Nn+l+Jia0WQp25qAhlnQ/FOfUWZc+xAWvbCqL6C7xMVo\n"
    "cSTLOotZ6Xq/Wwhpo1MwUTAdBgNVHQ4EFgQU6rGgzE9YHmomDpjsvpHs2MMyvIow\n"
    "HwYDVR0jBBgwFoAU6rGgzE9YHmomDpjsvpHs2MMyvIowDwYDVR0TAQH/BAUwAwEB\n"
    "/zAKBggqhkjOPQQDAgNIADBFAiEA1JzPyJYMwM556fFP22STd+l9squFgyqmSE7Y\n"
    "BZQlQlUCIEhMMTwlEkZSku0cXS/N/HXIQkaV5uUdLXvlHO57uL5d\n"
    "-----END CERTIFICATE-----\n";
inline constexpr char kP384Certificate[] =
    "-----BEGIN CERTIFICATE-----\n"
    "MIIBsTCCATagAwIBAgIUFF8pPmyFlEOVZrv8G+7zsgf68u4wCgYIKoZIzj0EAwIw\n"
    "DzENMAsGA1UEAwwEcDM4NDAeFw0yNjExMjIxMzQzMjRaFw0zNjExMTkxMzQzMjRa\n"
    "MA8xDTALBgNVBAMMBHAzODQwdjAQBgcqhkjOPQIBBgUrgQQAIgNiAAQLTJO5VEzR\n"
    "5ZE9gS2rrft0yHvvyMm/qNhpaO8Y5OtWPpqc6Nec39zYCYVUh/Ldi33t77Pk9G5v\n"
    "mKpzmGYqTry0MOzC9NC3JeWLJtrBZu8D4OEzo+lb//GbHU8OdznxQ8ejUzBRMB0G\n"
    "A1UdDgQWBBTv6KAfntWLWVrncMUyySlIsmUsSjAfBgNVHSMEGDAWgBTv6KAfntWL\n"
    "WVrncMUyySlIsmUsSjAPBgNVHRMBAf8EBTADAQH/MAoGCCqGSM49BAMCA2kAMGYC\n"
    "MQCFl/3W2y5/E/GCzEJSu6rcbgOpuOStbXVzd+6RNqmEnhEhs5peMUgdLxMNxmcV\n"
    "YgcCMQCTfOSBbpyt73+dcAFUFbGvx5IE3Myu+F8FMup8nBDEIDbPc4q+K5trZ8Ac\n"
    "fWq8QZg=\n"
    "-----END CERTIFICATE-----\n";
inline constexpr char kEd25519Certificate[] =
    "-----BEGIN CERTIFICATE-----\n"
    "MIIBODCB66ADAgECAhRy/HKdG3ype8xVIhuSUBPOMeriIzAFBgMrZXAwEjEQMA4G\n"
    "A1UEAwwHZWQyNTUxOTAeFw0yNjExMjIxMzQzMjRaFw0zNjExMTkxMzQzMjRaMBIx\n"
    "EDAOBgNVBAMMB2VkMjU1MTkwKjAFBgMrZXADIQCwBBc6rkiJD7QhSjCuYdtaKvgW\n"
    "dDLnTWr4WlHufjbYeaNTMFEwHQYDVR0OBBYEFOqeRJ3ey+prjWjJpWCcyMhx1gNs\n"
    "MB8GA1UdIwQYMBaAFOqeRJ3ey+prjWjJpWCcyMhx1gNsMA8GA1UdEwEB/wQFMAMB\n"
    "Af8wBQYDK2VwA0EAGEhjS/OGO15SEnnbd6rmpnAKb1J3GJJAZb7LiGQiXS2Bpgbw\n"
    "vyWsNKmcMbue99Ha9rWCD+9+9TI/bhC3y6n+Dg==\n"
    "-----END CERTIFICATE-----\n";
inline constexpr char kForeignRequest[] =
    "-----BEGIN CERTIFICATE REQUEST-----\n"
    "MIHLMHQCAQAwEjEQMA4GA1UEAwwHZm9yZWlnbjBZMBMGByqGSM49AgEGCCqGSM49\n"
    "AwEHA0IABIYFfJVsqauQXpaB+naryaDONgThLifrhiy452zOVcucvwzAM1FfzHCY\n"
    "tB0TddqUK1gnyj7LamD+IK0by7MXBUCgADAKBggqhkjOPQQDAgNHADBEAiAkYaum\n"
    "mTcCKFvH75xBbgxZVNkqeQTmbSAkF74T+kCUxQIgdnt4hj+e281f0SFiDqgWd95V\n"
    "TIQWRtJRokXjBX/NSmg=\n"
    "-----END CERTIFICATE REQUEST-----\n";

}  // namespace nark

#endif  // NARK_COMMON_CRYPTO_CERTIFICATE_FIXTURE_H_
