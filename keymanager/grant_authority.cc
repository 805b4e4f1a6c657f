#include "keymanager/grant_authority.h"

#include <algorithm>
#include <utility>

#include "absl/strings/cord.h"
#include "absl/strings/str_cat.h"
#include "common/audit/sealed_block.h"
#include "common/base/status.h"
#include "common/object/envelope.h"
#include "common/object/sealed_session.h"
#include "keymanager/request_shape.h"

namespace nark::keymanager {
namespace {

constexpr char kCauseUrl[] = "nark/keymanager_cause";

// Inside, a status is for the operator; its cause says what the caller is told.
absl::Status Refuse(Cause cause, std::string_view detail) {
  absl::Status status(absl::StatusCode::kPermissionDenied, Absl(detail));
  status.SetPayload(kCauseUrl, absl::Cord(std::string(1, static_cast<char>(cause))));
  return status;
}

absl::Status Refuse(Cause cause, const absl::Status& why) {
  return Refuse(cause, Std(why.message()));
}

Cause RefusedFor(const absl::Status& status) {
  const auto payload = status.GetPayload(kCauseUrl);
  if (payload) return static_cast<Cause>((*payload)[0]);
  return absl::IsUnavailable(status) ? Cause::kKeysUnavailable : Cause::kInternal;
}

// Everything that the evidence says has to be what this request is about.
absl::Status CheckEvidence(const v1::Evidence& evidence, const AttestedJoin& join) {
  const auto expect = [](const std::string& got, ByteView wanted, std::string_view what) {
    if (Equal(AsBytes(got), wanted)) return absl::OkStatus();
    return absl::UnauthenticatedError(absl::StrCat("the evidence is for another ", Absl(what)));
  };
  RETURN_IF_ERROR(expect(evidence.challenge_identity(), join.challenge_identity, "challenge"));
  ASSIGN_OR_RETURN(const SessionName session, SessionName::FromProto(evidence.session()));
  if (session != join.session.name()) {
    return absl::UnauthenticatedError("the evidence is for another session");
  }
  RETURN_IF_ERROR(expect(evidence.terms_identity(), join.session.terms_identity(), "terms"));
  RETURN_IF_ERROR(expect(evidence.voucher_identity(), join.voucher.identity, "voucher"));
  RETURN_IF_ERROR(expect(evidence.secure_space_id(), join.secure_space_id, "secure space"));
  if (evidence.hpke_public_key().size() != X25519PublicKey().size()) {
    return absl::UnauthenticatedError("the evidence's HPKE key is not 32 bytes");
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<std::unique_ptr<GrantAuthority>> GrantAuthority::Create(
    std::shared_ptr<const ReplicaKeys> keys, Trust trust, World world, Limits limits) {
  RETURN_IF_ERROR(CheckRoot(keys->root, CertificateRole::kProviderRoot));
  if (keys->hpke_keys.empty()) return absl::InvalidArgumentError("a pool needs an HPKE key");
  const auto signer =
      VerifyChain(keys->signing.Chain(), keys->root,
                  {.at = world.clock.Now(), .leaf_role = CertificateRole::kKeyManager});
  if (!signer.ok()) return Annotate(signer.status(), "the replica's signing certificate");
  if (signer->public_key().id() != keys->signing.key.public_key().id()) {
    return absl::InvalidArgumentError("the replica's signing key is not its certificate's");
  }
  return std::unique_ptr<GrantAuthority>(
      new GrantAuthority(std::move(keys), std::move(trust), world, limits));
}

GrantAuthority::GrantAuthority(std::shared_ptr<const ReplicaKeys> keys, Trust trust, World world,
                               Limits limits)
    : keys_(std::move(keys)),
      signing_chain_(keys_->signing.Chain()),
      trust_(std::move(trust)),
      world_(world),
      limits_(limits),
      sessions_(limits.cached_sessions),
      secure_spaces_(limits.cached_secure_spaces),
      families_(limits.cached_families),
      answers_(limits.cached_answers),
      rate_limit_(limits.joins_per_secure_space, limits.rate_buckets) {}

absl::StatusOr<v1::GetChallengeResponse> GrantAuthority::GetChallenge(
    const v1::GetChallengeRequest& request) {
  absl::StatusOr<v1::Challenge> challenge = MakeChallenge(request);
  if (!challenge.ok()) return Answer(challenge.status());
  v1::GetChallengeResponse response;
  *response.mutable_challenge() = *std::move(challenge);
  return response;
}

absl::StatusOr<v1::Challenge> GrantAuthority::MakeChallenge(
    const v1::GetChallengeRequest& request) {
  const absl::StatusOr<SessionName> session = SessionName::FromProto(request.session());
  if (!session.ok()) return Refuse(Cause::kMalformed, session.status());
  Digest secure_space_id;
  if (request.secure_space_id().size() != secure_space_id.size()) {
    return Refuse(Cause::kMalformed, "the secure-space id is not 32 bytes");
  }
  std::copy_n(AsBytes(request.secure_space_id()).begin(), secure_space_id.size(),
              secure_space_id.begin());
  if (session->provider != keys_->root.public_key().id()) {
    return Refuse(Cause::kOtherProvider,
                  absl::StrCat("session ", session->ToString(), " is of another provider"));
  }
  const Timestamp now = world_.clock.Now();
  if (absl::Status lists = trust_.CheckLists(now); !lists.ok()) {
    return Refuse(Cause::kListsExpired, lists);
  }
  return keys_->challenge_keys.Make(*session, secure_space_id, now, limits_.challenge_life,
                                    world_.random);
}

absl::StatusOr<v1::IssueGrantResponse> GrantAuthority::IssueGrant(
    const v1::IssueGrantRequest& request) {
  absl::StatusOr<v1::IssueGrantResponse> response = Decide(request);
  if (!response.ok()) return Answer(response.status());
  return response;
}

absl::StatusOr<BlockOrder> GrantAuthority::AdmitToBlock(const v1::GetMarkedBlockRequest& request) {
  absl::StatusOr<BlockOrder> order = Admit(request.join());
  if (!order.ok()) return Answer(order.status());
  return order;
}

absl::StatusOr<Bytes> GrantAuthority::MakeBlock(const BlockOrder& order) {
  const auto make = [&order]() -> absl::StatusOr<Bytes> {
    const audit::Family& family = *order.family;
    const Digest& id = order.secure_space_id;
    ASSIGN_OR_RETURN(const SecretBytes key, family.BlockKey(id));
    ASSIGN_OR_RETURN(const ChameleonBlock block, family.MarkedBlockOf(id));
    return audit::SealBlock(key, family.id(), id, block);
  };
  absl::StatusOr<Bytes> sealed = make();
  if (!sealed.ok()) return Answer(sealed.status());
  return sealed;
}

absl::StatusOr<Bytes> GrantAuthority::GetMarkedBlock(const v1::GetMarkedBlockRequest& request) {
  ASSIGN_OR_RETURN(const BlockOrder order, AdmitToBlock(request));
  return MakeBlock(order);
}

// Cheap checks first, so that a flood of junk costs little.
absl::StatusOr<VerifiedChallenge> GrantAuthority::CheckCheaply(const v1::IssueGrantRequest& request,
                                                               Timestamp now) {
  if (absl::Status shape = CheckShape(request); !shape.ok()) {
    return Refuse(ChainFaultOf(shape) == ChainFault::kLength ? Cause::kCertificateChainLength
                                                             : Cause::kMalformed,
                  shape);
  }
  ASSIGN_OR_RETURN(const VerifiedChallenge challenge, CheckChallenge(request.challenge(), now));
  if (absl::Status lists = trust_.CheckLists(now); !lists.ok()) {
    return Refuse(Cause::kListsExpired, lists);
  }
  return challenge;
}

absl::StatusOr<v1::IssueGrantResponse> GrantAuthority::Decide(
    const v1::IssueGrantRequest& request) {
  const Timestamp now = world_.clock.Now();
  ASSIGN_OR_RETURN(const VerifiedChallenge challenge, CheckCheaply(request, now));
  // The same request, byte for byte, within its challenge's life: the answer is
  // of use to nobody but the secure space that it was sealed to.
  const Digest name = NameOf(request);
  if (const auto known = answers_.Find(name)) return **known;
  ASSIGN_OR_RETURN(v1::IssueGrantResponse response, DecideAnew(request, challenge, now));
  answers_.Insert(name, std::make_shared<const v1::IssueGrantResponse>(response));
  return response;
}

absl::StatusOr<GrantAuthority::Attested> GrantAuthority::Attest(
    const v1::IssueGrantRequest& request, const VerifiedChallenge& challenge, Timestamp now) {
  Attested attested;
  attested.challenge_identity = challenge.identity;
  ASSIGN_OR_RETURN(attested.session,
                   FindSession(request.session_descriptor(), challenge.session, now));
  auto voucher = VerifyVoucher(request.voucher(), attested.session->verified, now, tills_);
  if (!voucher.ok()) return Refuse(Cause::kVoucher, voucher.status());
  attested.voucher = *std::move(voucher);
  ASSIGN_OR_RETURN(attested.secure_space, FindSecureSpace(request, now));
  const SecureSpace& secure_space = *attested.secure_space;
  if (secure_space.id != challenge.secure_space_id) {
    return Refuse(Cause::kChallengeSession, "the challenge was made for another secure space");
  }
  if (!Equal(AsBytes(request.evidence().key_id()), secure_space.attestation_key.id())) {
    return Refuse(Cause::kCertificateKey, "the evidence names another key than the certificate's");
  }
  if (absl::Status signature =
          VerifyEnvelope(request.evidence(), payload_type::kEvidence, secure_space.attestation_key);
      !signature.ok()) {
    return Refuse(Cause::kEvidence, signature);
  }
  auto evidence = PayloadOf<v1::Evidence>(request.evidence(), "the evidence");
  if (!evidence.ok()) return Refuse(Cause::kEvidence, evidence.status());
  attested.evidence = *std::move(evidence);
  attested.evidence_identity = ObjectIdentity(request.evidence());
  if (absl::Status content = CheckEvidence(attested.evidence, attested.join()); !content.ok()) {
    return Refuse(Cause::kEvidence, content);
  }

  // Attested: from here on callers learn why.
  RETURN_IF_ERROR(CheckPurchase(attested.voucher.voucher, secure_space.id, now));
  const absl::StatusOr<SessionSecrets>& secrets = attested.session->secrets;
  if (!secrets.ok()) {
    return Refuse(
        absl::IsNotFound(secrets.status()) ? Cause::kPoolKeyUnknown : Cause::kSessionNotSealed,
        secrets.status());
  }
  return attested;
}

absl::StatusOr<v1::IssueGrantResponse> GrantAuthority::DecideAnew(
    const v1::IssueGrantRequest& request, const VerifiedChallenge& challenge, Timestamp now) {
  ASSIGN_OR_RETURN(const Attested attested, Attest(request, challenge, now));
  const AttestedJoin join = attested.join();
  std::shared_ptr<const audit::Family> family;
  if (join.session.terms().has_audit()) {
    ASSIGN_OR_RETURN(family, FindFamily(*attested.session));
  }
  ASSIGN_OR_RETURN(
      const SecretBytes grant,
      MakeGrant(join, {.seed = attested.session->secrets->seed, .family = family.get()}, now));
  const auto sealed = SealGrant(join, grant, world_.random);
  // A key of small order, which no honest secure space makes.
  if (absl::IsInvalidArgument(sealed.status())) return Refuse(Cause::kEvidence, sealed.status());
  RETURN_IF_ERROR(sealed.status());
  v1::IssueGrantResponse response;
  ASSIGN_OR_RETURN(*response.mutable_grant(), SignEnvelope(payload_type::kGrant, Serialise(*sealed),
                                                           keys_->signing.key, signing_chain_));
  return response;
}

absl::StatusOr<BlockOrder> GrantAuthority::Admit(const v1::IssueGrantRequest& request) {
  const Timestamp now = world_.clock.Now();
  ASSIGN_OR_RETURN(const VerifiedChallenge challenge, CheckCheaply(request, now));
  ASSIGN_OR_RETURN(const Attested attested, Attest(request, challenge, now));
  if (!attested.session->verified.terms().has_audit()) {
    return Refuse(Cause::kNoAuditTrail, attested.session->verified.name().ToString());
  }
  BlockOrder order{.secure_space_id = attested.secure_space->id};
  ASSIGN_OR_RETURN(order.family, FindFamily(*attested.session));
  return order;
}

absl::StatusOr<std::shared_ptr<const audit::Family>> GrantAuthority::FindFamily(
    const Session& session) {
  const v1::AuditTrail& trail = session.verified.terms().audit();
  Digest name;
  std::copy_n(AsBytes(trail.block_id()).begin(), name.size(), name.begin());
  // The id is a function of the secret that the provider sealed: who names another's in
  // terms of his own gets nothing that he could not derive.
  if (const auto known = families_.Find(name); known &&
                                               (*known)->secret() == session.secrets->audit &&
                                               (*known)->words_log2() == trail.block_words_log2()) {
    return *known;
  }
  ASSIGN_OR_RETURN(audit::Family made,
                   audit::Family::Of(session.secrets->audit.Clone(), trail.block_words_log2()));
  if (made.id() != name) {
    return Refuse(Cause::kSessionNotSealed, "the sealed audit secret is not that of the terms");
  }
  auto family = std::make_shared<const audit::Family>(std::move(made));
  families_.Insert(name, family);
  return family;
}

absl::StatusOr<VerifiedChallenge> GrantAuthority::CheckChallenge(const v1::Challenge& challenge,
                                                                 Timestamp now) {
  const auto verified = keys_->challenge_keys.Verify(challenge);
  if (absl::IsUnavailable(verified.status())) return verified.status();
  if (!verified.ok()) return Refuse(Cause::kChallengeMac, verified.status());
  if (now > verified->expires) {
    const auto late =
        std::chrono::duration_cast<std::chrono::milliseconds>(now - verified->expires).count();
    return Refuse(Cause::kChallengeExpired,
                  absl::StrCat("the challenge expired ", late, " ms ago"));
  }
  if (verified->expires > now + limits_.challenge_life + limits_.clock_difference) {
    const auto early = std::chrono::duration_cast<std::chrono::seconds>(verified->expires - now -
                                                                        limits_.challenge_life);
    return Refuse(Cause::kChallengeEarly, absl::StrCat("the challenge was made ", early.count(),
                                                       " s ahead of this replica's clock"));
  }
  return *verified;
}

absl::StatusOr<std::shared_ptr<const GrantAuthority::Session>> GrantAuthority::FindSession(
    const v1::SignedEnvelope& envelope, const SessionName& challenged, Timestamp now) {
  const Digest name = NameOf(envelope);
  if (const auto known = sessions_.Find(name); known && IsFresh((*known)->verified_at, now)) {
    if ((*known)->verified.name() == challenged) return *known;
    return Refuse(Cause::kChallengeSession, "the challenge was made for another session");
  }
  // A stranger can sign a descriptor of his own that is dear to verify; a challenge
  // is made for this provider's sessions only.
  const absl::StatusOr<SessionName> claimed = VerifiedSession::ClaimedName(envelope);
  if (!claimed.ok()) return Refuse(Cause::kDescriptor, claimed.status());
  if (claimed->provider != challenged.provider) {
    return Refuse(Cause::kOtherProvider,
                  absl::StrCat("session ", claimed->ToString(), " is of another provider"));
  }
  if (*claimed != challenged) {
    return Refuse(Cause::kChallengeSession, "the challenge was made for another session");
  }
  absl::StatusOr<VerifiedSession> verified = VerifiedSession::Verify(envelope, now);
  if (!verified.ok()) return Refuse(Cause::kDescriptor, verified.status());
  absl::StatusOr<SessionSecrets> secrets = OpenSessionSecrets(*verified, keys_->hpke_keys);
  // Not remembered: the key may be there again at the next request.
  if (absl::IsUnavailable(secrets.status())) return secrets.status();
  auto session = std::make_shared<const Session>(
      Session{.verified = *std::move(verified), .secrets = std::move(secrets), .verified_at = now});
  sessions_.Insert(name, session);
  return session;
}

absl::StatusOr<std::shared_ptr<const GrantAuthority::SecureSpace>> GrantAuthority::FindSecureSpace(
    const v1::IssueGrantRequest& request, Timestamp now) {
  const Digest name = NameOf(request.secure_space_certificates());
  if (const auto known = secure_spaces_.Find(name); known && IsFresh((*known)->verified_at, now)) {
    return *known;
  }
  const absl::StatusOr<SecureSpaceLeaf> leaf =
      trust_.VerifySecureSpace(request.secure_space_certificates(), now);
  if (!leaf.ok()) return Refuse(CauseOf(ChainFaultOf(leaf.status())), leaf.status());
  const Digest id = SecureSpaceId(leaf->attestation_key.spki(), leaf->note_spki);
  auto space = std::make_shared<const SecureSpace>(
      SecureSpace{.attestation_key = leaf->attestation_key, .id = id, .verified_at = now});
  secure_spaces_.Insert(name, space);
  return space;
}

absl::Status GrantAuthority::CheckPurchase(const v1::Voucher& voucher,
                                           const Digest& secure_space_id, Timestamp now) {
  if (!rate_limit_.Allow(secure_space_id, now)) {
    return Refuse(Cause::kRateLimited, absl::StrCat("secure space ", ToHex(secure_space_id)));
  }
  if (!Equal(AsBytes(voucher.secure_space_id()), secure_space_id)) {
    return Refuse(Cause::kVoucherOtherSecureSpace,
                  absl::StrCat("secure space ", ToHex(secure_space_id), " has a voucher for ",
                               ToHex(AsBytes(voucher.secure_space_id()))));
  }
  if (trust_.Denies(secure_space_id)) {
    return Refuse(Cause::kDenied, absl::StrCat("secure space ", ToHex(secure_space_id)));
  }
  const uint64_t expires_us = voucher.policy().expires_us();
  if (expires_us != 0 && expires_us < ToMicros(now)) {
    return Refuse(Cause::kVoucherExpired,
                  absl::StrCat("voucher ", ToHex(AsBytes(voucher.voucher_id()))));
  }
  return absl::OkStatus();
}

absl::Status GrantAuthority::CheckSigningChain(Timestamp now) const {
  for (const Certificate& one : signing_chain_) {
    if (one.not_before() <= now && now <= one.not_after()) continue;
    return absl::UnavailableError(
        absl::StrCat("the signing certificate or the pool role's that certifies it ",
                     now < one.not_before() ? "is not valid yet" : "has expired",
                     "; bring the pool folder up to date"));
  }
  return absl::OkStatus();
}

absl::Status GrantAuthority::CheckReady() const {
  const Timestamp now = world_.clock.Now();
  RETURN_IF_ERROR(CheckSigningChain(now));
  RETURN_IF_ERROR(trust_.CheckLists(now));
  return keys_->challenge_keys.CheckReachable(now);
}

bool GrantAuthority::IsFresh(Timestamp verified_at, Timestamp now) const {
  return verified_at <= now && now - verified_at <= limits_.cache_life;
}

absl::Status GrantAuthority::Answer(const absl::Status& refused) {
  const Cause cause = RefusedFor(refused);
  world_.refusals.OnRefusal(cause, Std(refused.message()));
  return RefusalFor(cause);
}

}  // namespace nark::keymanager
