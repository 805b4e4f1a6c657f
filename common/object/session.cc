#include "common/object/session.h"

#include <algorithm>
#include <set>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/base/status.h"
#include "common/crypto/hash.h"
#include "common/object/envelope.h"
#include "common/object/shapes.h"

namespace nark {
namespace {

absl::Status Bad(const std::string& message) { return absl::InvalidArgumentError(message); }

absl::Status CheckTransports(const v1::SessionDescriptor& descriptor, const v1::Terms& terms) {
  std::set<uint32_t> missing = {0};
  for (const v1::SubSession& sub : terms.sub_sessions()) missing.insert(sub.id());
  for (const v1::Transport& transport : descriptor.transports()) {
    if (missing.erase(transport.sub_session()) == 0) {
      return Bad(absl::StrCat("the descriptor has a transport too many for sub-session ",
                              transport.sub_session()));
    }
    if (transport.uri().empty() || transport.uri().size() > 1024) {
      return Bad("a transport of the descriptor is empty or longer than 1024 bytes");
    }
  }
  if (!missing.empty()) {
    return Bad(absl::StrCat("the descriptor has no transport for sub-session ", *missing.begin()));
  }
  return absl::OkStatus();
}

absl::Status CheckEndpoints(const v1::SessionDescriptor& descriptor) {
  for (const std::string& endpoint : descriptor.key_managers()) {
    RETURN_IF_ERROR(shapes::CheckEndpoint(endpoint, "a key manager of the descriptor"));
  }
  for (const std::string& endpoint : descriptor.refund_desks()) {
    RETURN_IF_ERROR(shapes::CheckEndpoint(endpoint, "a refund desk of the descriptor"));
  }
  absl::StatusOr<Certificate> tls_ca =
      Certificate::FromDer(AsBytes(descriptor.tls_ca_certificate()));
  if (!tls_ca.ok() || tls_ca->role() != CertificateRole::kTlsCa) {
    return Bad("the descriptor's TLS CA is no certificate of a TLS CA");
  }
  return absl::OkStatus();
}

// `what` is sealed to each of the keys once.
absl::Status CheckSealed(const google::protobuf::RepeatedPtrField<v1::SealedSession>& parcels,
                         std::set<std::string> keys, absl::string_view what) {
  for (const v1::SealedSession& sealed : parcels) {
    RETURN_IF_ERROR(shapes::CheckSize(sealed.enc(), 32, "a parcel's encapsulated key"));
    RETURN_IF_ERROR(shapes::CheckSize(sealed.ciphertext(), 48, "a parcel's ciphertext"));
    if (keys.erase(sealed.pool_key_id()) == 0) {
      return Bad(absl::StrCat("the descriptor seals the ", what,
                              " to an unknown pool key, or twice to one"));
    }
  }
  if (keys.empty()) return absl::OkStatus();
  return Bad(absl::StrCat("the descriptor does not seal the ", what, " to each pool key"));
}

// Each pool key once, and what the pool needs to know sealed to each.
absl::Status CheckPool(const v1::SessionDescriptor& descriptor, const v1::Terms& terms) {
  std::set<std::string> keys;
  for (const v1::PoolKey& key : descriptor.pool_keys()) {
    RETURN_IF_ERROR(shapes::CheckSize(key.public_key(), 32, "a pool key of the descriptor"));
    if (!Equal(AsBytes(key.key_id()), Sha256(AsBytes(key.public_key())))) {
      return Bad("a pool key's id in the descriptor is not its hash");
    }
    if (!keys.insert(key.key_id()).second) return Bad("the descriptor names a pool key twice");
  }
  if (keys.empty()) return Bad("the descriptor names no pool key");
  RETURN_IF_ERROR(CheckSealed(descriptor.sealed_sessions(), keys, "session"));
  if (!terms.has_audit()) keys.clear();
  return CheckSealed(descriptor.sealed_audit_secrets(), std::move(keys), "audit secret");
}

// Ascending, so that one set has one encoding, and is searched fast.
absl::Status CheckRevoked(const v1::SessionDescriptor& descriptor) {
  if (descriptor.revoked_key_managers_size() > kMaxRevokedKeyManagers) {
    return Bad(
        absl::StrCat("the descriptor revokes more than ", kMaxRevokedKeyManagers, " key managers"));
  }
  const std::string* before = nullptr;
  for (const std::string& id : descriptor.revoked_key_managers()) {
    RETURN_IF_ERROR(shapes::CheckSize(id, 32, "a revoked key manager's id in the descriptor"));
    if (before != nullptr && *before >= id) {
      return Bad("the descriptor's revoked key managers are not in order, each once");
    }
    before = &id;
  }
  return absl::OkStatus();
}

// Each costs a verifier two signatures.
constexpr int kMaxSenders = 64;

absl::StatusOr<Certificate> RootOf(const v1::SessionDescriptor& descriptor) {
  absl::StatusOr<Certificate> root = Certificate::FromDer(AsBytes(descriptor.root_certificate()));
  if (!root.ok()) {
    return absl::UnauthenticatedError(absl::StrCat(
        "the descriptor's root certificate does not parse: ", root.status().message()));
  }
  if (root->role() != CertificateRole::kProviderRoot) {
    return absl::UnauthenticatedError("the descriptor's root certificate is no provider root");
  }
  absl::Status self_signed = VerifySelfSigned(*root);
  if (!self_signed.ok()) return Annotate(self_signed, "the descriptor's root certificate");
  return *std::move(root);
}

}  // namespace

absl::StatusOr<VerifiedSession> VerifiedSession::Verify(const v1::SignedEnvelope& envelope,
                                                        Timestamp now) {
  VerifiedSession session;
  // The root travels inside, so the payload is read before anything is verified.
  // What it says counts only once the signatures under that root are.
  ASSIGN_OR_RETURN(session.descriptor_,
                   PayloadOf<v1::SessionDescriptor>(envelope, "the session descriptor"));
  ASSIGN_OR_RETURN(session.root_, RootOf(session.descriptor_));
  const ChainRules rules = {.at = now, .leaf_role = CertificateRole::kDescriptor};
  absl::StatusOr<Certificate> signer =
      VerifyEnvelopeChain(envelope, payload_type::kSessionDescriptor, *session.root_, rules);
  if (!signer.ok()) return Annotate(signer.status(), "the session descriptor");

  const v1::SignedEnvelope& terms = session.descriptor_.terms();
  signer = VerifyEnvelopeChain(terms, payload_type::kTerms, *session.root_, rules);
  if (!signer.ok()) return Annotate(signer.status(), "the session's terms");
  ASSIGN_OR_RETURN(session.terms_, PayloadOf<v1::Terms>(terms, "the session's terms"));
  RETURN_IF_ERROR(CheckTerms(session.terms_));
  ASSIGN_OR_RETURN(session.name_, SessionName::FromProto(session.terms_.session()));
  if (session.name_.provider != session.root_->public_key().id()) {
    return absl::UnauthenticatedError("the session's terms name another provider than the root");
  }

  RETURN_IF_ERROR(CheckTransports(session.descriptor_, session.terms_));
  RETURN_IF_ERROR(CheckEndpoints(session.descriptor_));
  RETURN_IF_ERROR(CheckPool(session.descriptor_, session.terms_));
  RETURN_IF_ERROR(CheckRevoked(session.descriptor_));
  RETURN_IF_ERROR(
      shapes::CheckTime(session.descriptor_.issue_time_us(), "the descriptor's issue time"));
  RETURN_IF_ERROR(session.VerifySenders(now));
  session.terms_identity_ = ObjectIdentity(terms);
  session.descriptor_identity_ = ObjectIdentity(envelope);
  session.envelope_ = KnownFields(envelope);
  return session;
}

absl::StatusOr<VerifiedSession> VerifiedSession::VerifyIssued(const v1::SignedEnvelope& envelope,
                                                              Timestamp now) {
  ASSIGN_OR_RETURN(const auto claimed,
                   PayloadOf<v1::SessionDescriptor>(envelope, "the session descriptor"));
  return Verify(envelope, std::min(now, FromMicros(claimed.issue_time_us())));
}

absl::StatusOr<SessionName> VerifiedSession::ClaimedName(const v1::SignedEnvelope& envelope) {
  ASSIGN_OR_RETURN(v1::SessionDescriptor descriptor,
                   PayloadOf<v1::SessionDescriptor>(envelope, "the session descriptor"));
  ASSIGN_OR_RETURN(v1::Terms terms,
                   PayloadOf<v1::Terms>(descriptor.terms(), "the session's terms"));
  return SessionName::FromProto(terms.session());
}

absl::Status VerifiedSession::VerifySenders(Timestamp now) {
  if (descriptor_.senders_size() > kMaxSenders) {
    return Bad(absl::StrCat("the descriptor certifies more than ", kMaxSenders, " senders"));
  }
  for (const v1::SenderCertificate& certificate : descriptor_.senders()) {
    ASSIGN_OR_RETURN(auto sender, VerifySender(certificate, now));
    if (!senders_.emplace(sender.first, std::move(sender.second)).second) {
      return Bad(absl::StrCat("the descriptor certifies sender ", sender.first, " twice"));
    }
  }
  return absl::OkStatus();
}

absl::StatusOr<std::pair<uint32_t, VerifiedSession::Sender>> VerifiedSession::VerifySender(
    const v1::SenderCertificate& certificate, Timestamp now) const {
  ASSIGN_OR_RETURN(std::vector<Certificate> chain, ParseCertificates(certificate.certificates()));
  absl::StatusOr<Certificate> leaf =
      VerifyChain(chain, *root_, {.at = now, .leaf_role = CertificateRole::kSender});
  if (!leaf.ok()) return Annotate(leaf.status(), "a sender of the session");
  const std::optional<SenderScope>& scope = leaf->sender_scope();
  if (!scope.has_value() || scope->provider != name_.provider ||
      scope->session_id != name_.session_id) {
    return absl::UnauthenticatedError("a sender's certificate is for another session");
  }
  for (const v1::PermittedSender& permitted : terms_.senders()) {
    if (permitted.sender_id() != scope->sender_id) continue;
    return std::make_pair(scope->sender_id,
                          Sender{.key = leaf->public_key(),
                                 .may_control = scope->may_control && permitted.may_control()});
  }
  if (terms_.open_to_senders() && scope->sender_id != 0) {
    return std::make_pair(scope->sender_id,
                          Sender{.key = leaf->public_key(), .may_control = false});
  }
  return absl::UnauthenticatedError(
      absl::StrCat("sender ", scope->sender_id, " is certified, but the terms do not permit it"));
}

const VerifiedSession::Sender* VerifiedSession::FindSender(uint32_t sender_id) const {
  auto found = senders_.find(sender_id);
  return found == senders_.end() ? nullptr : &found->second;
}

bool VerifiedSession::RevokesKeyManager(const Digest& key_id) const {
  const auto& revoked = descriptor_.revoked_key_managers();
  // std::string compares bytes as unsigned, as Digest does.
  return std::binary_search(revoked.begin(), revoked.end(), ToText(key_id));
}

std::vector<uint32_t> VerifiedSession::sender_ids() const {
  std::vector<uint32_t> ids;
  for (const auto& [id, sender] : senders_) ids.push_back(id);
  return ids;
}

}  // namespace nark
