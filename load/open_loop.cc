#include "load/open_loop.h"

#include <algorithm>
#include <utility>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "load/retry.h"

namespace nark::load {

using std::chrono::microseconds;

namespace {

// Between two looks for the end of what is outstanding, where nothing else is due.
constexpr microseconds kIdle = std::chrono::milliseconds(100);

}  // namespace

// Touched by one thread after the other: whoever holds the step that it is at.
struct OpenLoop::Join {
  size_t viewer = 0;
  size_t replica = 0;
  bool to_be_checked = false;
  Timestamp deadline;
  Timestamp step_began;
  std::shared_ptr<Connection> connection;
  std::optional<Attested> attested;
  JoinRecord record;
};

OpenLoop::OpenLoop(const OpenLoopOptions& options, ArrivalProcess arrivals, OpenLoopParts parts,
                   Tally tally)
    : options_(options),
      parts_(std::move(parts)),
      begin_(parts_.clock.Now()),
      arrivals_(std::move(arrivals)),
      next_(arrivals_.Next()),
      next_turn_(begin_),
      uniform_(options.seed),
      tally_(std::move(tally)) {}

std::optional<Timestamp> OpenLoop::StartDue() {
  std::vector<JoinPtr> fresh, again;
  std::optional<Timestamp> turn;
  {
    absl::MutexLock lock(&mutex_);
    const Timestamp now = parts_.clock.Now();
    for (; next_ && begin_ + *next_ <= now; next_ = arrivals_.Next()) {
      tally_.OnOffered(*next_);
      if (outstanding_ >= options_.most_outstanding) {
        tally_.OnNotStarted(*next_);
        continue;
      }
      auto join = std::make_shared<Join>();
      join->viewer = joins_ % parts_.viewers.count();
      join->replica = joins_ % parts_.key_managers.count();
      join->to_be_checked = uniform_.Next() < options_.check_part;
      join->record.intended = *next_;
      ++joins_;
      ++outstanding_;
      fresh.push_back(std::move(join));
    }
    const auto due = again_.upper_bound(now);
    for (auto at = again_.begin(); at != due; ++at) again.push_back(std::move(at->second));
    again_.erase(again_.begin(), due);
  }
  for (const JoinPtr& join : fresh) Begin(join);
  for (const JoinPtr& join : again) Connect(join);

  absl::MutexLock lock(&mutex_);
  if (next_) turn = begin_ + *next_;
  if (!again_.empty() && (!turn || again_.begin()->first < *turn)) turn = again_.begin()->first;
  if (!turn && outstanding_ > 0) turn = parts_.clock.Now() + kIdle;
  if (turn) next_turn_ = *turn;
  return turn;
}

bool OpenLoop::WantsTurn() const {
  return (!again_.empty() && again_.begin()->first < next_turn_) || (!next_ && outstanding_ == 0);
}

void OpenLoop::WaitUntil(Timestamp at) {
  const auto wants = [this]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) { return WantsTurn(); };
  absl::MutexLock lock(&mutex_);
  const microseconds left = at - parts_.clock.Now();
  if (left.count() > 0) {
    mutex_.AwaitWithTimeout(absl::Condition(&wants), absl::Microseconds(left.count()));
  }
}

void OpenLoop::Stop() {
  std::multimap<Timestamp, JoinPtr> given_up;
  {
    absl::MutexLock lock(&mutex_);
    stopped_ = true;
    next_.reset();
    given_up.swap(again_);
  }
  for (const auto& [at, join] : given_up) End(join, absl::CancelledError("the run was ended"));
}

size_t OpenLoop::outstanding() const {
  absl::MutexLock lock(&mutex_);
  return outstanding_;
}

microseconds OpenLoop::elapsed() const { return SinceBegin(parts_.clock.Now()); }

Tally OpenLoop::tally() const {
  absl::MutexLock lock(&mutex_);
  return tally_;
}

microseconds OpenLoop::SinceBegin(Timestamp at) const { return at - begin_; }

microseconds OpenLoop::CallTimeout(const Join& join) const {
  return std::max<microseconds>(
      std::chrono::milliseconds(1),
      std::min<microseconds>(options_.call_timeout, join.deadline - parts_.clock.Now()));
}

void OpenLoop::Begin(const JoinPtr& join) {
  const Timestamp now = parts_.clock.Now();
  join->record.started = SinceBegin(now);
  join->deadline = now + options_.timeout;
  {
    absl::MutexLock lock(&mutex_);
    tally_.OnStarted(join->record.intended, join->record.started);
  }
  Connect(join);
}

void OpenLoop::Connect(const JoinPtr& join) {
  join->connection = parts_.key_managers.Connect(join->replica);
  join->step_began = parts_.clock.Now();
  join->connection->Open(CallTimeout(*join), [this, join](const absl::Status& status) {
    if (!status.ok()) return OnError(join, status);
    join->record.connect = parts_.clock.Now() - join->step_began;
    // Evidence holds at every replica.
    join->attested ? Grant(join) : Challenge(join);
  });
}

void OpenLoop::Challenge(const JoinPtr& join) {
  join->step_began = parts_.clock.Now();
  join->connection->GetChallenge(parts_.viewers.ChallengeRequest(join->viewer), CallTimeout(*join),
                                 [this, join](absl::StatusOr<v1::Challenge> challenge) {
                                   OnChallenge(join, std::move(challenge));
                                 });
}

void OpenLoop::OnChallenge(const JoinPtr& join, absl::StatusOr<v1::Challenge> challenge) {
  if (!challenge.ok()) return OnError(join, challenge.status());
  join->record.challenge = parts_.clock.Now() - join->step_began;
  absl::StatusOr<Attested> attested = parts_.viewers.Attest(join->viewer, *challenge);
  if (!attested.ok()) return End(join, attested.status());
  join->attested = *std::move(attested);
  Grant(join);
}

void OpenLoop::Grant(const JoinPtr& join) {
  join->step_began = parts_.clock.Now();
  join->connection->IssueGrant(
      join->attested->request, CallTimeout(*join),
      [this, join](absl::StatusOr<v1::SignedEnvelope> grant) { OnGrant(join, std::move(grant)); });
}

void OpenLoop::OnGrant(const JoinPtr& join, absl::StatusOr<v1::SignedEnvelope> grant) {
  if (!grant.ok()) return OnError(join, grant.status());
  const Timestamp now = parts_.clock.Now();
  join->record.grant = now - join->step_began;
  join->record.ended = SinceBegin(now);
  if (!join->to_be_checked) return End(join, absl::OkStatus());
  join->record.checked = JoinRecord::Grant::kChecked;
  parts_.check([this, join, grant = *std::move(grant)] {
    End(join, join->attested->pending->Check(grant));
  });
}

void OpenLoop::OnError(const JoinPtr& join, const absl::Status& error) {
  const Timestamp now = parts_.clock.Now();
  join->record.ended = SinceBegin(now);
  join->connection.reset();
  {
    absl::MutexLock lock(&mutex_);
    tally_.OnAttemptFailed(error);
    const auto wait = RetryWait(error, join->record.attempts, uniform_.Next());
    if (wait && !stopped_ && join->record.attempts <= options_.retries &&
        now + *wait < join->deadline) {
      ++join->record.attempts;
      join->replica = (join->replica + 1) % parts_.key_managers.count();
      again_.emplace(now + *wait, join);
      return;
    }
  }
  End(join, error);
}

void OpenLoop::End(const JoinPtr& join, absl::Status status) {
  join->record.status = std::move(status);
  if (join->record.ended.count() == 0) join->record.ended = elapsed();
  if (join->connection != nullptr) join->record.handshake = join->connection->handshake();
  // What it held goes before it counts as ended: the next may be started then.
  join->connection.reset();
  join->attested.reset();
  absl::MutexLock lock(&mutex_);
  tally_.OnEnded(join->record);
  --outstanding_;
}

}  // namespace nark::load
