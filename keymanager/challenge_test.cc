#include "keymanager/challenge.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "common/base/status.h"
#include "common/crypto/random.h"

namespace nark::keymanager {
namespace {

constexpr Timestamp kExpires{std::chrono::seconds{1767225660}};

constexpr std::chrono::seconds kLife{60};
constexpr Timestamp kNow = kExpires - kLife;

ChallengeKey KeyOf(uint8_t fill, Timestamp makes_from = kNow, size_t size = 32) {
  return {.key = SecretBytes::CopyOf(Bytes(size, fill)), .made = kNow, .makes_from = makes_from};
}

ChallengeKeys Must(absl::StatusOr<ChallengeKeys> keys) {
  EXPECT_TRUE(keys.ok()) << keys.status();
  return *std::move(keys);
}

ChallengeKeys KeysOf(uint8_t fill) {
  std::vector<ChallengeKey> keys;
  keys.push_back(KeyOf(fill));
  return Must(ChallengeKeys::Create(keys));
}

class ChallengeTest : public testing::Test {
 protected:
  ChallengeTest() {
    session_.provider.fill(1);
    session_.session_id.fill(2);
    space_.fill(3);
  }
  v1::Challenge Make(const ChallengeKeys& keys, Timestamp now = kNow) {
    auto challenge = keys.Make(session_, space_, now, kLife, random_);
    EXPECT_TRUE(challenge.ok()) << challenge.status();
    return *challenge;
  }
  SeededRandom random_{42};
  SessionName session_;
  Digest space_{};
};

TEST_F(ChallengeTest, SaysWhatItWasMadeFor) {
  const ChallengeKeys keys = KeysOf(1);
  const v1::Challenge challenge = Make(keys);
  EXPECT_EQ(challenge.mac_key_id().size(), 8u);
  EXPECT_EQ(challenge.mac().size(), 32u);
  const auto verified = keys.Verify(challenge);
  ASSERT_TRUE(verified.ok()) << verified.status();
  EXPECT_EQ(verified->session, session_);
  EXPECT_EQ(verified->secure_space_id, space_);
  EXPECT_EQ(verified->expires, kExpires);
}

TEST_F(ChallengeTest, IsNeverTheSameTwice) {
  const ChallengeKeys keys = KeysOf(1);
  const auto one = keys.Verify(Make(keys));
  const auto other = keys.Verify(Make(keys));
  ASSERT_TRUE(one.ok() && other.ok());
  EXPECT_NE(one->identity, other->identity);
}

TEST_F(ChallengeTest, IsKnownToEveryReplicaAndToNobodyElse) {
  const v1::Challenge challenge = Make(KeysOf(1));
  EXPECT_TRUE(KeysOf(1).Verify(challenge).ok());
  EXPECT_EQ(KeysOf(2).Verify(challenge).status().code(), absl::StatusCode::kUnauthenticated);
}

// A pool's replicas learn of a new key one after the other: it verifies at once, and makes
// challenges once its time has come.
TEST_F(ChallengeTest, SurvivesRotation) {
  const Timestamp later = kNow + std::chrono::minutes(10);
  const ChallengeKeys before = KeysOf(1), fresh = KeysOf(2);
  std::vector<ChallengeKey> both;
  both.push_back(KeyOf(1));
  both.push_back(KeyOf(2, later));
  const ChallengeKeys rotated = Must(ChallengeKeys::Create(both));
  EXPECT_TRUE(rotated.Verify(Make(before)).ok());
  EXPECT_TRUE(rotated.Verify(Make(fresh)).ok());
  const auto made_by = [&](Timestamp now) { return Make(rotated, now).mac_key_id(); };
  EXPECT_EQ(made_by(later - std::chrono::microseconds(1)), Make(before).mac_key_id());
  EXPECT_EQ(made_by(later), Make(fresh).mac_key_id());
  EXPECT_TRUE(before.Verify(Make(rotated)).ok());
  // A clock that is far behind makes challenges all the same.
  EXPECT_EQ(made_by(kNow - std::chrono::hours(1)), Make(before).mac_key_id());
}

TEST_F(ChallengeTest, RefusesEveryFlippedBitAndEveryTruncation) {
  const ChallengeKeys keys = KeysOf(1);
  const v1::Challenge good = Make(keys);
  std::string* (v1::Challenge::*const kFields[])() = {&v1::Challenge::mutable_body,
                                                      &v1::Challenge::mutable_mac_key_id,
                                                      &v1::Challenge::mutable_mac};
  for (const auto field : kFields) {
    v1::Challenge probe = good;
    const size_t size = (probe.*field)()->size();
    for (size_t bit = 0; bit < size * 8; ++bit) {
      probe = good;
      (*(probe.*field)())[bit / 8] ^= static_cast<char>(1 << (bit % 8));
      EXPECT_EQ(keys.Verify(probe).status().code(), absl::StatusCode::kUnauthenticated)
          << "bit " << bit;
    }
    for (size_t keep = 0; keep < size; ++keep) {
      probe = good;
      (probe.*field)()->resize(keep);
      EXPECT_EQ(keys.Verify(probe).status().code(), absl::StatusCode::kUnauthenticated)
          << "first " << keep;
    }
    probe = good;
    (probe.*field)()->push_back('\0');
    EXPECT_EQ(keys.Verify(probe).status().code(), absl::StatusCode::kUnauthenticated);
  }
}

TEST_F(ChallengeTest, HashesNothingLargeForAStranger) {
  const ChallengeKeys keys = KeysOf(1);
  v1::Challenge challenge = Make(keys);
  challenge.set_body(std::string(1 << 20, 'x'));
  EXPECT_EQ(keys.Verify(challenge).status().code(), absl::StatusCode::kUnauthenticated);
}

TEST_F(ChallengeTest, KeysMustBeOfOneSizeAndDistinct) {
  EXPECT_EQ(ChallengeKeys::Create({}).status().code(), absl::StatusCode::kInvalidArgument);
  for (const size_t size : {0, 31, 33}) {
    std::vector<ChallengeKey> keys;
    keys.push_back(KeyOf(1, kNow, size));
    EXPECT_EQ(ChallengeKeys::Create(keys).status().code(), absl::StatusCode::kInvalidArgument);
  }
  std::vector<ChallengeKey> twice;
  twice.push_back(KeyOf(1));
  twice.push_back(KeyOf(1));
  EXPECT_EQ(ChallengeKeys::Create(twice).status().code(), absl::StatusCode::kInvalidArgument);
}

}  // namespace
}  // namespace nark::keymanager
