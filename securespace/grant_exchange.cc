#include "securespace/grant_exchange.h"

#include <algorithm>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/base/status.h"
#include "common/crypto/secret_bytes.h"
#include "common/object/envelope.h"
#include "nark/v1/grant.pb.h"
#include "securespace/session_tools.h"

namespace nark::securespace {
namespace {

constexpr size_t kMaxGrantBytes = 64 << 10;
constexpr size_t kBlockKeyBytes = 32;

bool Same(const std::string& field, ByteView expected) { return Equal(AsBytes(field), expected); }

void WipeField(std::string& field) {
  Wipe({reinterpret_cast<uint8_t*>(field.data()), field.size()});
}

// Keys stand in the message only between parsing and this.
void WipeKeys(v1::Grant& grant) {
  for (v1::SenderSeeds& seeds : *grant.mutable_seeds()) {
    for (v1::SeedNode& node : *seeds.mutable_nodes()) WipeField(*node.mutable_key());
  }
  WipeField(*grant.mutable_block_key());
}

// Nodes of a generator that grants exact ranges must be the range and no more.
absl::Status CheckCover(const std::vector<schedule::Node>& nodes, uint32_t depth,
                        const v1::AduRange& range) {
  uint64_t next = range.first();
  for (const schedule::Node& node : nodes) {
    if (node.level > depth || (node.level < 64 && node.prefix >> node.level != 0)) {
      return GrantRefused("it holds a node that its generator has not");
    }
    uint32_t below = depth - node.level;  // at most 63
    uint64_t first = node.prefix << below;
    uint64_t last = first + ((uint64_t{1} << below) - 1);
    if (first != next || last > range.last()) {
      return GrantRefused("its seeds are not those of the range bought");
    }
    if (last == range.last()) {
      return &node == &nodes.back() ? absl::OkStatus()
                                    : GrantRefused("its seeds are not those of the range bought");
    }
    next = last + 1;
  }
  return GrantRefused("its seeds are not those of the range bought");
}

absl::StatusOr<Seeds> TakeSeeds(const v1::SenderSeeds& from, const SessionTools& tools,
                                const v1::AduRange& range) {
  Seeds seeds;
  seeds.stream = {from.sub_session(), from.sender_id()};
  std::vector<schedule::Node> trial;
  for (const v1::SeedNode& node : from.nodes()) {
    if (node.key().size() != 32) return GrantRefused("a seed has not 32 bytes");
    SecretBytes key = SecretBytes::CopyOf(AsBytes(node.key()));
    trial.push_back({node.level(), node.prefix(), key.Clone()});
    seeds.nodes.push_back({node.level(), node.prefix(), std::move(key)});
  }
  if (tools.generator->properties().range_grants == schedule::RangeGrants::kExact) {
    RETURN_IF_ERROR(CheckCover(seeds.nodes, tools.parameters.depth, range));
  }
  if (trial.empty()) return GrantRefused("its seeds do not fit the session's generator");
  auto source = tools.generator->Open(tools.parameters, std::move(trial));
  if (!source.ok()) return GrantRefused("its seeds do not fit the session's generator");
  // Seeds that give more than a range must give all of it: those of a later first id do not.
  SecretBytes leaf(32);
  if (!(*source)->Leaf(range.first(), leaf).ok()) {
    return GrantRefused("its seeds are not those of the range bought");
  }
  return seeds;
}

// All seeds: for every stream bought, once, and for no other.
absl::StatusOr<std::vector<Seeds>> TakeAllSeeds(const v1::Grant& message, const v1::Terms& terms) {
  ASSIGN_OR_RETURN(SessionTools tools, SessionTools::Find(terms));
  std::set<StreamName> expected;
  for (const auto& [sub_session, sender_id] : StreamsOf(message.policy(), terms)) {
    expected.insert({sub_session, sender_id});
  }
  std::vector<Seeds> all;
  for (const v1::SenderSeeds& from : message.seeds()) {
    if (expected.erase({from.sub_session(), from.sender_id()}) == 0) {
      return GrantRefused(absl::StrCat("it has seeds of sender ", from.sender_id(),
                                       ", sub-session ", from.sub_session(),
                                       ", twice or without a purchase"));
    }
    ASSIGN_OR_RETURN(Seeds seeds, TakeSeeds(from, tools, message.policy().range()));
    all.push_back(std::move(seeds));
  }
  if (!expected.empty()) {
    return GrantRefused(absl::StrCat("it has no seeds of sender ", expected.begin()->sender_id,
                                     ", sub-session ", expected.begin()->sub_session));
  }
  return all;
}

// Each field that repeats what was asked for.
absl::Status CheckRepeated(const v1::Grant& message, const Exchange& exchange, const Digest& id) {
  const v1::Voucher& voucher = exchange.voucher.voucher;
  const v1::Terms& terms = exchange.session.terms();
  if (!Same(voucher.secure_space_id(), id)) {
    return GrantRefused("its voucher is made out to another secure space");
  }
  if (Serialise(message.session()) != Serialise(exchange.session.name().ToProto())) {
    return GrantRefused("it is for another session");
  }
  if (!Same(message.voucher_identity(), exchange.voucher.identity)) {
    return GrantRefused("it is for another voucher");
  }
  if (!Same(message.secure_space_id(), id)) return GrantRefused("it is for another secure space");
  if (!Same(message.terms_identity(), exchange.session.terms_identity())) {
    return GrantRefused("it is for other terms");
  }
  if (!Same(message.grant_id(), GrantId(exchange.voucher.identity, id))) {
    return GrantRefused("its id is not that of voucher and secure space");
  }
  if (Serialise(message.policy()) != Serialise(voucher.policy())) {
    return GrantRefused("its policy is not the one bought");
  }
  if (!std::equal(message.group_ids().begin(), message.group_ids().end(),
                  voucher.group_ids().begin(), voucher.group_ids().end())) {
    return GrantRefused("its groups are not those of the voucher");
  }
  if (message.contact_sequence() != exchange.contact_sequence) {
    return GrantRefused("it echoes another contact order");
  }
  if (message.release_mode() != terms.release_mode()) {
    return GrantRefused("its release mode is not that of the terms");
  }
  if (message.block_key().size() != (terms.has_audit() ? kBlockKeyBytes : 0)) {
    return GrantRefused(
        "it has a key of a marked block where the terms have no audit trail, or "
        "none where they have one");
  }
  return absl::OkStatus();
}

}  // namespace

absl::Status GrantRefused(std::string_view what) {
  return Refusal(absl::StatusCode::kUnauthenticated, "GRANT_REFUSED",
                 absl::StrCat("the key manager's grant is refused: ", Absl(what)));
}

absl::StatusOr<SignedEvidence> SignEvidence(const EvidenceClaims& claims,
                                            const PrivateKey& attestation_key) {
  const Digest challenge_identity =
      ObjectIdentity(payload_type::kChallenge, AsBytes(claims.challenge.body()));
  v1::Evidence evidence;
  evidence.set_challenge_identity(ToText(challenge_identity));
  *evidence.mutable_session() = claims.session.name().ToProto();
  evidence.set_terms_identity(ToText(claims.session.terms_identity()));
  evidence.set_voucher_identity(ToText(claims.voucher_identity));
  evidence.set_hpke_public_key(ToText(claims.hpke_public_key));
  evidence.set_counter(claims.counter);
  evidence.set_contact_sequence(claims.contact_sequence);
  evidence.set_secure_space_id(ToText(claims.secure_space_id));
  SignedEvidence made;
  ASSIGN_OR_RETURN(made.evidence,
                   SignEnvelope(payload_type::kEvidence, Serialise(evidence), attestation_key, {}));
  made.transcript = GrantTranscript(claims.session.descriptor_identity(), challenge_identity,
                                    ObjectIdentity(made.evidence), claims.voucher_identity);
  return made;
}

absl::StatusOr<OpenedGrant> OpenGrant(const Exchange& exchange, const Digest& secure_space_id,
                                      const v1::SignedEnvelope& envelope) {
  const Certificate& root = exchange.session.root();
  // The time of signing stands inside; until it is read, periods are left out.
  absl::StatusOr<Certificate> signer = VerifyEnvelopeChain(
      envelope, payload_type::kGrant, root, {std::nullopt, CertificateRole::kKeyManager, nullptr});
  if (!signer.ok()) return GrantRefused(Std(signer.status().message()));
  if (exchange.session.RevokesKeyManager(signer->public_key().id())) {
    return GrantRefused(kRevokedKeyManager);
  }
  absl::StatusOr<v1::SealedGrant> sealed = PayloadOf<v1::SealedGrant>(envelope, "the grant");
  if (!sealed.ok()) return GrantRefused(Std(sealed.status().message()));
  if (!Same(sealed->transcript(), exchange.transcript)) {
    return GrantRefused("it answers another exchange");
  }
  if (sealed->ciphertext().size() > kMaxGrantBytes) return GrantRefused("it is too large");
  absl::StatusOr<SecretBytes> plain = HpkeOpen(
      exchange.key, AsBytes(sealed->enc()), exchange.transcript, {}, AsBytes(sealed->ciphertext()));
  if (!plain.ok()) return GrantRefused("it does not open");

  v1::Grant message;
  absl::Status parsed = ParseStrictly(plain->Reveal(), "the grant", message);
  absl::Status status = parsed.ok() ? CheckRepeated(message, exchange, secure_space_id)
                                    : GrantRefused(Std(parsed.message()));
  absl::StatusOr<std::vector<Seeds>> seeds = std::vector<Seeds>();
  if (status.ok()) seeds = TakeAllSeeds(message, exchange.session.terms());
  SecretBytes block_key = SecretBytes::CopyOf(AsBytes(message.block_key()));
  WipeKeys(message);
  RETURN_IF_ERROR(status);
  RETURN_IF_ERROR(seeds.status());
  // Certificates are judged at the key manager's word: a card has no clock.
  signer = VerifyEnvelopeChain(
      envelope, payload_type::kGrant, root,
      {FromMicros(message.issue_time_us()), CertificateRole::kKeyManager, nullptr});
  if (!signer.ok()) return GrantRefused(Std(signer.status().message()));

  OpenedGrant opened;
  opened.contact_sequence = message.contact_sequence();
  opened.signer_id = signer->public_key().id();
  opened.grant.id = GrantId(exchange.voucher.identity, secure_space_id);
  opened.grant.voucher_identity = exchange.voucher.identity;
  opened.grant.voucher = exchange.voucher_envelope;
  opened.grant.voucher_issue_time_us = exchange.voucher.voucher.issue_time_us();
  opened.grant.issue_time_us = message.issue_time_us();
  opened.grant.policy = message.policy();
  for (const std::string& group : message.group_ids()) {
    opened.grant.group_ids.push_back(ToBytes(AsBytes(group)));
  }
  opened.grant.seeds = *std::move(seeds);
  opened.grant.block_key = std::move(block_key);
  return opened;
}

}  // namespace nark::securespace
