#include "relay/client/subscription.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/base/status.h"

namespace nark::relay {
namespace {

using std::chrono::microseconds;

constexpr microseconds kFirstPause = std::chrono::milliseconds(250);
constexpr microseconds kLongestPause = std::chrono::seconds(5);

}  // namespace

absl::StatusOr<Subscription> Subscription::Create(SubscriptionOptions options, Token token,
                                                  std::vector<uint64_t> tags, Random& random,
                                                  Timestamp now) {
  std::sort(tags.begin(), tags.end());
  tags.erase(std::unique(tags.begin(), tags.end()), tags.end());
  if (tags.empty() || tags.size() > kMaxTags) {
    return absl::InvalidArgumentError(
        absl::StrCat("a subscription takes 1 to ", kMaxTags, " streams, not ", tags.size()));
  }
  Subscription made(std::move(options), std::move(token), std::move(tags), random, now);
  RETURN_IF_ERROR(random.Fill(made.id_));
  return made;
}

Subscription::Subscription(SubscriptionOptions options, Token token, std::vector<uint64_t> tags,
                           Random& random, Timestamp now)
    : options_(std::move(options)),
      token_(std::move(token)),
      tags_(std::move(tags)),
      random_(random),
      start_(now),
      next_(now),
      pause_(kFirstPause),
      last_heard_(now),
      last_exchange_(now) {}

bool Subscription::IsDue(Timestamp now) const {
  if (now >= next_) return true;
  // A relay that was restarted knows nobody; nothing but the silence tells.
  return state_ == State::kResting && accepted_ > 0 &&
         now - std::max(last_heard_, last_exchange_) >= silence_;
}

absl::StatusOr<std::optional<Bytes>> Subscription::Advance(Timestamp now) {
  if (!final_error_.ok()) return final_error_;
  if (accepted_ == 0 && now - start_ >= options_.timeout) {
    final_error_ = MarkRemote(absl::UnavailableError(
        absl::StrCat("the relay ", options_.relay, " does not answer; is it running there?")));
    return final_error_;
  }
  if (!IsDue(now)) return std::nullopt;
  ASSIGN_OR_RETURN(Bytes hello, SayHello(now));
  return hello;
}

absl::StatusOr<Bytes> Subscription::SayHello(Timestamp now) {
  RETURN_IF_ERROR(random_.Fill(nonce_));
  if (state_ == State::kResting) {
    pause_ = kFirstPause;
    silence_ = std::min<microseconds>(2 * silence_, std::max(kFirstSilence, lease_ / 3));
  }
  state_ = State::kHello;
  last_exchange_ = now;
  next_ = now + pause_;
  pause_ = std::min(2 * pause_, kLongestPause);
  return Serialise(Hello{nonce_});
}

std::optional<Bytes> Subscription::OnMessage(ByteView message, Timestamp now) {
  const absl::StatusOr<MessageType> type = TypeOf(message);
  if (!type.ok()) return std::nullopt;
  if (*type == MessageType::kAnswer) OnAnswer(message, now);
  if (*type != MessageType::kCookie || state_ != State::kHello) return std::nullopt;
  const absl::StatusOr<CookieMessage> parsed = ParseCookieMessage(message);
  if (!parsed.ok() || parsed->nonce != nonce_) return std::nullopt;
  cookie_ = parsed->cookie;
  state_ = State::kSubscribe;
  return MakeSubscribe(options_.lease);
}

Bytes Subscription::MakeSubscribe(std::chrono::seconds lease) {
  Subscribe subscribe;
  subscribe.nonce = nonce_;
  subscribe.cookie = cookie_;
  subscribe.credential = token_.id();
  subscribe.subscriber = id_;
  subscribe.serial = ++serial_;
  subscribe.lease_seconds = static_cast<uint16_t>(lease.count());
  subscribe.tags = tags_;
  return Serialise(subscribe, token_.subscriber_key());
}

void Subscription::OnAnswer(ByteView message, Timestamp now) {
  if (state_ != State::kSubscribe) return;
  const absl::StatusOr<Answer> answer = ParseAnswer(message);
  if (!answer.ok() || answer->nonce != nonce_ || answer->serial != serial_) return;
  const bool authentic = HasMac(message, token_.answer_key());
  if (!authentic && answer->status != AnswerStatus::kUnauthorised) return;
  if (!authentic && accepted_ > 0) {
    // Anybody on the way could have said so: told, not believed.
    ++refusals_;
    last_refusal_ = answer->status;
    return;
  }
  if (answer->status != AnswerStatus::kAccepted) return Refuse(answer->status, now);
  ++accepted_;
  state_ = State::kResting;
  last_exchange_ = now;
  lease_ = std::chrono::seconds(answer->lease_seconds);
  lease_end_ = now + lease_;
  next_ = now + lease_ / 3;
}

void Subscription::Refuse(AnswerStatus status, Timestamp now) {
  if (accepted_ == 0) {
    final_error_ = MarkRemote(absl::PermissionDeniedError(
        absl::StrCat("the relay ", options_.relay, " refused: ", Absl(Explain(status)))));
    return;
  }
  ++refusals_;
  last_refusal_ = status;
  // As if it had not answered: again, ever more slowly.
  state_ = State::kHello;
  next_ = std::max(next_, now + pause_);
}

std::optional<Bytes> Subscription::Leave() {
  if (accepted_ == 0) return std::nullopt;
  return MakeSubscribe(std::chrono::seconds(0));
}

}  // namespace nark::relay
