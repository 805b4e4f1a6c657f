#include "receiver/joiner.h"

#include <algorithm>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "common/base/bytes.h"
#include "common/base/status.h"
#include "common/object/envelope.h"
#include "nark/v1/attestation.pb.h"

namespace nark::receiver {
namespace {

using std::chrono::microseconds;
using std::chrono::milliseconds;

constexpr Timestamp kNever = Timestamp::max();

// Half of what a pool lets one live, whose clocks may differ.
constexpr std::chrono::seconds kChallengeIsFresh{30};

std::string Seconds(microseconds duration) {
  return absl::StrCat(std::chrono::duration<double>(duration).count(), " s");
}

bool SameSession(const v1::SessionRef& a, const v1::SessionRef& b) {
  return a.provider() == b.provider() && a.session_id() == b.session_id();
}

}  // namespace

Joiner::Joiner(const VerifiedSession& session, const v1::SignedEnvelope& voucher,
               const VerifiedVoucher& verified_voucher, securespace::SecureSpace& secure_space,
               std::vector<KeyManagerEndpoint> endpoints)
    : session_(session),
      voucher_(voucher),
      verified_voucher_(verified_voucher),
      secure_space_(secure_space),
      endpoints_(std::move(endpoints)) {}

void Joiner::Start(const JoinOptions& options, Timestamp now) {
  options_ = options;
  deadline_ = now + options.timeout;
  not_before_ = now;
  turns_.assign(endpoints_.size(), {now, options.first_pause});
  current_ = static_cast<size_t>(options.spread * static_cast<double>(endpoints_.size()));
}

void Joiner::Step(Timestamp now) {
  const bool needs_peer = state_ == State::kChallenge || state_ == State::kGrant ||
                          (state_ == State::kBlock && block_wait_.has_value());
  if (needs_peer && now >= deadline_) {
    return FailRemotely(Annotate(
        last_error_.ok() ? absl::DeadlineExceededError("no time was left to ask one") : last_error_,
        Unmet()));
  }
  switch (state_) {
    case State::kLook:
      return Look();
    case State::kChallenge:
      return Challenge(now);
    case State::kAttest:
      return Attest();
    case State::kGrant:
      return Grant(now);
    case State::kInstall:
      return Install(now);
    case State::kBlock:
      return Block(now);
    case State::kJoined:
    case State::kFailed:
      return;
  }
}

void Joiner::Look() {
  auto identity = secure_space_.GetIdentity();
  if (!identity.ok()) return FailLocally(identity.status());
  secure_space_id_ = identity->secure_space_id();
  const v1::SessionRef session = session_.name().ToProto();
  for (const v1::InstalledGrant& grant : identity->grants()) {
    if (!SameSession(grant.session(), session)) continue;
    if (grant.voucher_identity() != ToText(verified_voucher_.identity)) continue;
    switch (grant.state()) {
      case v1::GRANT_STATE_STOPPED:
        return FailLocally(absl::FailedPreconditionError(
            "the provider stopped what this voucher bought; a later voucher is needed"));
      case v1::GRANT_STATE_CLOSED:
        return FailLocally(absl::FailedPreconditionError(
            "the session was closed by its final delivery note and cannot be joined again"));
      case v1::GRANT_STATE_INSECURE:
        return FailLocally(Refusal(
            absl::StatusCode::kFailedPrecondition, "INSECURE_SESSION",
            "the session is insecure; the secure space plays it only where it was opened with "
            "--allow-insecure"));
      case v1::GRANT_STATE_SUSPENDED:
        break;  // the key manager has to be asked again
      default:
        if (options_.installed == JoinOptions::Installed::kRenew) break;
        used_installed_grant_ = true;
        return OnInstalled();
    }
  }
  if (identity->certificates().empty()) {
    return FailLocally(absl::FailedPreconditionError(
        "the secure space has no certificate: have its request certified, then run "
        "`nark-securespace install`"));
  }
  AskKeyManagers();
}

void Joiner::AskKeyManagers() {
  if (endpoints_.empty()) {
    return FailLocally(absl::FailedPreconditionError(
        "the session names no key manager: give --key-manager HOST:PORT"));
  }
  state_ = State::kChallenge;
}

void Joiner::OnInstalled() {
  const bool wants_block =
      session_.terms().has_audit() && options_.block == JoinOptions::Block::kWanted;
  state_ = wants_block ? State::kBlock : State::kJoined;
}

void Joiner::Challenge(Timestamp now) {
  v1::GetChallengeRequest request;
  *request.mutable_session() = session_.name().ToProto();
  request.set_secure_space_id(secure_space_id_);
  auto response = endpoint().client->GetChallenge(request, CallTimeout(options_.call_timeout, now));
  if (!response.ok()) return OnPeerError(response.status(), now);
  if (absl::Status status = CheckChallenge(response->challenge()); !status.ok()) {
    return OnLie(status, now);
  }
  challenge_ = response->challenge();
  challenger_ = current_;
  challenged_ = now;
  state_ = State::kAttest;
}

absl::Status Joiner::CheckChallenge(const v1::Challenge& challenge) const {
  v1::ChallengeBody body;
  RETURN_IF_ERROR(ParseStrictly(AsBytes(challenge.body()), "the challenge", body));
  if (!SameSession(body.session(), session_.name().ToProto())) {
    return absl::InvalidArgumentError("its challenge is for another session");
  }
  if (body.secure_space_id() != secure_space_id_) {
    return absl::InvalidArgumentError("its challenge is for another secure space");
  }
  return absl::OkStatus();
}

void Joiner::Attest() {
  v1::AttestRequest request;
  *request.mutable_session_descriptor() = session_.envelope();
  *request.mutable_voucher() = voucher_;
  *request.mutable_challenge() = challenge_;
  auto response = secure_space_.Attest(request);
  if (!response.ok()) return FailLocally(response.status());
  attested_ = *std::move(response);
  state_ = used_installed_grant_ ? State::kBlock : State::kGrant;
}

v1::IssueGrantRequest Joiner::Request() const {
  v1::IssueGrantRequest request;
  *request.mutable_session_descriptor() = session_.envelope();
  *request.mutable_voucher() = voucher_;
  *request.mutable_secure_space_certificates() = attested_.secure_space_certificates();
  *request.mutable_challenge() = challenge_;
  *request.mutable_evidence() = attested_.evidence();
  return request;
}

void Joiner::Grant(Timestamp now) {
  auto response = endpoint().client->IssueGrant(Request(), CallTimeout(options_.call_timeout, now));
  if (!response.ok()) return OnDecisionError(response.status(), now);
  grant_ = std::move(*response->mutable_grant());
  state_ = State::kInstall;
}

void Joiner::OnDecisionError(const absl::Status& error, Timestamp now) {
  // The challenge of another replica, which may have been none of this pool's.
  if (ReasonOf(error) == "NOT_ATTESTED" && challenger_ != current_) {
    state_ = State::kChallenge;
    return;
  }
  OnPeerError(error, now);
}

void Joiner::Install(Timestamp now) {
  v1::InstallGrantRequest request;
  *request.mutable_session() = session_.name().ToProto();
  *request.mutable_grant() = grant_;
  auto response = secure_space_.InstallGrant(request);
  if (response.ok()) return OnInstalled();
  const absl::StatusCode code = response.status().code();
  if (code == absl::StatusCode::kUnauthenticated || code == absl::StatusCode::kInvalidArgument) {
    return OnLie(Annotate(response.status(), "its grant is not to be trusted"), now);
  }
  FailLocally(response.status());
}

std::string Joiner::Unmet() const {
  const bool refused = !ReasonOf(last_error_).empty();
  const char* what = block_wait_.has_value() ? "gave the marked block"
                     : refused               ? "granted this"
                                             : "reached";
  return absl::StrCat("no key manager ", what, " within ",
                      Seconds(block_wait_.value_or(options_.timeout)));
}

milliseconds Joiner::CallTimeout(microseconds longest, Timestamp now) const {
  const microseconds left = std::min<microseconds>(longest, deadline_ - now);
  return std::max(milliseconds(1), std::chrono::ceil<milliseconds>(left));
}

absl::Status Joiner::NamingPeer(const absl::Status& error) const {
  // A client over a network names its endpoint already.
  if (absl::StrContains(error.message(), endpoint().name)) return error;
  return Annotate(error, absl::StrCat("key manager ", endpoint().name));
}

void Joiner::OnPeerError(const absl::Status& error, Timestamp now) {
  Remember(error);
  const std::string reason = ReasonOf(error);
  if (reason == "NOT_ATTESTED") return OnNotAttested(now);
  const std::chrono::seconds again(RetryAfterSeconds(error));
  // What is wrong with the replica, and nothing with what it was asked.
  const bool broken = reason.empty() || reason == "INTERNAL";
  const bool stale = reason == "LISTS_EXPIRED" || reason == "KEYS_UNAVAILABLE";
  const bool its_own = broken || stale || reason == "OVERLOADED";
  // Behind a balancer's one address the next replica may answer.
  const bool another_may_answer = stale && endpoints_.size() == 1;
  if (broken || another_may_answer || (its_own && again.count() == 0)) {
    Pause(now);
  } else if (again.count() == 0) {
    return FailRemotely(NamingPeer(error));
  } else {
    AskAgainAfter(again, now);
    // It speaks of the secure space: the others would say the same.
    if (!its_own && now + again < deadline_) {
      for (Turn& turn : turns_) turn.not_before = std::max(turn.not_before, Stretched(again, now));
    }
  }
  NextEndpoint(now);
  if (block_wait_.has_value() && !done()) TellOfSlowBlock(now);
}

void Joiner::OnNotAttested(Timestamp now) {
  if (++not_attested_ == 2) return FailRemotely(last_error_);
  turns_[current_].not_before = kNever;
  state_ = State::kChallenge;
  NextEndpoint(now);
}

void Joiner::OnLie(const absl::Status& error, Timestamp now) {
  Remember(error);
  turns_[current_].not_before = kNever;
  state_ = State::kChallenge;
  NextEndpoint(now);
}

void Joiner::Pause(Timestamp now) {
  Turn& turn = turns_[current_];
  const auto stretched =
      std::chrono::duration_cast<microseconds>(turn.pause * (1 + options_.spread));
  // Never beyond the end, which is then told.
  turn.not_before = std::min(now + stretched, deadline_);
  turn.pause = std::min(2 * turn.pause, options_.longest_pause);
}

void Joiner::AskAgainAfter(std::chrono::seconds wait, Timestamp now) {
  turns_[current_].not_before = now + wait < deadline_ ? Stretched(wait, now) : kNever;
}

Timestamp Joiner::Stretched(std::chrono::seconds wait, Timestamp now) const {
  const microseconds room = std::min<microseconds>(wait, deadline_ - now - wait);
  return now + wait + std::chrono::duration_cast<microseconds>(room * options_.spread);
}

void Joiner::NextEndpoint(Timestamp now) {
  size_t next = current_;
  for (size_t i = 1; i <= endpoints_.size(); ++i) {
    const size_t candidate = (current_ + i) % endpoints_.size();
    if (i == 1 || turns_[candidate].not_before < turns_[next].not_before) next = candidate;
  }
  if (turns_[next].not_before == kNever) return FailRemotely(last_error_);
  current_ = next;
  not_before_ = std::max(now, turns_[next].not_before);
  if (not_before_ - challenged_ > kChallengeIsFresh) state_ = State::kChallenge;
}

void Joiner::Remember(const absl::Status& error) {
  if (ReasonOf(last_error_).empty() || !ReasonOf(error).empty()) last_error_ = NamingPeer(error);
}

void Joiner::FailLocally(const absl::Status& error) {
  result_ = error;
  state_ = State::kFailed;
}

void Joiner::FailRemotely(const absl::Status& error) { FailLocally(MarkRemote(error)); }

std::string_view Name(Joiner::State state) {
  switch (state) {
    case Joiner::State::kLook:
      return "look";
    case Joiner::State::kChallenge:
      return "challenge";
    case Joiner::State::kAttest:
      return "attest";
    case Joiner::State::kGrant:
      return "grant";
    case Joiner::State::kInstall:
      return "install";
    case Joiner::State::kBlock:
      return "block";
    case Joiner::State::kJoined:
      return "joined";
    case Joiner::State::kFailed:
      return "failed";
  }
  return "unknown";
}

}  // namespace nark::receiver
