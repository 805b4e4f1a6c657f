#include <algorithm>
#include <set>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/base/status.h"
#include "common/crypto/hash.h"
#include "common/object/envelope.h"
#include "nark/v1/attestation.pb.h"
#include "nark/v1/grant.pb.h"
#include "securespace/core.h"

// Attest and InstallGrant (docs/architecture.md).
namespace nark::securespace {
namespace {

constexpr size_t kMaxGrantBytes = 64 << 10;
constexpr size_t kMaxChallengeBytes = 1024;

absl::Status Refused(std::string_view what) {
  return Refusal(absl::StatusCode::kUnauthenticated, "GRANT_REFUSED",
                 absl::StrCat("the key manager's grant is refused: ", Absl(what)));
}

absl::Status Closed(const SessionName& name) {
  return Refusal(absl::StatusCode::kFailedPrecondition, "SESSION_CLOSED",
                 absl::StrCat("session ", name.ToString(),
                              " was closed by its final delivery note and cannot be joined again"));
}

bool Same(const std::string& field, ByteView expected) { return Equal(AsBytes(field), expected); }

// Keys stand in the message only between parsing and this.
void WipeSeeds(v1::Grant& grant) {
  for (v1::SenderSeeds& seeds : *grant.mutable_seeds()) {
    for (v1::SeedNode& node : *seeds.mutable_nodes()) {
      std::string& key = *node.mutable_key();
      Wipe({reinterpret_cast<uint8_t*>(key.data()), key.size()});
    }
  }
}

// Nodes of a generator that grants exact ranges must be the range and no more.
absl::Status CheckCover(const std::vector<schedule::Node>& nodes, uint32_t depth,
                        const v1::AduRange& range) {
  uint64_t next = range.first();
  for (const schedule::Node& node : nodes) {
    if (node.level > depth || (node.level < 64 && node.prefix >> node.level != 0)) {
      return Refused("it holds a node that its generator has not");
    }
    uint32_t below = depth - node.level;  // at most 63
    uint64_t first = node.prefix << below;
    uint64_t last = first + ((uint64_t{1} << below) - 1);
    if (first != next || last > range.last()) {
      return Refused("its seeds are not those of the range bought");
    }
    if (last == range.last()) {
      return &node == &nodes.back() ? absl::OkStatus()
                                    : Refused("its seeds are not those of the range bought");
    }
    next = last + 1;
  }
  return Refused("its seeds are not those of the range bought");
}

absl::StatusOr<Seeds> TakeSeeds(const v1::SenderSeeds& from, const SessionTools& tools,
                                const v1::AduRange& range) {
  Seeds seeds;
  seeds.stream = {from.sub_session(), from.sender_id()};
  std::vector<schedule::Node> trial;
  for (const v1::SeedNode& node : from.nodes()) {
    if (node.key().size() != 32) return Refused("a seed has not 32 bytes");
    SecretBytes key = SecretBytes::CopyOf(AsBytes(node.key()));
    trial.push_back({node.level(), node.prefix(), key.Clone()});
    seeds.nodes.push_back({node.level(), node.prefix(), std::move(key)});
  }
  if (tools.generator->properties().range_grants == schedule::RangeGrants::kExact) {
    RETURN_IF_ERROR(CheckCover(seeds.nodes, tools.parameters.depth, range));
  }
  if (trial.empty()) return Refused("its seeds do not fit the session's generator");
  auto source = tools.generator->Open(tools.parameters, std::move(trial));
  if (!source.ok()) return Refused("its seeds do not fit the session's generator");
  // Seeds that give more than a range must give all of it: those of a later first id do not.
  SecretBytes leaf(32);
  if (!(*source)->Leaf(range.first(), leaf).ok()) {
    return Refused("its seeds are not those of the range bought");
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
      return Refused(absl::StrCat("it has seeds of sender ", from.sender_id(), ", sub-session ",
                                  from.sub_session(), ", twice or without a purchase"));
    }
    ASSIGN_OR_RETURN(Seeds seeds, TakeSeeds(from, tools, message.policy().range()));
    all.push_back(std::move(seeds));
  }
  if (!expected.empty()) {
    return Refused(absl::StrCat("it has no seeds of sender ", expected.begin()->sender_id,
                                ", sub-session ", expected.begin()->sub_session));
  }
  return all;
}

// Each field that repeats what was asked for.
absl::Status CheckRepeated(const v1::Grant& message, const Exchange& exchange, const Digest& id) {
  const v1::Voucher& voucher = exchange.voucher.voucher;
  const v1::Terms& terms = exchange.session.terms();
  if (!Same(voucher.secure_space_id(), id)) {
    return Refused("its voucher is made out to another secure space");
  }
  if (Serialise(message.session()) != Serialise(exchange.session.name().ToProto())) {
    return Refused("it is for another session");
  }
  if (!Same(message.voucher_identity(), exchange.voucher.identity)) {
    return Refused("it is for another voucher");
  }
  if (!Same(message.secure_space_id(), id)) return Refused("it is for another secure space");
  if (!Same(message.terms_identity(), exchange.session.terms_identity())) {
    return Refused("it is for other terms");
  }
  if (!Same(message.grant_id(), GrantId(exchange.voucher.identity, id))) {
    return Refused("its id is not that of voucher and secure space");
  }
  if (Serialise(message.policy()) != Serialise(voucher.policy())) {
    return Refused("its policy is not the one bought");
  }
  if (!std::equal(message.group_ids().begin(), message.group_ids().end(),
                  voucher.group_ids().begin(), voucher.group_ids().end())) {
    return Refused("its groups are not those of the voucher");
  }
  if (message.contact_sequence() != exchange.contact_sequence) {
    return Refused("it echoes another contact order");
  }
  if (message.release_mode() != terms.release_mode()) {
    return Refused("its release mode is not that of the terms");
  }
  return absl::OkStatus();
}

bool SameSeeds(const std::vector<Seeds>& a, const std::vector<Seeds>& b) {
  return std::equal(a.begin(), a.end(), b.begin(), b.end(), [](const Seeds& x, const Seeds& y) {
    return x.stream == y.stream &&
           std::equal(x.nodes.begin(), x.nodes.end(), y.nodes.begin(), y.nodes.end(),
                      [](const schedule::Node& m, const schedule::Node& n) {
                        return m.level == n.level && m.prefix == n.prefix && m.key == n.key;
                      });
  });
}

bool SameGrant(const Grant& a, const Grant& b) {
  return a.voucher_identity == b.voucher_identity && a.group_ids == b.group_ids &&
         Serialise(a.policy) == Serialise(b.policy) && SameSeeds(a.seeds, b.seeds);
}

}  // namespace

absl::StatusOr<Exchange> Emulation::Core::BeginExchange(const v1::AttestRequest& request) {
  Timestamp now = surroundings_.clock.Now();
  ASSIGN_OR_RETURN(VerifiedSession session,
                   VerifiedSession::Verify(request.session_descriptor(), now));
  ASSIGN_OR_RETURN(const SessionTools tools, SessionTools::Find(session.terms()));
  RETURN_IF_ERROR(CheckPermitted(tools));
  ASSIGN_OR_RETURN(VerifiedVoucher voucher, VerifyVoucher(request.voucher(), session, now));
  if (request.challenge().body().empty() ||
      request.challenge().body().size() > kMaxChallengeBytes) {
    return absl::InvalidArgumentError("the key manager's challenge is empty or too large");
  }
  if (request.life() != v1::EXCHANGE_LIFE_UNSPECIFIED && request.life() != v1::EXCHANGE_LIFE_KEPT) {
    return absl::InvalidArgumentError("this secure space does not know such a life of exchanges");
  }
  uint64_t contact_sequence = 0;
  if (Session* known = FindSession(session.name()); known != nullptr) {
    if (known->state().closed()) return Closed(session.name());
    RETURN_IF_ERROR(known->CheckSameTerms(session));
    contact_sequence = known->state().contact_obeyed;
  }
  ASSIGN_OR_RETURN(HpkePrivateKey key, HpkePrivateKey::Generate(surroundings_.random));
  return Exchange{std::move(session),
                  ToMicros(now),
                  std::move(voucher),
                  KnownFields(request.voucher()),
                  std::move(key),
                  contact_sequence,
                  Digest{}};
}

absl::StatusOr<v1::AttestResponse> Emulation::Core::Attest(const v1::AttestRequest& request) {
  RETURN_IF_ERROR(CheckUsable());
  if (chain_.empty()) return NoCertificate();
  ASSIGN_OR_RETURN(Exchange exchange, BeginExchange(request));
  Digest challenge_identity =
      ObjectIdentity(payload_type::kChallenge, AsBytes(request.challenge().body()));

  v1::Evidence evidence;
  evidence.set_challenge_identity(ToText(challenge_identity));
  *evidence.mutable_session() = exchange.session.name().ToProto();
  evidence.set_terms_identity(ToText(exchange.session.terms_identity()));
  evidence.set_voucher_identity(ToText(exchange.voucher.identity));
  evidence.set_hpke_public_key(ToText(exchange.key.public_key()));
  auto counter = counters_.find(exchange.session.name().provider);
  evidence.set_counter(counter == counters_.end() ? 0 : counter->second);
  evidence.set_contact_sequence(exchange.contact_sequence);
  evidence.set_secure_space_id(ToText(id_));

  v1::AttestResponse response;
  ASSIGN_OR_RETURN(
      *response.mutable_evidence(),
      SignEnvelope(payload_type::kEvidence, Serialise(evidence), keys_.attestation, {}));
  for (const Certificate& certificate : chain_) {
    response.add_secure_space_certificates(ToText(certificate.der()));
  }
  exchange.transcript =
      GrantTranscript(exchange.session.descriptor_identity(), challenge_identity,
                      ObjectIdentity(response.evidence()), exchange.voucher.identity);
  RETURN_IF_ERROR(Remember(std::move(exchange), request.life()));
  return response;
}

absl::StatusOr<OpenedGrant> Emulation::Core::OpenGrant(const Exchange& exchange,
                                                       const v1::SignedEnvelope& envelope) const {
  const Certificate& root = exchange.session.root();
  // The time of signing stands inside; until it is read, periods are left out.
  absl::StatusOr<Certificate> signer = VerifyEnvelopeChain(
      envelope, payload_type::kGrant, root, {std::nullopt, CertificateRole::kKeyManager, nullptr});
  if (!signer.ok()) return Refused(Std(signer.status().message()));
  absl::StatusOr<v1::SealedGrant> sealed = PayloadOf<v1::SealedGrant>(envelope, "the grant");
  if (!sealed.ok()) return Refused(Std(sealed.status().message()));
  if (!Same(sealed->transcript(), exchange.transcript)) {
    return Refused("it answers another exchange");
  }
  if (sealed->ciphertext().size() > kMaxGrantBytes) return Refused("it is too large");
  absl::StatusOr<SecretBytes> plain = HpkeOpen(
      exchange.key, AsBytes(sealed->enc()), exchange.transcript, {}, AsBytes(sealed->ciphertext()));
  if (!plain.ok()) return Refused("it does not open");

  v1::Grant message;
  absl::Status parsed = ParseStrictly(plain->Reveal(), "the grant", message);
  absl::Status status =
      parsed.ok() ? CheckRepeated(message, exchange, id_) : Refused(Std(parsed.message()));
  absl::StatusOr<std::vector<Seeds>> seeds = std::vector<Seeds>();
  if (status.ok()) seeds = TakeAllSeeds(message, exchange.session.terms());
  WipeSeeds(message);
  RETURN_IF_ERROR(status);
  RETURN_IF_ERROR(seeds.status());
  // Certificates are judged at the key manager's word: a card has no clock.
  signer = VerifyEnvelopeChain(
      envelope, payload_type::kGrant, root,
      {FromMicros(message.issue_time_us()), CertificateRole::kKeyManager, nullptr});
  if (!signer.ok()) return Refused(Std(signer.status().message()));

  OpenedGrant opened;
  opened.contact_sequence = message.contact_sequence();
  opened.grant.id = GrantId(exchange.voucher.identity, id_);
  opened.grant.voucher_identity = exchange.voucher.identity;
  opened.grant.voucher = exchange.voucher_envelope;
  opened.grant.voucher_issue_time_us = exchange.voucher.voucher.issue_time_us();
  opened.grant.issue_time_us = message.issue_time_us();
  opened.grant.policy = message.policy();
  for (const std::string& group : message.group_ids()) {
    opened.grant.group_ids.push_back(ToBytes(AsBytes(group)));
  }
  opened.grant.seeds = *std::move(seeds);
  return opened;
}

absl::StatusOr<std::unique_ptr<Session>> Emulation::Core::NewSession(
    const Exchange& exchange) const {
  SessionState state;
  state.descriptor = exchange.session.envelope();
  state.verified_at_us = exchange.verified_at_us;
  return Session::Create(exchange.session, std::move(state), JournalOf(exchange.session.name()));
}

absl::Status Emulation::Core::InstallInto(Session& session, const Exchange& exchange,
                                          OpenedGrant opened) {
  SessionState& state = session.state();
  auto installed = std::find_if(state.grants.begin(), state.grants.end(),
                                [&](const Grant& grant) { return grant.id == opened.grant.id; });
  if (installed != state.grants.end()) {
    if (!SameGrant(*installed, opened.grant)) {
      return Refusal(absl::StatusCode::kUnauthenticated, "GRANT_MISMATCH",
                     "the key manager's grant differs from the one installed under its id");
    }
    // Contact was made: a lease runs from here.
    installed->issue_time_us = std::max(installed->issue_time_us, opened.grant.issue_time_us);
  } else {
    if (state.stop_issue_time_us != 0 &&
        opened.grant.voucher_issue_time_us <= state.stop_issue_time_us) {
      return Refusal(absl::StatusCode::kFailedPrecondition, "STOPPED",
                     "the provider stopped this secure space after the voucher was issued; a "
                     "later voucher is needed");
    }
    for (const Grant& grant : state.grants) {
      v1::Voucher other;
      RETURN_IF_ERROR(ParseStrictly(AsBytes(grant.voucher.payload()), "a voucher", other));
      // No refund desk would take a note that names one id twice.
      if (other.voucher_id() == exchange.voucher.voucher.voucher_id()) {
        return Refused("another voucher of the same id is installed");
      }
    }
    // Tried before anything changes: a provider's contradictory seeds are his own
    // session's trouble only.
    state.grants.push_back(std::move(opened.grant));
    if (!session.OpenKeySources().ok()) {
      state.grants.pop_back();
      absl::Status reopened = session.OpenKeySources();
      if (!reopened.ok()) return Fail(reopened);
      return Refused("its seeds contradict those installed");
    }
  }
  // A host that lost what it decrypted would be stuck else: the note shows the gap. Once an
  // exchange, or whoever holds a grant would never owe a digest.
  if (!exchange.answered) {
    for (auto& [name, stream] : state.streams) stream.outstanding.reset();
  }
  state.contact_echoed = std::max(state.contact_echoed, opened.contact_sequence);
  if (exchange.session.descriptor().issue_time_us() >
      session.verified().descriptor().issue_time_us()) {
    const absl::Status set = session.SetDescriptor(exchange.session, exchange.verified_at_us);
    if (!set.ok()) return Fail(set);
  }
  absl::Status opened_keys = session.OpenKeySources();
  return opened_keys.ok() ? CommitWhole(session) : Fail(opened_keys);
}

absl::StatusOr<v1::InstallGrantResponse> Emulation::Core::InstallGrant(
    const v1::InstallGrantRequest& request) {
  RETURN_IF_ERROR(CheckUsable());
  ASSIGN_OR_RETURN(SessionName name, SessionName::FromProto(request.session()));
  Exchange* exchange = FindExchange(name, request.grant());
  if (exchange == nullptr) {
    return Refusal(
        absl::StatusCode::kFailedPrecondition, "NO_EXCHANGE",
        absl::StrCat("no evidence was given for session ", name.ToString(), "; attest first"));
  }
  ASSIGN_OR_RETURN(const SessionTools tools, SessionTools::Find(exchange->session.terms()));
  RETURN_IF_ERROR(CheckPermitted(tools));
  Session* session = FindSession(name);
  if (session != nullptr) {
    if (session->state().closed()) return Closed(name);
    // It may have been joined since the evidence was given.
    RETURN_IF_ERROR(session->CheckSameTerms(exchange->session));
  }
  ASSIGN_OR_RETURN(OpenedGrant opened, OpenGrant(*exchange, request.grant()));

  v1::InstallGrantResponse response;
  response.set_grant_id(ToText(opened.grant.id));
  if (session != nullptr) {
    RETURN_IF_ERROR(InstallInto(*session, *exchange, std::move(opened)));
    RETURN_IF_ERROR(EndExchange(*exchange));
    return response;
  }
  ASSIGN_OR_RETURN(std::unique_ptr<Session> joined, NewSession(*exchange));
  RETURN_IF_ERROR(InstallInto(*joined, *exchange, std::move(opened)));
  // The file first: a session that is listed must have one, and one that is not
  // listed has released nothing.
  sessions_[name] = std::move(joined);
  RETURN_IF_ERROR(CommitSessions());
  // Last: after a crash before it the same grant is installed once more.
  RETURN_IF_ERROR(EndExchange(*exchange));
  return response;
}

}  // namespace nark::securespace
