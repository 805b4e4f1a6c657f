#include <algorithm>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/base/status.h"
#include "common/object/envelope.h"
#include "securespace/core.h"

// Attest and InstallGrant (docs/architecture.md).
namespace nark::securespace {
namespace {

constexpr size_t kMaxChallengeBytes = 1024;

absl::Status Closed(const SessionName& name) {
  return Refusal(absl::StatusCode::kFailedPrecondition, "SESSION_CLOSED",
                 absl::StrCat("session ", name.ToString(),
                              " was closed by its final delivery note and cannot be joined again"));
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
         Serialise(a.policy) == Serialise(b.policy) && a.block_key == b.block_key &&
         SameSeeds(a.seeds, b.seeds);
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
  auto counter = counters_.find(exchange.session.name().provider);
  ASSIGN_OR_RETURN(SignedEvidence signed_evidence,
                   SignEvidence({.session = exchange.session,
                                 .voucher_identity = exchange.voucher.identity,
                                 .challenge = request.challenge(),
                                 .hpke_public_key = exchange.key.public_key(),
                                 .counter = counter == counters_.end() ? 0 : counter->second,
                                 .contact_sequence = exchange.contact_sequence,
                                 .secure_space_id = id_},
                                keys_.attestation));
  exchange.transcript = signed_evidence.transcript;
  v1::AttestResponse response;
  *response.mutable_evidence() = std::move(signed_evidence.evidence);
  for (const Certificate& certificate : chain_) {
    response.add_secure_space_certificates(ToText(certificate.der()));
  }
  RETURN_IF_ERROR(Remember(std::move(exchange), request.life()));
  return response;
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
        return GrantRefused("another voucher of the same id is installed");
      }
    }
    // Tried before anything changes: a provider's contradictory seeds are his own
    // session's trouble only.
    state.grants.push_back(std::move(opened.grant));
    if (!session.OpenKeySources().ok()) {
      state.grants.pop_back();
      absl::Status reopened = session.OpenKeySources();
      if (!reopened.ok()) return Fail(reopened);
      return GrantRefused("its seeds contradict those installed");
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
  ASSIGN_OR_RETURN(OpenedGrant opened, OpenGrant(*exchange, id_, request.grant()));
  // A host that asks under an earlier descriptor is not heard where a later one is known.
  if (session != nullptr && session->verified().RevokesKeyManager(opened.signer_id)) {
    return GrantRefused(kRevokedKeyManager);
  }

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
