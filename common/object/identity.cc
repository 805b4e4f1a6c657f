#include "common/object/identity.h"

#include <algorithm>
#include <string>
#include <utility>

#include "common/base/status.h"

namespace nark {
namespace {

constexpr std::chrono::hours kClockDifference{1};

Timestamp NotAfter(const SigningIdentity& issuer, Timestamp now) {
  return std::min<Timestamp>(now + kRoleYears, issuer.certificate.not_after());
}

CertificateTemplate Under(const SigningIdentity& issuer, CertificateRole role,
                          std::string_view common_name, Timestamp now) {
  CertificateTemplate content;
  content.common_name = common_name;
  content.role = role;
  content.not_before = now - kClockDifference;
  content.not_after = NotAfter(issuer, now);
  return content;
}

// A key certified by `issuer`, which is a root or right below one.
absl::StatusOr<SigningIdentity> Issue(const CertificateTemplate& content,
                                      const SigningIdentity& issuer, PrivateKey key) {
  ASSIGN_OR_RETURN(Certificate certificate,
                   IssueCertificate(content, key.public_key(), issuer.certificate, issuer.key));
  return SigningIdentity{std::move(key), std::move(certificate), {}};
}

// A new one.
absl::StatusOr<SigningIdentity> Issue(const CertificateTemplate& content,
                                      const SigningIdentity& issuer) {
  ASSIGN_OR_RETURN(PrivateKey key, PrivateKey::Generate());
  return Issue(content, issuer, std::move(key));
}

}  // namespace

std::vector<Certificate> SigningIdentity::Chain() const {
  std::vector<Certificate> chain = {certificate};
  chain.insert(chain.end(), issuers.begin(), issuers.end());
  return chain;
}

absl::StatusOr<SigningIdentity> MakeRoot(CertificateRole role, std::string_view common_name,
                                         Timestamp now) {
  CertificateTemplate content;
  content.common_name = common_name;
  content.role = role;
  content.not_before = now - kClockDifference;
  content.not_after = now + kRootYears;
  ASSIGN_OR_RETURN(PrivateKey key, PrivateKey::Generate());
  ASSIGN_OR_RETURN(Certificate certificate, IssueSelfSigned(content, key));
  return SigningIdentity{std::move(key), std::move(certificate), {}};
}

absl::StatusOr<SigningIdentity> MakeRole(CertificateRole role, const SigningIdentity& root,
                                         Timestamp now) {
  return Issue(Under(root, role, root.certificate.subject() + " " + RoleName(role), now), root);
}

absl::StatusOr<SigningIdentity> MakeKeyManager(std::string_view common_name,
                                               const SigningIdentity& pool_role, Timestamp now) {
  ASSIGN_OR_RETURN(PrivateKey key, PrivateKey::Generate());
  return CertifyKeyManager(std::move(key), common_name, pool_role, now);
}

absl::StatusOr<SigningIdentity> CertifyKeyManager(PrivateKey key, std::string_view common_name,
                                                  const SigningIdentity& pool_role, Timestamp now) {
  ASSIGN_OR_RETURN(SigningIdentity identity,
                   Issue(Under(pool_role, CertificateRole::kKeyManager, common_name, now),
                         pool_role, std::move(key)));
  identity.issuers = {pool_role.certificate};
  return identity;
}

absl::StatusOr<SigningIdentity> MakeSender(const SessionName& session,
                                           const v1::PermittedSender& permission,
                                           const SigningIdentity& senders_role, Timestamp now) {
  CertificateTemplate content = Under(senders_role, CertificateRole::kSender,
                                      "sender " + std::to_string(permission.sender_id()) +
                                          " of session " + ToHex(session.session_id),
                                      now);
  content.sender_scope = SenderScope{.provider = session.provider,
                                     .session_id = session.session_id,
                                     .sender_id = permission.sender_id(),
                                     .may_control = permission.may_control()};
  ASSIGN_OR_RETURN(SigningIdentity identity, Issue(content, senders_role));
  identity.issuers = {senders_role.certificate};
  return identity;
}

absl::StatusOr<SigningIdentity> MakeTlsServer(std::string_view dns_name,
                                              const SigningIdentity& tls_ca, Timestamp now) {
  CertificateTemplate content = Under(tls_ca, CertificateRole::kNone, dns_name, now);
  content.dns_name = dns_name;
  return Issue(content, tls_ca);
}

absl::StatusOr<Certificate> CertifySecureSpace(const SecureSpaceRequest& request,
                                               const SigningIdentity& issuer, Timestamp now) {
  const Digest id = SecureSpaceId(request.attestation_key.spki(), request.scope.note_spki);
  CertificateTemplate content = Under(issuer, CertificateRole::kSecureSpace, ToHex(id), now);
  content.secure_space_scope = request.scope;
  return IssueCertificate(content, request.attestation_key, issuer.certificate, issuer.key);
}

}  // namespace nark
