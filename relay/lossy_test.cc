// Subscribers and a relay over a network that loses, delays and repeats messages, moves
// subscribers to other addresses and restarts the relay; all from a seed.

#include <gtest/gtest.h>

#include <functional>
#include <map>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "common/crypto/random.h"
#include "relay/client/subscription.h"
#include "relay/desk.h"

namespace nark::relay {
namespace {

using std::chrono::microseconds;
using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr uint64_t kTag = 5;
constexpr size_t kSubscribers = 6;

Endpoint At(uint32_t host) {
  Endpoint endpoint;
  StoreBig32(&endpoint.address[12], host);
  endpoint.port = 7;
  return endpoint;
}

class World {
 public:
  World(uint64_t seed, uint64_t loss_percent) : random_(seed), loss_percent_(loss_percent) {
    token_ = std::make_unique<Token>(*Token::Parse(Token::Make("site", random_)->Reveal()));
    Restart();
    for (size_t i = 0; i < kSubscribers; ++i) {
      hosts_.push_back(At(next_host_++));
      subscriptions_.push_back(*Subscription::Create(
          {.relay = "r", .timeout = std::chrono::hours(9)}, *token_, {kTag}, random_, now_));
    }
  }

  void Restart() {
    desk_ = *Desk::Create({.tags = {kTag}}, random_);
    desk_->SetTokens({*token_}, now_);
  }
  void Move(size_t i) { hosts_[i] = At(next_host_++); }
  void Calm() { loss_percent_ = 0; }
  uint64_t Below(uint64_t bound) { return random_.Below(bound); }

  // One step of 50 ms.
  void Step() {
    now_ += milliseconds(50);
    desk_->Advance(now_);
    for (size_t i = 0; i < kSubscribers; ++i) {
      auto due = subscriptions_[i].Advance(now_);
      ASSERT_TRUE(due.ok()) << due.status();
      if (due->has_value()) ToRelay(i, **due);
    }
    while (!network_.empty() && network_.begin()->first <= now_) {
      auto node = network_.extract(network_.begin());
      node.mapped()();
    }
    if (Below(10) == 0) return;  // a pause of the stream
    for (const Subscriber* one : desk_->Receivers(kTag)) {
      for (size_t i = 0; i < kSubscribers; ++i) {
        if (hosts_[i] == one->endpoint && !Lost()) subscriptions_[i].OnDatagram(now_);
      }
    }
  }

  size_t Receiving() {
    size_t count = 0;
    for (const Subscriber* one : desk_->Receivers(kTag)) {
      for (const Endpoint& host : hosts_) count += host == one->endpoint ? 1 : 0;
    }
    return count;
  }
  uint64_t asked_bytes = 0, answered_bytes = 0;
  Desk& desk() { return *desk_; }

 private:
  bool Lost() { return Below(100) < loss_percent_; }
  void Send(std::function<void()> arrive) {
    for (int copies = Below(10) == 0 ? 2 : 1; copies > 0; --copies) {
      if (!Lost()) network_.emplace(now_ + milliseconds(Below(120)), arrive);
    }
  }
  void ToRelay(size_t i, Bytes message) {
    const Endpoint from = hosts_[i];
    Send([this, i, from, message] {
      const Desk::Reply reply = desk_->OnMessage(message, from, now_);
      asked_bytes += message.size();
      if (!reply.message) return;
      answered_bytes += reply.message->size();
      Send([this, i, from, answer = *reply.message] {
        if (hosts_[i] != from) return;  // nobody is there any more
        if (auto more = subscriptions_[i].OnMessage(answer, now_)) ToRelay(i, *more);
      });
    });
  }

  SeededRandom random_;
  uint64_t loss_percent_;
  Timestamp now_{seconds(1000)};
  uint32_t next_host_ = 1;
  std::unique_ptr<Token> token_;
  std::unique_ptr<Desk> desk_;
  std::vector<Endpoint> hosts_;
  std::vector<Subscription> subscriptions_;
  std::multimap<Timestamp, std::function<void()>> network_;
};

TEST(LossyTest, EverybodyReceivesAgainSoonAfterTheTroubleIsOver) {
  const uint64_t first = std::random_device()();
  for (uint64_t seed = first; seed < first + 40; ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    World world(seed, 10 + seed % 40);
    for (int i = 0; i < 1200; ++i) {  // a minute of trouble
      if (world.Below(400) == 0) world.Restart();
      if (world.Below(200) == 0) world.Move(world.Below(kSubscribers));
      ASSERT_NO_FATAL_FAILURE(world.Step());
      ASSERT_LE(world.desk().size(), kSubscribers);
    }
    world.Calm();
    // The longest pause between tries, or a third of the lease, and an exchange. Who receives
    // already may do so on the last moments of a lease.
    for (int i = 0; i < (10 + 2) * 20; ++i) ASSERT_NO_FATAL_FAILURE(world.Step());
    EXPECT_LT(world.answered_bytes, world.asked_bytes);
    for (int i = 0; i < 1200; ++i) {  // and for good
      ASSERT_NO_FATAL_FAILURE(world.Step());
      ASSERT_EQ(world.Receiving(), kSubscribers) << "after " << i;
    }
  }
}

}  // namespace
}  // namespace nark::relay
