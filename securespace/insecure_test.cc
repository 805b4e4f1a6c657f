#include <gtest/gtest.h>

#include "common/base/status.h"
#include "common/object/envelope.h"
#include "securespace/testing.h"

// Sessions whose cipher or generator is insecure.
namespace nark::securespace {
namespace {

void ExpectInsecure(const absl::Status& status) {
  EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition) << status;
  EXPECT_EQ(ReasonOf(status), "INSECURE_SESSION") << status;
}

struct Parts {
  const char* name;
  const char* cipher;
  const char* generator;
};

class InsecureTest : public testing::TestWithParam<Parts> {
 protected:
  static SessionOptions Options() {
    SessionOptions options;
    options.cipher = GetParam().cipher;
    options.generator = GetParam().generator;
    options.depth = 20;
    return options;
  }
  void Open(InsecureSessions insecure) {
    world_.SetInsecure(insecure);
    ASSERT_TRUE(world_.Reopen().ok());
  }
  v1::GrantState State() { return world_.space().GetIdentity()->grants(0).state(); }

  TestWorld world_{Options()};
};

TEST_P(InsecureTest, AreRefusedBeforeAnythingIsStored) {
  const auto before = world_.storage.files();
  ExpectInsecure(world_.Join(world_.Voucher(0, 9)).status());
  EXPECT_EQ(world_.storage.files(), before);
  EXPECT_EQ(world_.space().GetIdentity()->grants_size(), 0);
}

TEST_P(InsecureTest, ArePlayedWhereItIsAllowed) {
  Open(InsecureSessions::kAllow);
  ASSERT_TRUE(world_.Join(world_.Voucher(0, 9)).ok());
  EXPECT_EQ(State(), v1::GRANT_STATE_ACTIVE);
  EXPECT_EQ(world_.Reason(3), v1::REFUSAL_REASON_UNSPECIFIED);
  EXPECT_EQ(world_.Reason(10), v1::REFUSAL_REASON_RANGE);
}

// Allowing it once does not last; what was delivered is accounted for all the same.
TEST_P(InsecureTest, AreNotPlayedOnceItIsOpenedWithoutAllowingIt) {
  Open(InsecureSessions::kAllow);
  ASSERT_TRUE(world_.Join(world_.Voucher(0, 9)).ok());
  ASSERT_EQ(world_.Reason(0), v1::REFUSAL_REASON_UNSPECIFIED);
  Open(InsecureSessions::kRefuse);
  EXPECT_EQ(State(), v1::GRANT_STATE_INSECURE);
  const auto before = world_.storage.files();
  ExpectInsecure(world_.Release(MakeAdu(world_.session, 1)).status());
  const TestAdu adu = MakeAdu(world_.session, 1);
  ExpectInsecure(
      world_.space().OpenAdus({world_.session.name(), 0, {{adu.header, adu.ciphertext}}}).status());
  ExpectInsecure(world_.Join(world_.Voucher(0, 9)).status());
  EXPECT_EQ(world_.storage.files(), before);
  const auto note = world_.Note(v1::NOTE_STATUS_FINAL);
  EXPECT_TRUE(note.ok()) << note.status();
  EXPECT_EQ(State(), v1::GRANT_STATE_CLOSED);
}

INSTANTIATE_TEST_SUITE_P(Parts, InsecureTest,
                         testing::Values(Parts{"Cipher", "des-cbc", "hkdf"},
                                         Parts{"Generator", "aes-128-gcm", "logistic-map"},
                                         Parts{"Both", "des-cbc", "logistic-map"}),
                         [](const auto& test) { return std::string(test.param.name); });

SessionOptions HashChain() {
  SessionOptions options;
  options.generator = "hash-chain";
  options.depth = 20;
  return options;
}

// The whole chain gives more than was bought; the secure space keeps to the range.
TEST(HashChainSessionTest, ReleasesTheRangeBoughtAndNoMore) {
  TestWorld world(HashChain());
  ASSERT_TRUE(world.Join(world.Voucher(1000, 1009)).ok());
  EXPECT_EQ(world.Reason(999), v1::REFUSAL_REASON_RANGE);
  EXPECT_EQ(world.Reason(1000), v1::REFUSAL_REASON_UNSPECIFIED);
  EXPECT_EQ(world.Reason(1009), v1::REFUSAL_REASON_UNSPECIFIED);
  EXPECT_EQ(world.Reason(1010), v1::REFUSAL_REASON_RANGE);
}

TEST(HashChainSessionTest, RefusesSeedsOfALaterFirstAdu) {
  TestWorld world(HashChain());
  GrantOptions options;
  options.spoil_grant = [](v1::Grant& grant) {
    grant.mutable_seeds(0)->mutable_nodes(0)->set_prefix(1001);
  };
  const absl::Status status = world.Join(world.Voucher(1000, 1009), options).status();
  EXPECT_EQ(ReasonOf(status), "GRANT_REFUSED") << status;
}

}  // namespace
}  // namespace nark::securespace
