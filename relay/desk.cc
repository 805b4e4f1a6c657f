#include "relay/desk.h"

#include <algorithm>

#include "common/base/status.h"

namespace nark::relay {
namespace {

// One may be a mistake or a moment's trouble.
constexpr int kUnreachableEnds = 3;
constexpr uint16_t kShortestLeaseSeconds = 5;

std::vector<uint64_t> Sorted(std::vector<uint64_t> tags) {
  std::sort(tags.begin(), tags.end());
  return tags;
}

Desk::Reply Silence(Verdict verdict) { return {.verdict = verdict, .message = std::nullopt}; }

// Who asks gets this; without a token, without a MAC.
Desk::Reply Answered(Verdict verdict, const Subscribe& asked, AnswerStatus status,
                     uint16_t lease_seconds, const Token* token) {
  Answer answer;
  answer.nonce = asked.nonce;
  answer.serial = asked.serial;
  answer.status = status;
  answer.lease_seconds = lease_seconds;
  return {.verdict = verdict,
          .status = status,
          .message = Serialise(answer, token == nullptr ? nullptr : &token->answer_key())};
}

}  // namespace

std::string_view Name(Verdict verdict) {
  static constexpr std::array<std::string_view, kVerdicts> kNames = {
      "cookie",  "subscribed", "renewed",    "moved",    "left",
      "refused", "malformed",  "bad_cookie", "replayed", "not_theirs"};
  return kNames[static_cast<size_t>(verdict)];
}

absl::StatusOr<std::unique_ptr<Desk>> Desk::Create(DeskOptions options, Random& random) {
  ASSIGN_OR_RETURN(CookieJar jar, CookieJar::Create(random));
  options.tags = Sorted(std::move(options.tags));
  return std::unique_ptr<Desk>(new Desk(std::move(options), std::move(jar)));
}

bool Desk::Serves(uint64_t tag) const {
  return std::binary_search(options_.tags.begin(), options_.tags.end(), tag);
}

Desk::Reply Desk::OnMessage(ByteView message, const Endpoint& from, Timestamp now) {
  const absl::StatusOr<MessageType> type = TypeOf(message);
  if (!type.ok()) return Silence(Verdict::kMalformed);
  if (*type == MessageType::kSubscribe) return OnSubscribe(message, from, now);
  if (*type != MessageType::kHello) return Silence(Verdict::kMalformed);
  const absl::StatusOr<Hello> hello = ParseHello(message);
  if (!hello.ok()) return Silence(Verdict::kMalformed);
  return {.verdict = Verdict::kCookie,
          .message = Serialise(CookieMessage{hello->nonce, jar_.Make(from, now)})};
}

// Cheap checks first: what comes from a forged address costs one HMAC.
Desk::Reply Desk::OnSubscribe(ByteView message, const Endpoint& from, Timestamp now) {
  const absl::StatusOr<Subscribe> asked = ParseSubscribe(message);
  if (!asked.ok()) return Silence(Verdict::kMalformed);
  const std::optional<Timestamp> made = jar_.Check(asked->cookie, from, now);
  if (!made) return Silence(Verdict::kBadCookie);
  if (auto found = outdated_.find(from); found != outdated_.end() && *made <= found->second) {
    return Silence(Verdict::kBadCookie);
  }
  const auto token = tokens_.find(asked->credential);
  if (token == tokens_.end() || !HasMac(message, token->second.subscriber_key())) {
    return Answered(Verdict::kRefused, *asked, AnswerStatus::kUnauthorised, 0, nullptr);
  }
  const auto found = subscribers_.find({asked->credential, asked->subscriber});
  Subscriber* known = found == subscribers_.end() ? nullptr : &found->second;
  if (known != nullptr && asked->serial <= known->serial) return Silence(Verdict::kReplayed);
  if (asked->lease_seconds == 0) return Leave(*asked, token->second, known, from, now);
  const AnswerStatus room = Room(*asked, known, from);
  if (room != AnswerStatus::kAccepted) {
    if (known != nullptr) known->serial = asked->serial;
    return Answered(Verdict::kRefused, *asked, room, 0, &token->second);
  }
  return Accept(*asked, token->second, known, from, *made, now);
}

Desk::Reply Desk::Leave(const Subscribe& asked, const Token& token, Subscriber* known,
                        const Endpoint& from, Timestamp now) {
  if (known == nullptr || known->endpoint != from) return Silence(Verdict::kNotTheirs);
  Remove({asked.credential, asked.subscriber}, now);
  return Answered(Verdict::kLeft, asked, AnswerStatus::kAccepted, 0, &token);
}

AnswerStatus Desk::Room(const Subscribe& asked, const Subscriber* known,
                        const Endpoint& from) const {
  if (ending_) return AnswerStatus::kEnding;
  if (!std::all_of(asked.tags.begin(), asked.tags.end(),
                   [this](uint64_t tag) { return Serves(tag); })) {
    return AnswerStatus::kSession;
  }
  // Who stands at this very address makes room by being replaced.
  const Subscriber* replaced = nullptr;
  if (auto at = by_endpoint_.find(from); at != by_endpoint_.end()) {
    replaced = &subscribers_.at(at->second);
  }
  const auto count = [](const auto& counts, const auto& key) -> size_t {
    const auto found = counts.find(key);
    return found == counts.end() ? 0 : found->second;
  };
  const bool has_place = known != nullptr || replaced != nullptr;
  if (!has_place && subscribers_.size() >= options_.subscribers) return AnswerStatus::kFull;
  const bool site_has_place =
      replaced != nullptr || (known != nullptr && known->endpoint.Site() == from.Site());
  if (!site_has_place && count(per_site_, from.Site()) >= options_.per_address) {
    return AnswerStatus::kAddressFull;
  }
  const bool credential_has_place =
      known != nullptr || (replaced != nullptr && replaced->credential == asked.credential);
  if (!credential_has_place &&
      count(per_credential_, asked.credential) >= options_.per_credential) {
    return AnswerStatus::kCredentialFull;
  }
  return AnswerStatus::kAccepted;
}

Desk::Reply Desk::Accept(const Subscribe& asked, const Token& token, Subscriber* known,
                         const Endpoint& from, Timestamp made, Timestamp now) {
  const Key key{asked.credential, asked.subscriber};
  Verdict verdict = Verdict::kSubscribed;
  Subscriber next;
  next.since = next.allowed_at = now;
  if (known != nullptr) {
    verdict = known->endpoint == from ? Verdict::kRenewed : Verdict::kMoved;
    next = *known;
  }
  if (verdict != Verdict::kRenewed) {
    if (known != nullptr) Remove(key, now);
    if (auto at = by_endpoint_.find(from); at != by_endpoint_.end()) {
      Remove(Key(at->second), now);
      // What its predecessor sent counts no more; what the newcomer holds still does.
      outdated_[from] = made - std::chrono::microseconds(1);
    }
    by_endpoint_[from] = key;
    ++per_site_[from.Site()];
    ++per_credential_[asked.credential];
  }
  const uint16_t most = static_cast<uint16_t>(options_.lease.count());
  const uint16_t lease = std::max(kShortestLeaseSeconds, std::min(asked.lease_seconds, most));
  next.endpoint = from;
  next.credential = asked.credential;
  next.site = token.name();
  next.id = asked.subscriber;
  next.serial = asked.serial;
  next.tags = asked.tags;
  next.lease_end = now + std::chrono::seconds(lease);
  next.unreachable = 0;
  subscribers_[key] = std::move(next);
  receivers_known_ = false;
  return Answered(verdict, asked, AnswerStatus::kAccepted, lease, &token);
}

void Desk::Remove(const Key& key, Timestamp now) {
  const auto found = subscribers_.find(key);
  if (found == subscribers_.end()) return;
  const Endpoint endpoint = found->second.endpoint;
  const auto site = per_site_.find(endpoint.Site());
  if (--site->second == 0) per_site_.erase(site);
  const auto credential = per_credential_.find(key.first);
  if (--credential->second == 0) per_credential_.erase(credential);
  by_endpoint_.erase(endpoint);
  subscribers_.erase(found);
  receivers_known_ = false;
  Outdate(endpoint, now);
}

void Desk::Outdate(const Endpoint& endpoint, Timestamp when) {
  // Beyond the life of a cookie the note says nothing; and never more of them than
  // there may be subscribers, times the leases that fit a cookie's life.
  const size_t most = 8 * options_.subscribers;
  while (!outdated_order_.empty() && (outdated_order_.size() >= most ||
                                      when - outdated_order_.front().second > CookieJar::kLife)) {
    const auto& [oldest, at] = outdated_order_.front();
    if (auto found = outdated_.find(oldest); found != outdated_.end() && found->second <= at) {
      outdated_.erase(found);
    }
    outdated_order_.pop_front();
  }
  outdated_[endpoint] = when;
  outdated_order_.emplace_back(endpoint, when);
}

void Desk::OnUnreachable(const Endpoint& endpoint, Timestamp now) {
  const auto found = by_endpoint_.find(endpoint);
  if (found == by_endpoint_.end()) return;
  if (++subscribers_.at(found->second).unreachable < kUnreachableEnds) return;
  ++unreachable_;
  Remove(Key(found->second), now);
}

void Desk::Advance(Timestamp now) {
  std::vector<Key> over;
  for (const auto& [key, subscriber] : subscribers_) {
    if (subscriber.lease_end <= now) over.push_back(key);
  }
  for (const Key& key : over) Remove(key, now);
}

void Desk::SetTokens(std::vector<Token> tokens, Timestamp now) {
  tokens_.clear();
  for (Token& token : tokens) tokens_.emplace(token.id(), std::move(token));
  std::vector<Key> over;
  for (const auto& [key, subscriber] : subscribers_) {
    if (!tokens_.contains(key.first)) over.push_back(key);
  }
  for (const Key& key : over) Remove(key, now);
}

const std::vector<Subscriber*>& Desk::Receivers(uint64_t tag) {
  if (!receivers_known_) {
    receivers_.clear();
    for (auto& [key, subscriber] : subscribers_) {
      for (const uint64_t one : subscriber.tags) receivers_[one].push_back(&subscriber);
    }
    receivers_known_ = true;
  }
  static const std::vector<Subscriber*> kNobody;
  const auto found = receivers_.find(tag);
  return found == receivers_.end() ? kNobody : found->second;
}

std::vector<const Subscriber*> Desk::Subscribers() const {
  std::vector<const Subscriber*> all;
  for (const auto& [key, subscriber] : subscribers_) all.push_back(&subscriber);
  return all;
}

}  // namespace nark::relay
