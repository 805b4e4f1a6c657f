#include "relay/client/message.h"

#include <algorithm>

namespace nark::relay {
namespace {

constexpr uint8_t kMagic[] = {'N', 'R'};
constexpr uint8_t kVersion = 1;
constexpr size_t kHeadBytes = 4;
constexpr size_t kNonceAt = 4;
constexpr size_t kBodyAt = 20;
// Of subscribe.
constexpr size_t kCredentialAt = 44;
constexpr size_t kSubscriberAt = 60;
constexpr size_t kSerialAt = 76;
constexpr size_t kLeaseAt = 84;
constexpr size_t kTagCountAt = 86;
constexpr size_t kTagsAt = 88;
// Of answer.
constexpr size_t kStatusAt = 28;
constexpr size_t kAnswerLeaseAt = 30;

size_t SizeOf(MessageType type) {
  switch (type) {
    case MessageType::kHello:
      return kHelloBytes;
    case MessageType::kCookie:
      return kCookieMessageBytes;
    case MessageType::kSubscribe:
      return kSubscribeBytes;
    case MessageType::kAnswer:
      return kAnswerBytes;
  }
  return 0;
}

Bytes Begin(MessageType type, const Nonce& nonce) {
  Bytes message(SizeOf(type), 0);
  std::copy(std::begin(kMagic), std::end(kMagic), message.begin());
  message[2] = kVersion;
  message[3] = static_cast<uint8_t>(type);
  std::copy(nonce.begin(), nonce.end(), message.begin() + kNonceAt);
  return message;
}

template <size_t N>
void Put(const std::array<uint8_t, N>& value, size_t at, Bytes& message) {
  std::copy(value.begin(), value.end(), message.begin() + static_cast<ptrdiff_t>(at));
}

template <size_t N>
void Get(ByteView message, size_t at, std::array<uint8_t, N>& value) {
  std::copy_n(message.begin() + static_cast<ptrdiff_t>(at), N, value.begin());
}

bool IsZero(ByteView bytes) {
  return std::all_of(bytes.begin(), bytes.end(), [](uint8_t b) { return b == 0; });
}

absl::Status Malformed(const char* what) { return absl::InvalidArgumentError(what); }

absl::Status Expect(ByteView message, MessageType type) {
  absl::StatusOr<MessageType> is = TypeOf(message);
  if (!is.ok()) return is.status();
  return *is == type ? absl::OkStatus() : Malformed("another type of message");
}

void Seal(const HmacSha256Key& key, Bytes& message) {
  const Digest mac = key.Mac({ByteView(message).first(message.size() - kMacBytes)});
  Put(mac, message.size() - kMacBytes, message);
}

}  // namespace

bool LooksLikeMessage(ByteView datagram) {
  return datagram.size() >= 2 && datagram[0] == kMagic[0] && datagram[1] == kMagic[1];
}

absl::StatusOr<MessageType> TypeOf(ByteView datagram) {
  if (datagram.size() < kHeadBytes || !LooksLikeMessage(datagram)) return Malformed("no message");
  if (datagram[2] != kVersion) return Malformed("another version");
  const auto type = static_cast<MessageType>(datagram[3]);
  if (SizeOf(type) == 0) return Malformed("unknown type");
  if (datagram.size() != SizeOf(type)) return Malformed("another size than its type's");
  return type;
}

Bytes Serialise(const Hello& hello) { return Begin(MessageType::kHello, hello.nonce); }

absl::StatusOr<Hello> ParseHello(ByteView message) {
  if (absl::Status status = Expect(message, MessageType::kHello); !status.ok()) return status;
  if (!IsZero(message.subspan(kBodyAt))) return Malformed("padding that is not zero");
  Hello hello;
  Get(message, kNonceAt, hello.nonce);
  return hello;
}

Bytes Serialise(const CookieMessage& message) {
  Bytes bytes = Begin(MessageType::kCookie, message.nonce);
  Put(message.cookie, kBodyAt, bytes);
  return bytes;
}

absl::StatusOr<CookieMessage> ParseCookieMessage(ByteView message) {
  if (absl::Status status = Expect(message, MessageType::kCookie); !status.ok()) return status;
  CookieMessage parsed;
  Get(message, kNonceAt, parsed.nonce);
  Get(message, kBodyAt, parsed.cookie);
  return parsed;
}

Bytes Serialise(const Subscribe& subscribe, const HmacSha256Key& key) {
  Bytes bytes = Begin(MessageType::kSubscribe, subscribe.nonce);
  Put(subscribe.cookie, kBodyAt, bytes);
  Put(subscribe.credential, kCredentialAt, bytes);
  Put(subscribe.subscriber, kSubscriberAt, bytes);
  StoreBig64(&bytes[kSerialAt], subscribe.serial);
  StoreBig16(&bytes[kLeaseAt], subscribe.lease_seconds);
  const size_t tags = std::min(subscribe.tags.size(), kMaxTags);
  bytes[kTagCountAt] = static_cast<uint8_t>(tags);
  for (size_t i = 0; i < tags; ++i) StoreBig64(&bytes[kTagsAt + 8 * i], subscribe.tags[i]);
  Seal(key, bytes);
  return bytes;
}

absl::StatusOr<Subscribe> ParseSubscribe(ByteView message) {
  if (absl::Status status = Expect(message, MessageType::kSubscribe); !status.ok()) return status;
  const size_t tags = message[kTagCountAt];
  if (tags < 1 || tags > kMaxTags) return Malformed("a number of tags out of bounds");
  const ByteView field = message.subspan(kTagsAt, 8 * kMaxTags);
  if (message[kTagCountAt + 1] != 0 || !IsZero(field.subspan(8 * tags))) {
    return Malformed("padding that is not zero");
  }
  Subscribe parsed;
  Get(message, kNonceAt, parsed.nonce);
  Get(message, kBodyAt, parsed.cookie);
  Get(message, kCredentialAt, parsed.credential);
  Get(message, kSubscriberAt, parsed.subscriber);
  parsed.serial = LoadBig64(&message[kSerialAt]);
  parsed.lease_seconds = LoadBig16(&message[kLeaseAt]);
  for (size_t i = 0; i < tags; ++i) {
    const uint64_t tag = LoadBig64(&field[8 * i]);
    if (i > 0 && tag <= parsed.tags.back()) return Malformed("tags that do not ascend");
    parsed.tags.push_back(tag);
  }
  return parsed;
}

std::string_view Explain(AnswerStatus status) {
  switch (status) {
    case AnswerStatus::kAccepted:
      return "accepted";
    case AnswerStatus::kUnauthorised:
      return "the relay does not know the token; ask its operator for one";
    case AnswerStatus::kSession:
      return "the relay does not carry this session";
    case AnswerStatus::kFull:
      return "the relay is full";
    case AnswerStatus::kAddressFull:
      return "the relay has too many subscribers at this address";
    case AnswerStatus::kCredentialFull:
      return "the relay has too many subscribers with this token";
    case AnswerStatus::kEnding:
      return "the relay is about to end";
  }
  return "unknown";
}

std::string_view Name(AnswerStatus status) {
  static constexpr std::array<std::string_view, kAnswerStatuses> kNames = {
      "accepted", "unauthorised", "session", "full", "address_full", "credential_full", "ending"};
  return kNames[static_cast<size_t>(status)];
}

Bytes Serialise(const Answer& answer, const HmacSha256Key* key) {
  Bytes bytes = Begin(MessageType::kAnswer, answer.nonce);
  StoreBig64(&bytes[kBodyAt], answer.serial);
  bytes[kStatusAt] = static_cast<uint8_t>(answer.status);
  StoreBig16(&bytes[kAnswerLeaseAt], answer.lease_seconds);
  if (key != nullptr) Seal(*key, bytes);
  return bytes;
}

absl::StatusOr<Answer> ParseAnswer(ByteView message) {
  if (absl::Status status = Expect(message, MessageType::kAnswer); !status.ok()) return status;
  if (message[kStatusAt] >= kAnswerStatuses) return Malformed("an unknown status");
  if (message[kStatusAt + 1] != 0) return Malformed("padding that is not zero");
  Answer answer;
  Get(message, kNonceAt, answer.nonce);
  answer.serial = LoadBig64(&message[kBodyAt]);
  answer.status = static_cast<AnswerStatus>(message[kStatusAt]);
  answer.lease_seconds = LoadBig16(&message[kAnswerLeaseAt]);
  return answer;
}

bool HasMac(ByteView message, const HmacSha256Key& key) {
  if (message.size() < kMacBytes) return false;
  const Digest mac = key.Mac({message.first(message.size() - kMacBytes)});
  return ConstantTimeEqual(mac, message.last(kMacBytes));
}

}  // namespace nark::relay
