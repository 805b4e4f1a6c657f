#include "relay/client/source.h"

#include <optional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/base/status.h"
#include "common/net/udp_conversation.h"
#include "relay/client/message.h"
#include "relay/client/subscription.h"
#include "relay/client/token.h"

namespace nark::relay {
namespace {

constexpr int kMostRounds = 8;
constexpr std::string_view kScheme = "relay://";
constexpr std::string_view kToken = "token=";

class RelaySource final : public net::DatagramSource {
 public:
  RelaySource(std::unique_ptr<net::UdpConversation> conversation, Subscription subscription,
              std::string relay, std::function<void(const std::string&)> tell, Clock& clock)
      : conversation_(std::move(conversation)),
        subscription_(std::move(subscription)),
        relay_(std::move(relay)),
        tell_(std::move(tell)),
        clock_(clock) {}

  ~RelaySource() override {
    // May be lost; then the lease ends it.
    if (const std::optional<Bytes> leave = subscription_.Leave()) {
      (void)conversation_->Send(*leave);
    }
  }

  absl::StatusOr<size_t> Receive(size_t most, absl::FunctionRef<void(ByteView)> consume) override {
    size_t delivered = 0;
    // Messages do not count, so that fewer than `most` means that nothing is left.
    // In bounded rounds: messages may be a flood from nobody.
    int rounds = 0;
    for (size_t taken = most; delivered < most && taken > 0 && rounds < kMostRounds; ++rounds) {
      const size_t wanted = most - delivered;
      const Timestamp now = clock_.Now();
      absl::Status sent;
      ASSIGN_OR_RETURN(taken, conversation_->source().Receive(wanted, [&](ByteView datagram) {
        if (LooksLikeMessage(datagram)) {
          const auto answer = subscription_.OnMessage(datagram, now);
          if (answer) sent = conversation_->Send(*answer);
          return;
        }
        ++delivered;
        subscription_.OnDatagram(now);
        consume(datagram);
      }));
      RETURN_IF_ERROR(sent);
      if (taken < wanted) break;
    }
    ASSIGN_OR_RETURN(const std::optional<Bytes> due, subscription_.Advance(clock_.Now()));
    if (due) RETURN_IF_ERROR(conversation_->Send(*due));
    Tell(clock_.Now());
    return delivered;
  }

  int descriptor() const override { return conversation_->source().descriptor(); }
  uint64_t lost() const override { return conversation_->source().lost(); }

 private:
  void Tell(Timestamp now) {
    const uint64_t accepted = subscription_.accepted();
    const uint64_t refusals = subscription_.refusals();
    std::string line;
    if (accepted != accepted_) {
      if (complained_) line = "serves again";
      complained_ = false;
    } else if (!complained_ && refusals != refusals_) {
      line =
          absl::StrCat("refuses: ", Absl(Explain(subscription_.last_refusal())), "; asking again");
      complained_ = true;
    } else if (!complained_ && accepted > 0 && !subscription_.subscribed(now)) {
      line = "does not answer any more; asking again";
      complained_ = true;
    }
    accepted_ = accepted;
    refusals_ = refusals;
    if (tell_ && !line.empty()) tell_(absl::StrCat("the relay ", relay_, " ", line));
  }

  std::unique_ptr<net::UdpConversation> conversation_;
  Subscription subscription_;
  const std::string relay_;
  std::function<void(const std::string&)> tell_;
  bool complained_ = false;
  uint64_t accepted_ = 0;
  uint64_t refusals_ = 0;
  Clock& clock_;
};

}  // namespace

absl::StatusOr<RelayAddress> RelayAddress::Parse(std::string_view uri) {
  const auto wrong = [&](std::string_view what) {
    return absl::InvalidArgumentError(
        absl::StrCat(Absl(uri), ": ", Absl(what), "; want relay://HOST:PORT?token=FILE"));
  };
  if (!Matches(uri)) return wrong("it must begin with relay://");
  RelayAddress address;
  std::string udp = absl::StrCat("udp://", Absl(uri.substr(kScheme.size())));
  const size_t question = udp.find('?');
  std::string rest;
  for (size_t at = question; at != std::string::npos && at + 1 < udp.size();) {
    const size_t end = udp.find('&', at + 1);
    const std::string one = udp.substr(at + 1, end == std::string::npos ? end : end - at - 1);
    if (one.starts_with(kToken)) {
      if (!address.token_file.empty()) return wrong("token is given twice");
      address.token_file = one.substr(kToken.size());
    } else {
      absl::StrAppend(&rest, rest.empty() ? "?" : "&", one);
    }
    at = end;
  }
  if (address.token_file.empty()) return wrong("it names no token");
  const auto parsed = net::UdpAddress::Parse(udp.substr(0, question) + rest);
  if (!parsed.ok()) return wrong(Std(parsed.status().message()));
  address.udp = *parsed;
  if (address.udp.multicast()) return wrong("a relay is one host, not a group");
  return address;
}

absl::StatusOr<std::unique_ptr<net::DatagramSource>> OpenRelaySource(std::string_view uri,
                                                                     SourceOptions options,
                                                                     Clock& clock, Random& random) {
  ASSIGN_OR_RETURN(const RelayAddress address, RelayAddress::Parse(uri));
  ASSIGN_OR_RETURN(Token token, Token::Load(address.token_file));
  absl::StatusOr<std::unique_ptr<net::UdpConversation>> conversation =
      net::OpenUdpConversation(address.udp);
  if (!conversation.ok()) {
    return absl::IsUnavailable(conversation.status()) ? MarkRemote(conversation.status())
                                                      : conversation.status();
  }
  SubscriptionOptions subscription;
  subscription.relay = address.udp.HostPort();
  subscription.timeout = options.timeout;
  ASSIGN_OR_RETURN(Subscription made,
                   Subscription::Create(subscription, std::move(token), std::move(options.tags),
                                        random, clock.Now()));
  return std::unique_ptr<net::DatagramSource>(
      std::make_unique<RelaySource>(*std::move(conversation), std::move(made), subscription.relay,
                                    std::move(options.tell), clock));
}

}  // namespace nark::relay
