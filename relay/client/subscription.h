#ifndef NARK_RELAY_CLIENT_SUBSCRIPTION_H_
#define NARK_RELAY_CLIENT_SUBSCRIPTION_H_

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/base/bytes.h"
#include "common/base/clock.h"
#include "common/crypto/random.h"
#include "relay/client/message.h"
#include "relay/client/token.h"

namespace nark::relay {

struct SubscriptionOptions {
  std::string relay;  // for messages: "HOST:PORT"
  std::chrono::seconds lease{30};
  // Until the first accepted answer; then it gives up.
  std::chrono::microseconds timeout = std::chrono::seconds(10);
};

// The subscriber's side of a subscription, as a state machine without socket and clock:
//
//   kResting -> kHello -> kSubscribe -> kResting, subscribed until the lease ends
//                 ^           |
//                 +-----------+  no answer: again, ever more slowly, with a new nonce
//
// `now` is of a clock that never jumps. One thread only.
class Subscription {
 public:
  // `tags`: 1 to kMaxTags sessions' tags, in any order. `random` must outlive it.
  static absl::StatusOr<Subscription> Create(SubscriptionOptions options, Token token,
                                             std::vector<uint64_t> tags, Random& random,
                                             Timestamp now);

  // What is to be sent now, if anything; to be called often. An error is final:
  // the relay refused the first time, or was not reached in time (IsRemote).
  absl::StatusOr<std::optional<Bytes>> Advance(Timestamp now);
  // A datagram that begins like a message. Returns what is to be sent, if anything.
  std::optional<Bytes> OnMessage(ByteView message, Timestamp now);
  // A datagram of a session came.
  void OnDatagram(Timestamp now) {
    last_heard_ = now;
    silence_ = kFirstSilence;
  }
  // What ends the subscription at the relay; empty where it has none. Nothing follows.
  std::optional<Bytes> Leave();

  bool subscribed(Timestamp now) const { return now < lease_end_; }
  // Answers that accepted, over all.
  uint64_t accepted() const { return accepted_; }
  // Later refusals; the last one's reason.
  uint64_t refusals() const { return refusals_; }
  AnswerStatus last_refusal() const { return last_refusal_; }

 private:
  static constexpr std::chrono::microseconds kFirstSilence = std::chrono::seconds(2);
  enum class State { kResting, kHello, kSubscribe };

  Subscription(SubscriptionOptions options, Token token, std::vector<uint64_t> tags, Random& random,
               Timestamp now);
  bool IsDue(Timestamp now) const;
  absl::StatusOr<Bytes> SayHello(Timestamp now);
  Bytes MakeSubscribe(std::chrono::seconds lease);
  void OnAnswer(ByteView message, Timestamp now);
  void Refuse(AnswerStatus status, Timestamp now);

  SubscriptionOptions options_;
  Token token_;
  std::vector<uint64_t> tags_;
  Random& random_;
  SubscriberId id_{};
  State state_ = State::kResting;
  Nonce nonce_{};
  Cookie cookie_{};
  uint64_t serial_ = 0;
  Timestamp start_;
  Timestamp next_;  // when resting: the next exchange; else the next try
  std::chrono::microseconds pause_{0};
  Timestamp last_heard_;
  Timestamp last_exchange_;
  std::chrono::microseconds silence_ = kFirstSilence;
  uint64_t accepted_ = 0;
  Timestamp lease_end_{};
  std::chrono::microseconds lease_{0};
  uint64_t refusals_ = 0;
  AnswerStatus last_refusal_ = AnswerStatus::kAccepted;
  absl::Status final_error_;
};

}  // namespace nark::relay

#endif  // NARK_RELAY_CLIENT_SUBSCRIPTION_H_
