#include "keymanager/testing.h"

#include <cstdio>
#include <cstdlib>
#include <utility>

#include "common/base/status.h"
#include "common/object/envelope.h"

namespace nark::keymanager {
namespace {

template <typename T>
T Must(absl::StatusOr<T> value) {
  if (!value.ok()) {
    std::fprintf(stderr, "fixture: %s\n", value.status().ToString().c_str());
    std::abort();
  }
  return *std::move(value);
}

}  // namespace

void RecordedRefusals::OnRefusal(Cause cause, std::string_view detail) {
  absl::MutexLock lock(&mutex_);
  last_ = cause;
  detail_ = detail;
  ++counts_[static_cast<int>(cause)];
}

std::optional<Cause> RecordedRefusals::last() const {
  absl::MutexLock lock(&mutex_);
  return last_;
}

std::string RecordedRefusals::last_detail() const {
  absl::MutexLock lock(&mutex_);
  return detail_;
}

int RecordedRefusals::count(Cause cause) const {
  absl::MutexLock lock(&mutex_);
  return counts_[static_cast<int>(cause)];
}

void RecordedRefusals::Clear() {
  absl::MutexLock lock(&mutex_);
  last_.reset();
  detail_.clear();
  counts_.fill(0);
}

std::unique_ptr<ReplicaKeys> KeysOf(TestProvider& provider) {
  std::vector<HpkePrivateKey> hpke_keys;
  for (const HpkePrivateKey& key : provider.pool_keys) {
    hpke_keys.push_back(Must(HpkePrivateKey::FromRaw(key.raw().Clone())));
  }
  return std::make_unique<ReplicaKeys>(
      ReplicaKeys{.root = provider.root.certificate,
                  .hpke_keys = std::move(hpke_keys),
                  .challenge_keys = Must(ChallengeKeys::Create(provider.challenge_keys)),
                  .signing = provider.MakeReplica()});
}

Trust TrustOf(const TestProvider& provider) {
  return Must(Trust::Create({provider.issuer.certificate}, {}, std::nullopt));
}

std::unique_ptr<GrantAuthority> MakeAuthority(TestProvider& provider, World world, Limits limits) {
  return Must(GrantAuthority::Create(KeysOf(provider), TrustOf(provider), world, limits));
}

v1::GetChallengeRequest ChallengeRequest(const VerifiedSession& session,
                                         const TestSecureSpace& secure_space) {
  v1::GetChallengeRequest request;
  *request.mutable_session() = session.name().ToProto();
  request.set_secure_space_id(ToText(secure_space.id));
  return request;
}

Exchange Attest(const Purchase& purchase, const v1::Challenge& challenge, Random& random,
                const std::function<void(v1::Evidence&)>& edit) {
  Exchange exchange = {
      .evidence_key = Must(HpkePrivateKey::Generate(random)), .evidence = {}, .request = {}};
  const auto descriptor =
      Must(PayloadOf<v1::SessionDescriptor>(purchase.descriptor, "the descriptor"));
  const auto terms = Must(PayloadOf<v1::Terms>(descriptor.terms(), "the terms"));
  v1::Evidence& evidence = exchange.evidence;
  evidence.set_challenge_identity(
      ToText(ObjectIdentity(payload_type::kChallenge, AsBytes(challenge.body()))));
  *evidence.mutable_session() = terms.session();
  evidence.set_terms_identity(ToText(ObjectIdentity(descriptor.terms())));
  evidence.set_voucher_identity(ToText(ObjectIdentity(purchase.voucher)));
  evidence.set_hpke_public_key(ToText(exchange.evidence_key.public_key()));
  evidence.set_counter(7);
  evidence.set_contact_sequence(3);
  evidence.set_secure_space_id(ToText(purchase.secure_space.id));
  if (edit) edit(evidence);
  v1::IssueGrantRequest& request = exchange.request;
  *request.mutable_session_descriptor() = purchase.descriptor;
  *request.mutable_voucher() = purchase.voucher;
  request.add_secure_space_certificates(ToText(purchase.secure_space.certificate.der()));
  *request.mutable_challenge() = challenge;
  *request.mutable_evidence() = Must(SignEnvelope(payload_type::kEvidence, Serialise(evidence),
                                                  purchase.secure_space.attestation_key, {}));
  return exchange;
}

absl::StatusOr<v1::Grant> OpenGrant(const Exchange& exchange, const v1::IssueGrantResponse& answer,
                                    const Certificate& root, Timestamp now) {
  const v1::IssueGrantRequest& request = exchange.request;
  RETURN_IF_ERROR(VerifyEnvelopeChain(answer.grant(), payload_type::kGrant, root,
                                      {.at = now, .leaf_role = CertificateRole::kKeyManager})
                      .status());
  ASSIGN_OR_RETURN(const v1::SealedGrant sealed,
                   PayloadOf<v1::SealedGrant>(answer.grant(), "the grant"));
  const Digest transcript =
      GrantTranscript(ObjectIdentity(request.session_descriptor()),
                      ObjectIdentity(payload_type::kChallenge, AsBytes(request.challenge().body())),
                      ObjectIdentity(request.evidence()), ObjectIdentity(request.voucher()));
  if (!Equal(AsBytes(sealed.transcript()), transcript)) {
    return absl::UnauthenticatedError("the grant is of another exchange");
  }
  ASSIGN_OR_RETURN(const SecretBytes plain, HpkeOpen(exchange.evidence_key, AsBytes(sealed.enc()),
                                                     transcript, {}, AsBytes(sealed.ciphertext())));
  v1::Grant grant;
  RETURN_IF_ERROR(ParseStrictly(plain.Reveal(), "the grant", grant));
  return grant;
}

}  // namespace nark::keymanager
