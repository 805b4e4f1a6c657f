#ifndef NARK_RELAY_DESK_H_
#define NARK_RELAY_DESK_H_

#include <array>
#include <chrono>
#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/status/statusor.h"
#include "common/base/bytes.h"
#include "common/base/clock.h"
#include "common/crypto/random.h"
#include "relay/client/message.h"
#include "relay/client/token.h"
#include "relay/cookie_jar.h"
#include "relay/endpoint.h"

namespace nark::relay {

struct DeskOptions {
  std::vector<uint64_t> tags;  // of the sessions served
  std::chrono::seconds lease{30};
  size_t subscribers = 1000;
  size_t per_address = 64;
  size_t per_credential = 256;
};

// Why a message got no answer, or the answer that it got.
enum class Verdict : uint8_t {
  kCookie,      // a hello, answered with a cookie
  kSubscribed,  // new
  kRenewed,     // from where it was
  kMoved,       // from another address
  kLeft,        //
  kRefused,     // answered with the reason
  kMalformed,   // no answer, from here on
  kBadCookie,   // forged, of another address, expired, or older than a leave
  kReplayed,    // a serial that is not new
  kNotTheirs,   // a leave from elsewhere, or of nobody
};
inline constexpr int kVerdicts = 10;
// For counters: "subscribed".
std::string_view Name(Verdict verdict);

struct Subscriber {
  Endpoint endpoint;
  CredentialId credential{};
  std::string site;
  SubscriberId id{};
  uint64_t serial = 0;
  std::vector<uint64_t> tags;
  Timestamp since;
  Timestamp lease_end;
  int unreachable = 0;  // ICMP errors since the last renewal
  // Kept by who forwards.
  uint64_t datagrams = 0;
  uint64_t bytes = 0;
  double allowance = 0;  // bytes of its rate
  Timestamp allowed_at;
};

// Who is subscribed: takes messages and answers them, never with more bytes than
// came, and never more than once. Memory is bounded by the caps. `now` is of a clock
// that never jumps. One thread only.
class Desk {
 public:
  static absl::StatusOr<std::unique_ptr<Desk>> Create(DeskOptions options, Random& random);

  struct Reply {
    Verdict verdict = Verdict::kMalformed;
    AnswerStatus status = AnswerStatus::kAccepted;  // where refused
    std::optional<Bytes> message;                   // to where the message came from
  };
  Reply OnMessage(ByteView message, const Endpoint& from, Timestamp now);
  // Somebody on the way, or there, said that nothing arrives there.
  void OnUnreachable(const Endpoint& endpoint, Timestamp now);
  // Forgets whose lease is over.
  void Advance(Timestamp now);

  // The credentials from now on; subscriptions of others end.
  void SetTokens(std::vector<Token> tokens, Timestamp now);
  // Takes no subscription and renews none any more.
  void SetEnding() { ending_ = true; }

  bool Serves(uint64_t tag) const;
  // Who gets datagrams of a tag. Valid until anything else is called.
  const std::vector<Subscriber*>& Receivers(uint64_t tag);
  std::vector<const Subscriber*> Subscribers() const;
  size_t size() const { return subscribers_.size(); }
  uint64_t unreachable() const { return unreachable_; }  // ended so

 private:
  using Key = std::pair<CredentialId, SubscriberId>;

  Desk(DeskOptions options, CookieJar jar) : options_(std::move(options)), jar_(std::move(jar)) {}
  Reply OnSubscribe(ByteView message, const Endpoint& from, Timestamp now);
  Reply Leave(const Subscribe& asked, const Token& token, Subscriber* known, const Endpoint& from,
              Timestamp now);
  Reply Accept(const Subscribe& asked, const Token& token, Subscriber* known, const Endpoint& from,
               Timestamp made, Timestamp now);
  // Whether there is room for `asked` from `from`; `known`: it has a place already.
  AnswerStatus Room(const Subscribe& asked, const Subscriber* known, const Endpoint& from) const;
  void Remove(const Key& key, Timestamp now);
  // No cookie of the endpoint that is not younger than `when` counts any more.
  void Outdate(const Endpoint& endpoint, Timestamp when);

  const DeskOptions options_;
  const CookieJar jar_;
  bool ending_ = false;
  std::map<CredentialId, Token> tokens_;
  std::map<Key, Subscriber> subscribers_;
  absl::flat_hash_map<Endpoint, Key> by_endpoint_;
  absl::flat_hash_map<std::array<uint8_t, 16>, size_t> per_site_;
  std::map<CredentialId, size_t> per_credential_;
  absl::flat_hash_map<Endpoint, Timestamp> outdated_;
  std::deque<std::pair<Endpoint, Timestamp>> outdated_order_;
  absl::flat_hash_map<uint64_t, std::vector<Subscriber*>> receivers_;  // filled when asked
  bool receivers_known_ = false;
  uint64_t unreachable_ = 0;
};

}  // namespace nark::relay

#endif  // NARK_RELAY_DESK_H_
