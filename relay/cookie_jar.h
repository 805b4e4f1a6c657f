#ifndef NARK_RELAY_COOKIE_JAR_H_
#define NARK_RELAY_COOKIE_JAR_H_

#include <chrono>
#include <memory>
#include <optional>

#include "absl/status/statusor.h"
#include "common/base/clock.h"
#include "common/crypto/hash.h"
#include "common/crypto/random.h"
#include "relay/client/message.h"
#include "relay/endpoint.h"

namespace nark::relay {

// Proves, without remembering anybody, that who sends from an address receives there:
//
//   cookie = u64 time || first 16 bytes of HMAC-SHA-256(key, "nark relay cookie v1" ||
//            time || address[16] || u16 port || u32 scope)
//
// The key is random and lives as long as the jar. Thread-safe.
class CookieJar {
 public:
  static constexpr std::chrono::seconds kLife{30};

  static absl::StatusOr<CookieJar> Create(Random& random);
  Cookie Make(const Endpoint& endpoint, Timestamp now) const;
  // When it was made; empty where it was not made for this endpoint, or too long ago.
  std::optional<Timestamp> Check(const Cookie& cookie, const Endpoint& endpoint,
                                 Timestamp now) const;

 private:
  explicit CookieJar(ByteView key) : key_(key) {}
  HmacSha256Key key_;
};

}  // namespace nark::relay

#endif  // NARK_RELAY_COOKIE_JAR_H_
