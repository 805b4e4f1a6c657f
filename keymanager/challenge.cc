#include "keymanager/challenge.h"

#include <algorithm>
#include <string>
#include <utility>

#include "common/base/status.h"
#include "common/object/envelope.h"

namespace nark::keymanager {
namespace {

constexpr size_t kKeyBytes = 32;
constexpr size_t kNonceBytes = 16;
// What Make writes is some 130 bytes; no more than this is hashed for a stranger.
constexpr size_t kMaxBodyBytes = 256;

std::array<uint8_t, 8> KeyId(const ChallengeKey& key) {
  const Digest digest = key.Id();
  std::array<uint8_t, 8> id;
  std::copy_n(digest.begin(), id.size(), id.begin());
  return id;
}

}  // namespace

absl::StatusOr<Digest> ChallengeKeys::MacOf(const Key& key, ByteView body) {
  const std::string prefix = PreAuthenticationPrefix(payload_type::kChallenge, body.size());
  if (key.external != nullptr) return key.external->Mac({AsBytes(prefix), body});
  return key.mac->Mac({AsBytes(prefix), body});
}

absl::StatusOr<ChallengeKeys> ChallengeKeys::Create(const std::vector<ChallengeKey>& keys) {
  if (keys.empty()) return absl::InvalidArgumentError("a pool needs a challenge MAC key");
  std::vector<Key> made;
  for (const ChallengeKey& key : keys) {
    if (key.external == nullptr && key.key.size() != kKeyBytes) {
      return absl::InvalidArgumentError("a challenge MAC key is not 32 bytes");
    }
    Key one{.id = KeyId(key),
            .mac = std::nullopt,
            .external = key.external,
            .makes_from = key.makes_from};
    if (key.external == nullptr) one.mac.emplace(key.key.Reveal());
    for (const Key& other : made) {
      if (other.id == one.id) return absl::InvalidArgumentError("a challenge MAC key comes twice");
    }
    made.push_back(std::move(one));
  }
  return ChallengeKeys(std::move(made));
}

const ChallengeKeys::Key& ChallengeKeys::Maker(Timestamp now) const {
  const Key* maker = nullptr;
  for (const Key& key : keys_) {
    if (key.makes_from > now) continue;
    if (maker == nullptr || key.makes_from >= maker->makes_from) maker = &key;
  }
  return maker == nullptr ? keys_.front() : *maker;
}

bool ChallengeKeys::external() const {
  return std::ranges::any_of(keys_, [](const Key& key) { return key.external != nullptr; });
}

absl::Status ChallengeKeys::CheckReachable(Timestamp now) const {
  const Key& maker = Maker(now);
  if (maker.external == nullptr) return absl::OkStatus();
  // Not a challenge's: nothing begins without PreAuthenticationPrefix.
  return maker.external->Mac({AsBytes("ready")}).status();
}

absl::StatusOr<v1::Challenge> ChallengeKeys::Make(const SessionName& session,
                                                  const Digest& secure_space_id, Timestamp now,
                                                  std::chrono::microseconds life,
                                                  Random& random) const {
  std::array<uint8_t, kNonceBytes> nonce;
  RETURN_IF_ERROR(random.Fill(nonce));
  v1::ChallengeBody body;
  body.set_expires_us(ToMicros(now + life));
  body.set_nonce(ToText(nonce));
  *body.mutable_session() = session.ToProto();
  body.set_secure_space_id(ToText(secure_space_id));
  v1::Challenge challenge;
  challenge.set_body(Serialise(body));
  const Key& maker = Maker(now);
  challenge.set_mac_key_id(ToText(maker.id));
  ASSIGN_OR_RETURN(const Digest mac, MacOf(maker, AsBytes(challenge.body())));
  challenge.set_mac(ToText(mac));
  return challenge;
}

absl::StatusOr<VerifiedChallenge> ChallengeKeys::Verify(const v1::Challenge& challenge) const {
  const ByteView body = AsBytes(challenge.body());
  if (body.size() > kMaxBodyBytes) {
    return absl::UnauthenticatedError("the challenge is larger than any of this pool");
  }
  const auto key = std::find_if(keys_.begin(), keys_.end(), [&](const Key& one) {
    return Equal(one.id, AsBytes(challenge.mac_key_id()));
  });
  if (key == keys_.end()) {
    return absl::UnauthenticatedError("the challenge names a MAC key that this pool does not have");
  }
  ASSIGN_OR_RETURN(const Digest mac, MacOf(*key, body));
  if (!ConstantTimeEqual(mac, AsBytes(challenge.mac()))) {
    return absl::UnauthenticatedError("the challenge's MAC does not match");
  }
  v1::ChallengeBody parsed;
  RETURN_IF_ERROR(ParseStrictly(body, "the challenge", parsed));
  VerifiedChallenge verified;
  ASSIGN_OR_RETURN(verified.session, SessionName::FromProto(parsed.session()));
  if (parsed.secure_space_id().size() != verified.secure_space_id.size()) {
    return absl::InvalidArgumentError("the challenge's secure-space id is not 32 bytes");
  }
  std::copy_n(AsBytes(parsed.secure_space_id()).begin(), verified.secure_space_id.size(),
              verified.secure_space_id.begin());
  verified.expires = FromMicros(parsed.expires_us());
  verified.identity = ObjectIdentity(payload_type::kChallenge, body);
  return verified;
}

}  // namespace nark::keymanager
