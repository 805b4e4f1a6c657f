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
      endpoints_(std::move(endpoints)),
      lied_(endpoints_.size()) {}

void Joiner::Start(const JoinOptions& options, Timestamp now) {
  options_ = options;
  deadline_ = now + options.timeout;
  not_before_ = now;
  pause_ = options.first_pause;
  first_ = current_ = static_cast<size_t>(options.spread * static_cast<double>(endpoints_.size()));
}

void Joiner::Step(Timestamp now) {
  const bool needs_peer = state_ == State::kChallenge || state_ == State::kGrant;
  if (needs_peer && now >= deadline_) {
    return FailRemotely(Annotate(
        last_error_.ok() ? absl::DeadlineExceededError("no time was left to ask one") : last_error_,
        absl::StrCat("no key manager reached within ", Seconds(options_.timeout))));
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
    case State::kJoined:
    case State::kFailed:
      return;
  }
}

void Joiner::Look() {
  auto identity = secure_space_.GetIdentity();
  if (!identity.ok()) return FailLocally(identity.status());
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
        state_ = State::kJoined;
        return;
    }
  }
  if (identity->certificates().empty()) {
    return FailLocally(absl::FailedPreconditionError(
        "the secure space has no certificate: have its request certified, then run "
        "`nark-securespace install`"));
  }
  if (endpoints_.empty()) {
    return FailLocally(absl::FailedPreconditionError(
        "the session names no key manager: give --key-manager HOST:PORT"));
  }
  secure_space_id_ = identity->secure_space_id();
  state_ = State::kChallenge;
}

void Joiner::Challenge(Timestamp now) {
  v1::GetChallengeRequest request;
  *request.mutable_session() = session_.name().ToProto();
  request.set_secure_space_id(secure_space_id_);
  auto response = endpoint().client->GetChallenge(request, CallTimeout(now));
  if (!response.ok()) return OnPeerError(response.status(), now);
  if (absl::Status status = CheckChallenge(response->challenge()); !status.ok()) {
    return OnLie(status, now);
  }
  challenge_ = response->challenge();
  challenger_ = current_;
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
  state_ = State::kGrant;
}

void Joiner::Grant(Timestamp now) {
  v1::IssueGrantRequest request;
  *request.mutable_session_descriptor() = session_.envelope();
  *request.mutable_voucher() = voucher_;
  *request.mutable_secure_space_certificates() = attested_.secure_space_certificates();
  *request.mutable_challenge() = challenge_;
  *request.mutable_evidence() = attested_.evidence();
  auto response = endpoint().client->IssueGrant(request, CallTimeout(now));
  if (!response.ok()) {
    // The challenge of another replica, which may have been none of this pool's.
    if (ReasonOf(response.status()) == "NOT_ATTESTED" && challenger_ != current_) {
      state_ = State::kChallenge;
      return;
    }
    return OnPeerError(response.status(), now);
  }
  grant_ = std::move(*response->mutable_grant());
  state_ = State::kInstall;
}

void Joiner::Install(Timestamp now) {
  v1::InstallGrantRequest request;
  *request.mutable_session() = session_.name().ToProto();
  *request.mutable_grant() = grant_;
  auto response = secure_space_.InstallGrant(request);
  if (response.ok()) {
    state_ = State::kJoined;
    return;
  }
  const absl::StatusCode code = response.status().code();
  if (code == absl::StatusCode::kUnauthenticated || code == absl::StatusCode::kInvalidArgument) {
    return OnLie(Annotate(response.status(), "its grant is not to be trusted"), now);
  }
  FailLocally(response.status());
}

milliseconds Joiner::CallTimeout(Timestamp now) const {
  const microseconds left = std::min<microseconds>(options_.call_timeout, deadline_ - now);
  return std::max(milliseconds(1), std::chrono::ceil<milliseconds>(left));
}

absl::Status Joiner::NamingPeer(const absl::Status& error) const {
  // A client over a network names its endpoint already.
  if (absl::StrContains(error.message(), endpoint().name)) return error;
  return Annotate(error, absl::StrCat("key manager ", endpoint().name));
}

void Joiner::OnPeerError(const absl::Status& error, Timestamp now) {
  last_error_ = NamingPeer(error);
  const std::string reason = ReasonOf(error);
  if (reason.empty()) return NextEndpoint(microseconds(0), microseconds(0), now);
  const std::chrono::seconds again(RetryAfterSeconds(error));
  if (again.count() == 0 || now + again >= deadline_) return FailRemotely(last_error_);
  // One replica has too much to do, or lacks its keys; the others may not.
  const bool its_own = reason == "OVERLOADED" || reason == "KEYS_UNAVAILABLE";
  if (its_own) return NextEndpoint(microseconds(0), again, now);
  NextEndpoint(again, again, now);
}

void Joiner::OnLie(const absl::Status& error, Timestamp now) {
  last_error_ = NamingPeer(error);
  lied_[current_] = true;
  if (std::all_of(lied_.begin(), lied_.end(), [](bool lied) { return lied; })) {
    return FailRemotely(last_error_);
  }
  state_ = State::kChallenge;
  NextEndpoint(microseconds(0), microseconds(0), now);
}

void Joiner::NextEndpoint(microseconds at_least, microseconds once_around, Timestamp now) {
  microseconds wait = at_least;
  do {
    current_ = (current_ + 1) % endpoints_.size();
    if (current_ == first_) {
      wait = std::max({wait, pause_, once_around});
      pause_ = std::min(2 * pause_, options_.longest_pause);
    }
  } while (lied_[current_]);
  wait = std::chrono::duration_cast<microseconds>(wait * (1 + options_.spread));
  // Never beyond the end, which is then told.
  not_before_ = std::min(now + wait, deadline_);
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
    case Joiner::State::kJoined:
      return "joined";
    case Joiner::State::kFailed:
      return "failed";
  }
  return "unknown";
}

}  // namespace nark::receiver
