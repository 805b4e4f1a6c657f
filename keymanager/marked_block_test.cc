// Marked blocks as a key manager makes them.

#include <gtest/gtest.h>

#include <memory>
#include <string>

#include "common/audit/family.h"
#include "common/audit/sealed_block.h"
#include "common/base/status.h"
#include "keymanager/grant_authority.h"
#include "keymanager/testing.h"

namespace nark::keymanager {
namespace {

class MarkedBlockTest : public testing::Test {
 protected:
  v1::Challenge ChallengeOf(GrantAuthority& authority, const TestSecureSpace& space) {
    auto response = authority.GetChallenge(ChallengeRequest(session_.session(), space));
    EXPECT_TRUE(response.ok()) << response.status();
    return response->challenge();
  }
  v1::GetMarkedBlockRequest RequestOf(const Exchange& exchange) {
    v1::GetMarkedBlockRequest request;
    *request.mutable_join() = exchange.request;
    return request;
  }
  Exchange Join(GrantAuthority& authority, const TestSecureSpace& space) {
    const v1::SignedEnvelope voucher = provider_.MakeVoucher(session_, space.id, 0, 9);
    return Attest({session_.descriptor(), voucher, space}, ChallengeOf(authority, space), random_);
  }
  absl::StatusOr<Bytes> BlockOf(const TestSecureSpace& space) {
    return authority_->GetMarkedBlock(RequestOf(Join(*authority_, space)));
  }

  TestProvider provider_;
  ManualClock clock_{kTestTime};
  SeededRandom random_{7};
  RecordedRefusals refusals_;
  const World world_{.clock = clock_, .random = random_, .refusals = refusals_};
  TestSession session_ = provider_.MakeSession(WithAuditTrail());
  const TestSecureSpace space_ = provider_.MakeSecureSpace();
  std::unique_ptr<GrantAuthority> authority_ = MakeAuthority(provider_, world_);
};

TEST_F(MarkedBlockTest, TheGrantsKeyOpensTheBlockOfItsSecureSpace) {
  const Exchange exchange = Join(*authority_, space_);
  const auto answer = authority_->IssueGrant(exchange.request);
  ASSERT_TRUE(answer.ok()) << answer.status() << refusals_.last_detail();
  const auto grant = OpenGrant(exchange, *answer, provider_.root.certificate, clock_.Now());
  ASSERT_TRUE(grant.ok()) << grant.status();
  const auto sealed = authority_->GetMarkedBlock(RequestOf(exchange));
  ASSERT_TRUE(sealed.ok()) << sealed.status() << refusals_.last_detail();
  const audit::Family family = session_.family();
  EXPECT_EQ(sealed->size(), audit::SealedBlockBytes(family.words_log2()));
  const auto block = audit::OpenBlock(SecretBytes::CopyOf(AsBytes(grant->block_key())), family.id(),
                                      space_.id, *sealed);
  ASSERT_TRUE(block.ok()) << block.status();
  EXPECT_TRUE(block->bytes() == family.MarkedBlockOf(space_.id)->bytes());
}

// Derived, not kept: any replica at any time, in any session that names the family.
TEST_F(MarkedBlockTest, IsTheSameWhoeverMakesIt) {
  const auto first = BlockOf(space_);
  ASSERT_TRUE(first.ok()) << first.status();
  clock_.Advance(std::chrono::hours(1));
  const auto replica = MakeAuthority(provider_, world_);
  const auto second = replica->GetMarkedBlock(RequestOf(Join(*replica, space_)));
  ASSERT_TRUE(second.ok()) << second.status();
  EXPECT_EQ(*first, *second);
  session_ = provider_.MakeSession(WithAuditTrail());
  const auto third = BlockOf(space_);
  ASSERT_TRUE(third.ok()) << third.status();
  EXPECT_EQ(*first, *third) << "another session";
}

TEST_F(MarkedBlockTest, IsAnotherForAnotherSecureSpace) {
  const auto mine = BlockOf(space_), other = BlockOf(provider_.MakeSecureSpace());
  ASSERT_TRUE(mine.ok() && other.ok());
  EXPECT_NE(*mine, *other);
}

TEST_F(MarkedBlockTest, IsGivenToWhomAGrantWouldBe) {
  v1::GetMarkedBlockRequest forged = RequestOf(Join(*authority_, space_));
  std::string& signature = *forged.mutable_join()->mutable_evidence()->mutable_signature();
  signature[0] = static_cast<char>(signature[0] ^ 1);
  const absl::Status refused = authority_->GetMarkedBlock(forged).status();
  EXPECT_EQ(refused.code(), absl::StatusCode::kUnauthenticated);
  EXPECT_EQ(ReasonOf(refused), "NOT_ATTESTED");

  v1::GetMarkedBlockRequest late = RequestOf(Join(*authority_, space_));
  clock_.Advance(std::chrono::minutes(10));
  EXPECT_EQ(ReasonOf(authority_->GetMarkedBlock(late).status()), "NOT_ATTESTED");
}

TEST_F(MarkedBlockTest, IsNoneWhereTheSessionHasNoAuditTrail) {
  session_ = provider_.MakeSession();
  const absl::Status refused = BlockOf(space_).status();
  EXPECT_EQ(refused.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_EQ(ReasonOf(refused), "NO_AUDIT_TRAIL");
  const Exchange exchange = Join(*authority_, space_);
  const auto answer = authority_->IssueGrant(exchange.request);
  ASSERT_TRUE(answer.ok()) << answer.status();
  EXPECT_TRUE(
      OpenGrant(exchange, *answer, provider_.root.certificate, clock_.Now())->block_key().empty());
}

TEST_F(MarkedBlockTest, CountsAgainstTheSecureSpacesRate) {
  Limits limits;
  limits.joins_per_secure_space = {.burst = 2, .per_second = 1};
  authority_ = MakeAuthority(provider_, world_, limits);
  EXPECT_TRUE(BlockOf(space_).ok());
  EXPECT_TRUE(BlockOf(space_).ok());
  EXPECT_EQ(ReasonOf(BlockOf(space_).status()), "RATE_LIMITED");
}

// A descriptor that seals another secret than its terms name yields nothing.
TEST_F(MarkedBlockTest, RefusesAnAuditSecretThatIsNotTheTerms) {
  SessionOptions options = WithAuditTrail();
  const TestSession honest = provider_.MakeSession(options);
  SessionSecrets secrets = honest.secrets().Clone();
  secrets.audit.RevealMutable()[0] ^= 1;
  const auto descriptor =
      ResealSession(honest.session(), secrets, provider_.descriptor_role,
                    {{provider_.pool_keys[0].public_key()}, {}}, kTestTime, provider_.random());
  ASSERT_TRUE(descriptor.ok()) << descriptor.status();
  session_.made.descriptor = *descriptor;
  session_.made.session = *VerifiedSession::Verify(*descriptor, kTestTime);
  EXPECT_EQ(ReasonOf(BlockOf(space_).status()), "SESSION_NOT_SEALED");
  const Exchange exchange = Join(*authority_, space_);
  EXPECT_EQ(ReasonOf(authority_->IssueGrant(exchange.request).status()), "SESSION_NOT_SEALED");
}

}  // namespace
}  // namespace nark::keymanager
