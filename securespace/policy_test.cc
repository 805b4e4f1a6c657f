#include "securespace/policy.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "common/crypto/random.h"

namespace nark::securespace {
namespace {

Grant RangeGrant(uint64_t first, uint64_t last) {
  Grant grant;
  grant.policy.mutable_range()->set_first(first);
  grant.policy.mutable_range()->set_last(last);
  for (uint32_t sub_session : {0, 1, 7}) {
    for (uint32_t sender : {1, 2}) grant.seeds.push_back({{sub_session, sender}, {}});
  }
  return grant;
}

AduFacts Adu(uint64_t id, uint64_t signed_time_us = 1000, uint32_t sender = 1) {
  return AduFacts{{0, sender}, id, signed_time_us};
}

v1::RefusalReason Reason(std::vector<Grant>& grants, const AduFacts& adu,
                         uint64_t last_accepted_us = 0) {
  return Judge(grants, adu, last_accepted_us).refusal;
}

std::vector<Grant> One(Grant grant) {
  std::vector<Grant> grants;
  grants.push_back(std::move(grant));
  return grants;
}

TEST(PolicyTest, PermitsBothEndsOfTheRangeAndNothingBeyond) {
  std::vector<Grant> grants = One(RangeGrant(10, 20));
  EXPECT_EQ(Reason(grants, Adu(10)), v1::REFUSAL_REASON_UNSPECIFIED);
  EXPECT_EQ(Reason(grants, Adu(20)), v1::REFUSAL_REASON_UNSPECIFIED);
  EXPECT_EQ(Reason(grants, Adu(9)), v1::REFUSAL_REASON_RANGE);
  EXPECT_EQ(Reason(grants, Adu(21)), v1::REFUSAL_REASON_RANGE);
}

TEST(PolicyTest, NoGrantPermitsNothing) {
  std::vector<Grant> grants;
  EXPECT_EQ(Reason(grants, Adu(0)), v1::REFUSAL_REASON_RANGE);
}

TEST(PolicyTest, AnEmptyListOfSubSessionsMeansTheMainStream) {
  std::vector<Grant> grants = One(RangeGrant(0, 9));
  AduFacts adu = Adu(1);
  adu.stream.sub_session = 7;
  EXPECT_EQ(Reason(grants, adu), v1::REFUSAL_REASON_RANGE);
  grants[0].policy.add_sub_sessions(7);
  EXPECT_EQ(Reason(grants, adu), v1::REFUSAL_REASON_UNSPECIFIED);
  EXPECT_EQ(Reason(grants, Adu(1)), v1::REFUSAL_REASON_RANGE);
}

TEST(PolicyTest, ExpiryIsJudgedByTheSignedTime) {
  std::vector<Grant> grants = One(RangeGrant(0, 9));
  grants[0].policy.set_expires_us(500);
  EXPECT_EQ(Reason(grants, Adu(1, 500)), v1::REFUSAL_REASON_UNSPECIFIED);
  EXPECT_EQ(Reason(grants, Adu(1, 501)), v1::REFUSAL_REASON_EXPIRED);
}

TEST(PolicyTest, RefusesASenderThatWasNotBought) {
  std::vector<Grant> grants = One(RangeGrant(0, 9));
  grants[0].policy.add_sender_ids(2);
  EXPECT_EQ(Reason(grants, Adu(1, 1000, 1)), v1::REFUSAL_REASON_SENDER);
  EXPECT_EQ(Reason(grants, Adu(1, 1000, 2)), v1::REFUSAL_REASON_UNSPECIFIED);
}

// Where the terms are open, a voucher that names no sender bought of those they name.
TEST(PolicyTest, AGrantPermitsNoSenderWhoseSeedsAnotherOneBrought) {
  std::vector<Grant> grants = One(RangeGrant(0, 99));
  Grant added = RangeGrant(0, 99);
  added.seeds.clear();
  added.seeds.push_back({{0, 7}, {}});
  added.policy.add_sender_ids(7);
  added.policy.set_count(1);
  grants.push_back(std::move(added));
  EXPECT_EQ(Judge(grants, Adu(1, 1000, 7), 0).spends, &grants[1]);
  grants[1].spent[7] = 1;
  EXPECT_NE(Reason(grants, Adu(2, 1000, 7)), v1::REFUSAL_REASON_UNSPECIFIED);
  EXPECT_EQ(Reason(grants, Adu(2, 1000, 1)), v1::REFUSAL_REASON_UNSPECIFIED);
}

TEST(PolicyTest, CountsEverySenderByItself) {
  std::vector<Grant> grants = One(RangeGrant(0, 99));
  grants[0].policy.set_count(2);
  Verdict verdict = Judge(grants, Adu(1), 0);
  EXPECT_EQ(verdict.spends, &grants[0]);
  grants[0].spent[1] = 2;
  EXPECT_EQ(Reason(grants, Adu(1)), v1::REFUSAL_REASON_COUNT);
  EXPECT_EQ(Reason(grants, Adu(1, 1000, 2)), v1::REFUSAL_REASON_UNSPECIFIED);
}

TEST(PolicyTest, TheLeaseRunsFromTheLaterOfGrantAndLastHeader) {
  std::vector<Grant> grants = One(RangeGrant(0, 99));
  grants[0].policy.set_lease_ms(10);
  grants[0].issue_time_us = 1'000'000;
  EXPECT_EQ(Reason(grants, Adu(1, 1'010'000)), v1::REFUSAL_REASON_UNSPECIFIED);
  EXPECT_EQ(Reason(grants, Adu(1, 1'010'001)), v1::REFUSAL_REASON_LEASE);
  EXPECT_EQ(Reason(grants, Adu(1, 1'015'000), 1'005'000), v1::REFUSAL_REASON_UNSPECIFIED);
  EXPECT_EQ(Reason(grants, Adu(1, 1'015'001), 1'005'000), v1::REFUSAL_REASON_LEASE);
  EXPECT_EQ(Reason(grants, Adu(1, 5)), v1::REFUSAL_REASON_UNSPECIFIED);
  grants[0].policy.set_lease_ms(~uint64_t{0});
  EXPECT_EQ(Reason(grants, Adu(1, ~uint64_t{0})), v1::REFUSAL_REASON_UNSPECIFIED);
}

TEST(PolicyTest, SpendsNoCountWhereARangeCoversTheAdu) {
  std::vector<Grant> grants = One(RangeGrant(0, 99));
  grants[0].policy.set_count(5);
  grants.push_back(RangeGrant(50, 60));
  EXPECT_EQ(Judge(grants, Adu(40), 0).spends, &grants[0]);
  EXPECT_EQ(Judge(grants, Adu(55), 0).spends, nullptr);
  EXPECT_EQ(Judge(grants, Adu(55), 0).refusal, v1::REFUSAL_REASON_UNSPECIFIED);
}

TEST(PolicyTest, AStoppedGrantPermitsNothing) {
  std::vector<Grant> grants = One(RangeGrant(0, 99));
  grants.push_back(RangeGrant(0, 9));
  grants[0].stopped = true;
  EXPECT_EQ(Reason(grants, Adu(5)), v1::REFUSAL_REASON_UNSPECIFIED);
  EXPECT_EQ(Reason(grants, Adu(50)), v1::REFUSAL_REASON_RANGE);
}

TEST(PolicyTest, NamesTheReasonOfTheGrantThatCameFurthest) {
  std::vector<Grant> grants = One(RangeGrant(0, 9));
  grants.push_back(RangeGrant(50, 99));
  grants[1].policy.set_expires_us(10);
  EXPECT_EQ(Reason(grants, Adu(60, 11)), v1::REFUSAL_REASON_EXPIRED);
  EXPECT_EQ(Reason(grants, Adu(20, 11)), v1::REFUSAL_REASON_RANGE);
}

// The rule of policy.h, said once more: a table of limits for each grant.
TEST(PolicyTest, AgreesWithABruteForceModel) {
  constexpr v1::RefusalReason kLimits[] = {v1::REFUSAL_REASON_RANGE, v1::REFUSAL_REASON_COUNT,
                                           v1::REFUSAL_REASON_EXPIRED, v1::REFUSAL_REASON_SENDER,
                                           v1::REFUSAL_REASON_LEASE};
  for (uint64_t seed = 0; seed < 20'000; ++seed) {
    SCOPED_TRACE(testing::Message() << "seed " << seed);
    SeededRandom random(seed);
    std::vector<Grant> grants;
    for (uint64_t n = random.Below(4); n > 0; --n) {
      Grant grant = RangeGrant(random.Below(10), 0);
      grant.policy.mutable_range()->set_last(grant.policy.range().first() + random.Below(10));
      if (random.Below(2) == 0) grant.policy.set_count(1 + random.Below(3));
      if (random.Below(2) == 0) grant.spent[1] = random.Below(4);
      if (random.Below(2) == 0) grant.policy.set_expires_us(1 + random.Below(10'000));
      if (random.Below(3) == 0) grant.policy.add_sender_ids(1 + random.Below(2));
      if (random.Below(3) == 0) grant.policy.add_sub_sessions(random.Below(2));
      if (random.Below(2) == 0) grant.policy.set_lease_ms(1 + random.Below(5));
      grant.issue_time_us = random.Below(6000);
      grant.stopped = random.Below(6) == 0;
      grants.push_back(std::move(grant));
    }
    const AduFacts adu{
        {static_cast<uint32_t>(random.Below(2)), 1}, random.Below(20), random.Below(12'000)};
    const uint64_t last_accepted_us = random.Below(2) == 0 ? 0 : random.Below(8000);

    Grant* spends = nullptr;
    bool permitted = false, free = false;
    size_t furthest = 0;
    for (Grant& grant : grants) {
      const v1::Policy& policy = grant.policy;
      const bool sub = policy.sub_sessions().empty()
                           ? adu.stream.sub_session == 0
                           : policy.sub_sessions(0) == adu.stream.sub_session;
      const bool fails[] = {
          !sub || adu.adu_id < policy.range().first() || adu.adu_id > policy.range().last(),
          policy.count() > 0 && grant.spent.contains(1) && grant.spent.at(1) >= policy.count(),
          policy.expires_us() > 0 && adu.signed_time_us > policy.expires_us(),
          !policy.sender_ids().empty() && policy.sender_ids(0) != 1,
          policy.lease_ms() > 0 &&
              adu.signed_time_us >
                  1000 * policy.lease_ms() + std::max(grant.issue_time_us, last_accepted_us)};
      if (grant.stopped) continue;
      const size_t first_failure = std::find(fails, fails + 5, true) - fails;
      if (first_failure < 5) {
        furthest = std::max(furthest, first_failure);
        continue;
      }
      permitted = true;
      if (policy.count() == 0) free = true;
      if (policy.count() != 0 && spends == nullptr) spends = &grant;
    }
    const Verdict verdict = Judge(grants, adu, last_accepted_us);
    ASSERT_EQ(verdict.refusal, permitted ? v1::REFUSAL_REASON_UNSPECIFIED : kLimits[furthest]);
    ASSERT_EQ(verdict.spends, free || !permitted ? nullptr : spends);
  }
}

}  // namespace
}  // namespace nark::securespace
