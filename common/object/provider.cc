#include "common/object/provider.h"

#include <algorithm>
#include <set>

#include "absl/strings/str_cat.h"
#include "common/base/status.h"
#include "common/object/envelope.h"
#include "common/object/sealed_session.h"
#include "common/schedule/key_schedule.h"

namespace nark {
namespace {

constexpr size_t kSeedBytes = 32;

v1::Terms TermsOf(const SessionOptions& options, const SessionName& name) {
  v1::Terms terms;
  *terms.mutable_session() = name.ToProto();
  terms.set_title(options.title);
  terms.set_cipher(options.cipher);
  terms.mutable_generator()->set_id(options.generator);
  terms.mutable_generator()->set_depth(options.depth);
  terms.set_receipt_type(options.receipts);
  terms.set_release_mode(options.release);
  *terms.mutable_adu_timing() = options.timing;
  terms.set_timeliness(options.timeliness);
  if (options.timeliness == v1::TIMELINESS_LIVE) terms.set_deadline_ms(options.deadline_ms);
  if (options.price_per_adu.has_value()) *terms.mutable_price_per_adu() = *options.price_per_adu;
  *terms.mutable_refund() = options.refund;
  terms.mutable_sub_sessions()->Assign(options.sub_sessions.begin(), options.sub_sessions.end());
  terms.mutable_senders()->Assign(options.senders.begin(), options.senders.end());
  terms.set_control_block_bytes(options.control_block_bytes);
  terms.set_open_to_senders(options.open_to_senders == OpenToSenders::kYes);
  if (options.audit.has_value()) {
    v1::AuditTrail& audit = *terms.mutable_audit();
    audit.set_block_id(ToText(options.audit->family->id()));
    audit.set_block_words_log2(options.audit->family->words_log2());
    audit.set_colluders(options.audit->colluders);
    audit.set_false_accusation_one_in(options.audit->false_accusation_one_in);
  }
  return terms;
}

// The changeable part that has nothing to do with keys.
v1::SessionDescriptor DescriptorOf(const SessionOptions& options, const SessionSigners& signers,
                                   Timestamp now) {
  v1::SessionDescriptor descriptor;
  descriptor.set_root_certificate(ToText(signers.root.der()));
  for (const auto& [sub_session, uri] : options.transports) {
    v1::Transport* transport = descriptor.add_transports();
    transport->set_sub_session(sub_session);
    transport->set_uri(uri);
  }
  descriptor.mutable_key_managers()->Assign(options.key_managers.begin(),
                                            options.key_managers.end());
  descriptor.mutable_refund_desks()->Assign(options.refund_desks.begin(),
                                            options.refund_desks.end());
  descriptor.set_tls_ca_certificate(ToText(signers.tls_ca.der()));
  descriptor.set_issue_time_us(ToMicros(now));
  return descriptor;
}

// Seals the secrets to the pool's keys and nothing else, and names whom it has revoked.
absl::Status SealTo(const SessionPool& pool, const SessionSecrets& secrets, const SessionName& name,
                    Random& random, v1::SessionDescriptor& descriptor) {
  const Digest terms_identity = ObjectIdentity(descriptor.terms());
  descriptor.clear_pool_keys();
  descriptor.clear_sealed_sessions();
  descriptor.clear_sealed_audit_secrets();
  descriptor.clear_revoked_key_managers();
  for (const Digest& id : pool.revoked_key_managers) {
    descriptor.add_revoked_key_managers(ToText(id));
  }
  for (const X25519PublicKey& public_key : pool.keys) {
    v1::PoolKey* key = descriptor.add_pool_keys();
    key->set_key_id(ToText(PoolKeyId(public_key)));
    key->set_public_key(ToText(public_key));
    ASSIGN_OR_RETURN(*descriptor.add_sealed_sessions(),
                     SealSession(secrets.seed, public_key, name, terms_identity, random));
    if (secrets.audit.empty()) continue;
    ASSIGN_OR_RETURN(*descriptor.add_sealed_audit_secrets(),
                     SealAuditSecret(secrets.audit, public_key, name, terms_identity, random));
  }
  return absl::OkStatus();
}

void Certify(const SigningIdentity& sender, v1::SessionDescriptor& descriptor) {
  v1::SenderCertificate* certificate = descriptor.add_senders();
  for (const Certificate& link : sender.Chain()) {
    certificate->add_certificates(ToText(link.der()));
  }
}

// Of two descriptors the later one is current, also where the clock stood still.
void StampAfter(const VerifiedSession& session, Timestamp now, v1::SessionDescriptor& descriptor) {
  descriptor.set_issue_time_us(std::max(ToMicros(now), session.descriptor().issue_time_us() + 1));
}

absl::StatusOr<v1::SignedEnvelope> Sign(std::string_view type,
                                        const google::protobuf::Message& message,
                                        const SigningIdentity& signer) {
  return SignEnvelope(type, Serialise(message), signer.key, signer.Chain());
}

absl::StatusOr<std::optional<v1::Money>> ListPrice(const v1::Terms& terms,
                                                   const v1::Policy& policy) {
  if (!terms.has_price_per_adu()) return std::optional<v1::Money>();
  v1::Money price = terms.price_per_adu();
  uint64_t amount = 0;
  const absl::StatusOr<uint64_t> adus = AdusBought(policy, StreamsOf(policy, terms));
  if (!adus.ok() || __builtin_mul_overflow(price.amount_minor(), *adus, &amount)) {
    return absl::InvalidArgumentError(
        "the price of so many ADUs at the session's list price is too large; state a price");
  }
  price.set_amount_minor(amount);
  return std::optional<v1::Money>(price);
}

}  // namespace

v1::AduTiming SessionOptions::DefaultTiming() {
  v1::AduTiming timing;
  timing.set_duration_ms(1000);
  return timing;
}

v1::RefundRules SessionOptions::DefaultRefund() {
  v1::RefundRules rules;
  rules.set_cap_percent(100);
  rules.set_emulated_cap_percent(100);
  return rules;
}

std::vector<v1::PermittedSender> SessionOptions::DefaultSenders() {
  v1::PermittedSender sender;
  sender.set_sender_id(1);
  return {sender};
}

absl::StatusOr<NewSession> MakeSession(const SessionOptions& options, const SessionSigners& signers,
                                       const SessionPool& pool, Timestamp now, Random& random) {
  SessionName name;
  name.provider = signers.root.public_key().id();
  RETURN_IF_ERROR(random.Fill(name.session_id));
  const v1::Terms terms = TermsOf(options, name);
  RETURN_IF_ERROR(CheckTerms(terms));
  v1::SessionDescriptor descriptor = DescriptorOf(options, signers, now);
  ASSIGN_OR_RETURN(*descriptor.mutable_terms(),
                   Sign(payload_type::kTerms, terms, signers.descriptor));
  SessionSecrets secrets;
  secrets.seed = SecretBytes(kSeedBytes);
  RETURN_IF_ERROR(random.Fill(secrets.seed.RevealMutable()));
  if (options.audit.has_value()) secrets.audit = options.audit->family->secret().Clone();
  RETURN_IF_ERROR(SealTo(pool, secrets, name, random, descriptor));
  std::map<uint32_t, SigningIdentity> senders;
  for (const v1::PermittedSender& permission : options.senders) {
    ASSIGN_OR_RETURN(SigningIdentity sender, MakeSender(name, permission, signers.senders, now));
    Certify(sender, descriptor);
    senders.emplace(permission.sender_id(), std::move(sender));
  }
  ASSIGN_OR_RETURN(v1::SignedEnvelope envelope,
                   Sign(payload_type::kSessionDescriptor, descriptor, signers.descriptor));
  ASSIGN_OR_RETURN(VerifiedSession session, VerifiedSession::Verify(envelope, now));
  return NewSession{std::move(envelope), std::move(session), std::move(secrets),
                    std::move(senders)};
}

absl::StatusOr<NewSession> AddSender(const VerifiedSession& session, const SessionSecrets& secrets,
                                     uint32_t sender_id, const SessionSigners& signers,
                                     Timestamp now) {
  if (session.FindSender(sender_id) != nullptr) {
    return absl::AlreadyExistsError(
        absl::StrCat("the session certifies sender ", sender_id, " already; choose another id"));
  }
  v1::PermittedSender permission;
  permission.set_sender_id(sender_id);
  bool permitted = session.terms().open_to_senders();
  for (const v1::PermittedSender& named : session.terms().senders()) {
    if (named.sender_id() != sender_id) continue;
    permission = named;
    permitted = true;
  }
  if (!permitted) {
    return absl::InvalidArgumentError(
        absl::StrCat("the session's terms neither permit sender ", sender_id,
                     " nor are they open to senders; both are fixed when a session is created"));
  }
  ASSIGN_OR_RETURN(SigningIdentity sender,
                   MakeSender(session.name(), permission, signers.senders, now));
  v1::SessionDescriptor descriptor = session.descriptor();
  Certify(sender, descriptor);
  StampAfter(session, now, descriptor);
  ASSIGN_OR_RETURN(v1::SignedEnvelope envelope,
                   Sign(payload_type::kSessionDescriptor, descriptor, signers.descriptor));
  ASSIGN_OR_RETURN(VerifiedSession verified, VerifiedSession::Verify(envelope, now));
  std::map<uint32_t, SigningIdentity> senders;
  senders.emplace(sender_id, std::move(sender));
  return NewSession{std::move(envelope), std::move(verified), secrets.Clone(), std::move(senders)};
}

absl::StatusOr<v1::SignedEnvelope> ResealSession(const VerifiedSession& session,
                                                 const SessionSecrets& secrets,
                                                 const SigningIdentity& descriptor_role,
                                                 const SessionPool& pool, Timestamp now,
                                                 Random& random) {
  v1::SessionDescriptor descriptor = session.descriptor();
  RETURN_IF_ERROR(SealTo(pool, secrets, session.name(), random, descriptor));
  StampAfter(session, now, descriptor);
  ASSIGN_OR_RETURN(v1::SignedEnvelope envelope,
                   Sign(payload_type::kSessionDescriptor, descriptor, descriptor_role));
  RETURN_IF_ERROR(VerifiedSession::Verify(envelope, now).status());
  return envelope;
}

absl::StatusOr<v1::SignedEnvelope> MakeVoucher(const VoucherOptions& options,
                                               const VerifiedSession& session,
                                               const SigningIdentity& till, Timestamp now,
                                               Random& random) {
  RETURN_IF_ERROR(CheckPolicy(options.policy, session.terms()));
  v1::Voucher voucher;
  std::array<uint8_t, 16> id;
  RETURN_IF_ERROR(random.Fill(id));
  voucher.set_voucher_id(ToText(id));
  *voucher.mutable_session() = session.name().ToProto();
  voucher.set_terms_identity(ToText(session.terms_identity()));
  voucher.set_secure_space_id(ToText(options.secure_space_id));
  *voucher.mutable_policy() = options.policy;
  std::optional<v1::Money> price = options.price;
  if (!price.has_value()) {
    ASSIGN_OR_RETURN(price, ListPrice(session.terms(), options.policy));
  }
  if (price.has_value()) *voucher.mutable_price() = *price;
  voucher.set_issue_time_us(ToMicros(now));
  voucher.set_payer_reference(options.payer_reference);
  for (const Bytes& group : options.group_ids) voucher.add_group_ids(ToText(group));
  ASSIGN_OR_RETURN(v1::SignedEnvelope envelope, Sign(payload_type::kVoucher, voucher, till));
  RETURN_IF_ERROR(VerifyVoucher(envelope, session, now).status());
  return envelope;
}

namespace {

// What a sender needs to send what can be marked: nothing of it says how.
absl::Status AddAuditKeys(const NewSession& session, v1::SenderFile& file) {
  const VerifiedSession& verified = session.session;
  ASSIGN_OR_RETURN(const audit::Family family,
                   audit::Family::Of(session.secrets.audit.Clone(),
                                     verified.terms().audit().block_words_log2()));
  ASSIGN_OR_RETURN(const SecretBytes base, family.BaseBlockKey());
  file.set_base_block_key(ToText(base.Reveal()));
  for (v1::SenderRoot& root : *file.mutable_roots()) {
    ASSIGN_OR_RETURN(const SecretBytes key,
                     family.StreamKey(verified.name(), root.sub_session(), file.sender_id()));
    root.set_audit_key(ToText(key.Reveal()));
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<v1::SignedEnvelope> MakeSenderFile(const NewSession& session, uint32_t sender_id,
                                                  const SigningIdentity& senders_role,
                                                  const SigningIdentity& tls_server) {
  auto found = session.senders.find(sender_id);
  if (found == session.senders.end()) {
    return absl::InvalidArgumentError(absl::StrCat("the session has no sender ", sender_id));
  }
  const SigningIdentity& sender = found->second;
  const v1::Terms& terms = session.session.terms();
  const schedule::Parameters generator = {terms.generator().id(), terms.generator().depth()};
  v1::SenderFile file;
  *file.mutable_session_descriptor() = session.descriptor;
  for (const Certificate& link : sender.Chain()) {
    file.mutable_certificate()->add_certificates(ToText(link.der()));
  }
  std::set<uint32_t> sub_sessions = {0};
  for (const v1::SubSession& sub : terms.sub_sessions()) sub_sessions.insert(sub.id());
  for (uint32_t sub_session : sub_sessions) {
    ASSIGN_OR_RETURN(SecretBytes root,
                     schedule::SenderRoot(session.secrets.seed, session.session.name(), sub_session,
                                          generator, sender_id));
    v1::SenderRoot* entry = file.add_roots();
    entry->set_sub_session(sub_session);
    entry->set_root(ToText(root.Reveal()));
  }
  ASSIGN_OR_RETURN(SecretBytes signing_key, sender.key.ToPkcs8());
  file.set_signing_key(ToText(signing_key.Reveal()));
  for (const Certificate& link : tls_server.Chain()) {
    file.add_tls_certificates(ToText(link.der()));
  }
  ASSIGN_OR_RETURN(SecretBytes tls_key, tls_server.key.ToPkcs8());
  file.set_tls_key(ToText(tls_key.Reveal()));
  file.set_sender_id(sender_id);
  if (terms.has_audit()) RETURN_IF_ERROR(AddAuditKeys(session, file));
  return Sign(payload_type::kSenderFile, file, senders_role);
}

absl::StatusOr<v1::SignedEnvelope> MakePoolManifest(const Digest& provider,
                                                    const PoolContent& content,
                                                    const SigningIdentity& pool_role,
                                                    Timestamp now) {
  v1::PoolManifest manifest;
  manifest.set_provider(ToText(provider));
  manifest.set_replica(content.kind == PoolFolderKind::kReplica);
  for (const v1::PoolFile& file : content.files) *manifest.add_files() = file;
  for (const RevokedKeyManager& one : content.revoked) {
    v1::RevokedKeyManager* entry = manifest.add_revoked_key_managers();
    entry->set_key_id(ToText(one.key_id));
    entry->set_not_after_us(ToMicros(one.not_after));
  }
  manifest.set_issue_time_us(ToMicros(now));
  return Sign(payload_type::kPoolManifest, manifest, pool_role);
}

absl::StatusOr<v1::SignedEnvelope> MakeDenyList(const Digest& provider, std::vector<Digest> ids,
                                                const SigningIdentity& control_role, Timestamp now,
                                                Timestamp next_update) {
  std::ranges::sort(ids);
  ids.erase(std::unique(ids.begin(), ids.end()), ids.end());
  v1::DenyList list;
  list.set_provider(ToText(provider));
  for (const Digest& id : ids) list.add_secure_space_ids(ToText(id));
  list.set_issue_time_us(ToMicros(now));
  list.set_next_update_us(ToMicros(next_update));
  return Sign(payload_type::kDenyList, list, control_role);
}

v1::NarkFile SessionFile(v1::SignedEnvelope descriptor) {
  v1::NarkFile file;
  *file.mutable_session_descriptor() = std::move(descriptor);
  return file;
}

v1::NarkFile VoucherFile(v1::SignedEnvelope voucher) {
  v1::NarkFile file;
  *file.mutable_voucher() = std::move(voucher);
  return file;
}

v1::NarkFile SenderNarkFile(v1::SignedEnvelope sender_file) {
  v1::NarkFile file;
  *file.mutable_sender() = std::move(sender_file);
  return file;
}

}  // namespace nark
