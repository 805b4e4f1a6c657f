#include "common/object/sender_file.h"

#include <optional>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/base/status.h"
#include "common/object/envelope.h"
#include "common/object/shapes.h"
#include "nark/v1/file.pb.h"

namespace nark {
namespace {

absl::Status Bad(const std::string& message) { return absl::InvalidArgumentError(message); }

absl::StatusOr<PrivateKey> KeyOf(const std::string& pkcs8, const Certificate& certificate,
                                 std::string_view what) {
  absl::StatusOr<PrivateKey> key = PrivateKey::FromPkcs8(SecretBytes::CopyOf(AsBytes(pkcs8)));
  if (!key.ok()) return Bad(absl::StrCat("the sender file's ", Absl(what), " does not parse"));
  if (key->public_key().id() != certificate.public_key().id()) {
    return Bad(absl::StrCat("the sender file's ", Absl(what), " is not its certificate's"));
  }
  return key;
}

// The sender's own certificate: the session's, for this id.
absl::StatusOr<Certificate> VerifySenderCertificate(const v1::SenderFile& file,
                                                    const VerifiedSession& session, Timestamp now) {
  ASSIGN_OR_RETURN(std::vector<Certificate> chain,
                   ParseCertificates(file.certificate().certificates()));
  absl::StatusOr<Certificate> leaf =
      VerifyChain(chain, session.root(), {.at = now, .leaf_role = CertificateRole::kSender});
  if (!leaf.ok()) return Annotate(leaf.status(), "the sender file's certificate");
  const std::optional<SenderScope>& scope = leaf->sender_scope();
  if (!scope.has_value() || scope->provider != session.name().provider ||
      scope->session_id != session.name().session_id || scope->sender_id != file.sender_id()) {
    return Bad("the sender file's certificate is for another session or sender");
  }
  const VerifiedSession::Sender* sender = session.FindSender(file.sender_id());
  if (sender == nullptr || sender->key.id() != leaf->public_key().id()) {
    return Bad("the session's descriptor certifies another key for this sender");
  }
  return leaf;
}

absl::StatusOr<std::map<uint32_t, SecretBytes>> RootsOf(const v1::SenderFile& file,
                                                        const v1::Terms& terms) {
  std::map<uint32_t, SecretBytes> roots;
  for (const v1::SenderRoot& root : file.roots()) {
    RETURN_IF_ERROR(shapes::CheckSize(root.root(), 32, "a sender root"));
    if (!roots.emplace(root.sub_session(), SecretBytes::CopyOf(AsBytes(root.root()))).second) {
      return Bad(absl::StrCat("the sender file has two roots of sub-session ", root.sub_session()));
    }
  }
  bool complete = roots.contains(0);
  for (const v1::SubSession& sub : terms.sub_sessions()) complete &= roots.contains(sub.id());
  if (!complete || roots.size() != static_cast<size_t>(terms.sub_sessions_size()) + 1) {
    return Bad("the sender file does not have one root of each sub-session");
  }
  return roots;
}

absl::Status TakeAuditKeys(const v1::SenderFile& file, OpenedSenderFile& opened) {
  const bool wanted = opened.session.terms().has_audit();
  RETURN_IF_ERROR(shapes::CheckSize(file.base_block_key(), wanted ? 16 : 0,
                                    "the sender file's key of the base block"));
  opened.base_block_key = SecretBytes::CopyOf(AsBytes(file.base_block_key()));
  for (const v1::SenderRoot& root : file.roots()) {
    RETURN_IF_ERROR(
        shapes::CheckSize(root.audit_key(), wanted ? 32 : 0, "an audit key of the sender file"));
    if (!wanted) continue;
    opened.audit_keys[root.sub_session()] = SecretBytes::CopyOf(AsBytes(root.audit_key()));
  }
  return absl::OkStatus();
}

absl::StatusOr<std::vector<Certificate>> TlsCertificatesOf(const v1::SenderFile& file,
                                                           const VerifiedSession& session,
                                                           Timestamp now) {
  ASSIGN_OR_RETURN(std::vector<Certificate> chain, ParseCertificates(file.tls_certificates()));
  ASSIGN_OR_RETURN(Certificate ca,
                   Certificate::FromDer(AsBytes(session.descriptor().tls_ca_certificate())));
  absl::StatusOr<Certificate> leaf =
      VerifyChain(chain, ca, {.at = now, .leaf_role = CertificateRole::kNone});
  if (!leaf.ok()) return Annotate(leaf.status(), "the sender file's TLS certificate");
  return chain;
}

}  // namespace

absl::StatusOr<OpenedSenderFile> OpenSenderFile(const v1::SignedEnvelope& envelope, Timestamp now) {
  ASSIGN_OR_RETURN(v1::SenderFile file, PayloadOf<v1::SenderFile>(envelope, "the sender file"));
  // The root comes with the session inside, as in a descriptor.
  ASSIGN_OR_RETURN(VerifiedSession session,
                   VerifiedSession::Verify(file.session_descriptor(), now));
  absl::StatusOr<Certificate> signer =
      VerifyEnvelopeChain(envelope, payload_type::kSenderFile, session.root(),
                          {.at = now, .leaf_role = CertificateRole::kSenders});
  if (!signer.ok()) return Annotate(signer.status(), "the sender file");
  ASSIGN_OR_RETURN(Certificate certificate, VerifySenderCertificate(file, session, now));
  ASSIGN_OR_RETURN(PrivateKey signing_key, KeyOf(file.signing_key(), certificate, "signing key"));
  ASSIGN_OR_RETURN(auto roots, RootsOf(file, session.terms()));
  ASSIGN_OR_RETURN(std::vector<Certificate> tls, TlsCertificatesOf(file, session, now));
  ASSIGN_OR_RETURN(PrivateKey tls_key, KeyOf(file.tls_key(), tls.front(), "TLS key"));
  OpenedSenderFile opened{.session = std::move(session),
                          .sender_id = file.sender_id(),
                          .signing_key = std::move(signing_key),
                          .roots = std::move(roots),
                          .tls_certificates = std::move(tls),
                          .tls_key = std::move(tls_key),
                          .base_block_key = {},
                          .audit_keys = {}};
  RETURN_IF_ERROR(TakeAuditKeys(file, opened));
  return opened;
}

}  // namespace nark
