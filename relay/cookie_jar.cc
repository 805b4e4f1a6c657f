#include "relay/cookie_jar.h"

#include <algorithm>

#include "common/base/status.h"
#include "common/crypto/secret_bytes.h"

namespace nark::relay {
namespace {

constexpr std::string_view kLabel = "nark relay cookie v1";

}  // namespace

absl::StatusOr<CookieJar> CookieJar::Create(Random& random) {
  SecretBytes key(32);
  RETURN_IF_ERROR(random.Fill(key.RevealMutable()));
  return CookieJar(key.Reveal());
}

Cookie CookieJar::Make(const Endpoint& endpoint, Timestamp now) const {
  Cookie cookie{};
  StoreBig64(cookie.data(), ToMicros(now));
  uint8_t place[6];
  StoreBig16(place, endpoint.port);
  StoreBig32(place + 2, endpoint.scope);
  const Digest mac =
      key_.Mac({AsBytes(kLabel), ByteView(cookie).first(8), endpoint.address, place});
  std::copy_n(mac.begin(), cookie.size() - 8, cookie.begin() + 8);
  return cookie;
}

std::optional<Timestamp> CookieJar::Check(const Cookie& cookie, const Endpoint& endpoint,
                                          Timestamp now) const {
  const uint64_t made_us = LoadBig64(cookie.data());
  const uint64_t now_us = ToMicros(now);
  const uint64_t life_us = std::chrono::microseconds(kLife).count();
  if (made_us > now_us || now_us - made_us > life_us) return std::nullopt;
  const Timestamp made = FromMicros(made_us);
  if (!ConstantTimeEqual(Make(endpoint, made), cookie)) return std::nullopt;
  return made;
}

}  // namespace nark::relay
