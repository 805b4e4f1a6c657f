#ifndef NARK_KEYMANAGER_CHALLENGE_H_
#define NARK_KEYMANAGER_CHALLENGE_H_

#include <array>
#include <chrono>
#include <memory>
#include <optional>
#include <vector>

#include "absl/status/statusor.h"
#include "common/base/bytes.h"
#include "common/base/clock.h"
#include "common/crypto/external_key.h"
#include "common/crypto/hash.h"
#include "common/crypto/random.h"
#include "common/object/pool_folder.h"
#include "common/object/session.h"
#include "nark/v1/attestation.pb.h"

namespace nark::keymanager {

// A challenge that carries this pool's MAC.
struct VerifiedChallenge {
  SessionName session;
  Digest secure_space_id{};
  Timestamp expires;
  Digest identity{};
};

// Makes challenges and recognises them, with nothing but keys that all replicas
// of a pool share: any replica verifies any other's, and none remembers it
// (docs/architecture.md, invariant I3). While keys rotate there are several: the newest
// whose time has come makes challenges, all verify. Immutable; thread-safe.
class ChallengeKeys {
 public:
  // `keys`: one or more, as a pool's folder holds them. INVALID_ARGUMENT for none, for one
  // that is not 32 bytes, or one key twice.
  static absl::StatusOr<ChallengeKeys> Create(const std::vector<ChallengeKey>& keys);

  // Where no key's time has come, the first makes it all the same. UNAVAILABLE where that
  // key lies elsewhere, out of reach.
  absl::StatusOr<v1::Challenge> Make(const SessionName& session, const Digest& secure_space_id,
                                     Timestamp now, std::chrono::microseconds life,
                                     Random& random) const;

  // UNAUTHENTICATED where the MAC is not of one of the keys, INVALID_ARGUMENT
  // where the body is not as Make writes it; UNAVAILABLE as for Make. Whether it has expired is for
  // the caller to say.
  absl::StatusOr<VerifiedChallenge> Verify(const v1::Challenge& challenge) const;

  // Whether a key lies elsewhere, so that Make and Verify may wait for it.
  bool external() const;

  // UNAVAILABLE where the key that makes challenges lies elsewhere, out of reach.
  absl::Status CheckReachable(Timestamp now) const;

 private:
  struct Key {
    std::array<uint8_t, 8> id;
    std::optional<HmacSha256Key> mac;  // or
    std::shared_ptr<const ExternalMacKey> external;
    Timestamp makes_from;
  };
  static absl::StatusOr<Digest> MacOf(const Key& key, ByteView body);
  const Key& Maker(Timestamp now) const;
  explicit ChallengeKeys(std::vector<Key> keys) : keys_(std::move(keys)) {}
  std::vector<Key> keys_;
};

}  // namespace nark::keymanager

#endif  // NARK_KEYMANAGER_CHALLENGE_H_
