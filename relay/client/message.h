#ifndef NARK_RELAY_CLIENT_MESSAGE_H_
#define NARK_RELAY_CLIENT_MESSAGE_H_

#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "common/base/bytes.h"
#include "common/crypto/hash.h"

namespace nark::relay {

// What subscribers and relays say to each other, one UDP datagram each (big-endian;
// docs/relay.md). All of one type have one size, and every answer is smaller than what
// it answers:
//
//    0  magic    2  "NR"
//    2  version  1  1
//    3  type     1  MessageType
//    4  nonce   16  random for each exchange; answers repeat it
//
//   hello:     20 zero 44
//   cookie:    20 cookie 24
//   subscribe: 20 cookie 24 | 44 credential 16 | 60 subscriber 16 | 76 serial 8 |
//              84 lease 2 | 86 tag count 1 | 87 zero 1 | 88 tags 8 each, 64 | 152 mac 32
//   answer:    20 serial 8 | 28 status 1 | 29 zero 1 | 30 lease 2 | 32 mac 32
inline constexpr size_t kHelloBytes = 64;
inline constexpr size_t kCookieMessageBytes = 44;
inline constexpr size_t kSubscribeBytes = 184;
inline constexpr size_t kAnswerBytes = 64;
inline constexpr size_t kMacBytes = 32;
inline constexpr size_t kCookieBytes = 24;
inline constexpr size_t kMaxTags = 8;

enum class MessageType : uint8_t { kHello = 1, kCookie = 2, kSubscribe = 3, kAnswer = 4 };

using Nonce = std::array<uint8_t, 16>;
using Cookie = std::array<uint8_t, kCookieBytes>;
using CredentialId = std::array<uint8_t, 16>;
using SubscriberId = std::array<uint8_t, 16>;

// Whether a datagram is one of these messages rather than one of a session.
bool LooksLikeMessage(ByteView datagram);
// INVALID_ARGUMENT where magic, version, type or the type's size do not fit.
absl::StatusOr<MessageType> TypeOf(ByteView datagram);

struct Hello {
  Nonce nonce{};
};
Bytes Serialise(const Hello& hello);
absl::StatusOr<Hello> ParseHello(ByteView message);

struct CookieMessage {
  Nonce nonce{};
  Cookie cookie{};
};
Bytes Serialise(const CookieMessage& message);
absl::StatusOr<CookieMessage> ParseCookieMessage(ByteView message);

struct Subscribe {
  Nonce nonce{};
  Cookie cookie{};
  CredentialId credential{};
  SubscriberId subscriber{};
  uint64_t serial = 0;
  uint16_t lease_seconds = 0;  // 0 ends the subscription
  std::vector<uint64_t> tags;  // 1 to kMaxTags, ascending
};
// The last kMacBytes are the MAC under `key` over all before.
Bytes Serialise(const Subscribe& subscribe, const HmacSha256Key& key);
// Does not look at the MAC: see HasMac.
absl::StatusOr<Subscribe> ParseSubscribe(ByteView message);

enum class AnswerStatus : uint8_t {
  kAccepted = 0,
  kUnauthorised = 1,  // carries no MAC: there is no common key
  kSession = 2,
  kFull = 3,
  kAddressFull = 4,
  kCredentialFull = 5,
  kEnding = 6,
};
inline constexpr int kAnswerStatuses = 7;
// For people: "the relay is full".
std::string_view Explain(AnswerStatus status);
// For counters: "full".
std::string_view Name(AnswerStatus status);

struct Answer {
  Nonce nonce{};
  uint64_t serial = 0;
  AnswerStatus status = AnswerStatus::kAccepted;
  uint16_t lease_seconds = 0;
};
// Without a key the MAC is zero.
Bytes Serialise(const Answer& answer, const HmacSha256Key* key);
absl::StatusOr<Answer> ParseAnswer(ByteView message);

// Whether the message ends in the MAC under `key` over all before it. Constant time.
bool HasMac(ByteView message, const HmacSha256Key& key);

}  // namespace nark::relay

#endif  // NARK_RELAY_CLIENT_MESSAGE_H_
