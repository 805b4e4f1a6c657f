// What strangers send to a relay or a subscriber, and what a token file may hold: must
// neither crash nor have two spellings of one thing.

#include <cstdint>
#include <cstdlib>

#include "relay/client/message.h"
#include "relay/client/token.h"

namespace {

void Require(bool holds) {
  if (!holds) std::abort();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace nark;
  using namespace nark::relay;
  const ByteView input(data, size);
  static const HmacSha256Key key(AsBytes("any"));
  const bool has_type = TypeOf(input).ok();
  Require(!has_type || LooksLikeMessage(input));
  if (const auto hello = ParseHello(input); hello.ok()) {
    Require(has_type && Equal(Serialise(*hello), input));
  }
  if (const auto cookie = ParseCookieMessage(input); cookie.ok()) {
    Require(has_type && Equal(Serialise(*cookie), input));
  }
  if (const auto subscribe = ParseSubscribe(input); subscribe.ok()) {
    const Bytes again = Serialise(*subscribe, key);
    Require(Equal(ByteView(again).first(again.size() - kMacBytes), input.first(size - kMacBytes)));
    Require(HasMac(again, key));
  }
  if (const auto answer = ParseAnswer(input); answer.ok()) {
    const Bytes again = Serialise(*answer, nullptr);
    Require(Equal(ByteView(again).first(again.size() - kMacBytes), input.first(size - kMacBytes)));
  }
  (void)Token::Parse(input);
  return 0;
}
