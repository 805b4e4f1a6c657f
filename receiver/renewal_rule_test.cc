#include "receiver/renewal_rule.h"

#include <gtest/gtest.h>

#include <algorithm>

namespace nark::receiver {
namespace {

using std::chrono::microseconds;

constexpr Timestamp kStart{std::chrono::hours(1000)};
constexpr Digest kFirstDescriptor{1}, kLaterDescriptor{2};

class RenewalRuleTest : public ::testing::Test {
 protected:
  // After how long it is due; longer than the longest pause where it is not.
  microseconds DueAfter(const Digest& descriptor = kFirstDescriptor) {
    for (microseconds after{0}; after <= RenewalRule::kLongest;
         after += std::chrono::milliseconds(10)) {
      if (*rule_.Due(counts_, descriptor, kStart + after)) return after;
    }
    return microseconds::max();
  }
  static constexpr microseconds kNever = microseconds::max();

  // Of many draws from the pause in force.
  microseconds LongestWait(v1::RefusalReason reason) {
    microseconds most{0};
    for (int i = 0; i < 30; ++i) {
      ++counts_.refused[reason];
      most = std::max(most, DueAfter());
    }
    return most;
  }

  SeededRandom random_{11};
  RenewalRule rule_{random_};
  RenewalRule::Counts counts_;
};

TEST_F(RenewalRuleTest, IsDueForWhatANewerGrantCanEnd) {
  EXPECT_EQ(DueAfter(), kNever);
  for (const v1::RefusalReason reason : {v1::REFUSAL_REASON_RANGE, v1::REFUSAL_REASON_COUNT,
                                         v1::REFUSAL_REASON_LATE, v1::REFUSAL_REASON_STOPPED}) {
    ++counts_.refused[reason];
    EXPECT_EQ(DueAfter(), kNever) << reason;
  }
  for (const v1::RefusalReason reason :
       {v1::REFUSAL_REASON_LEASE, v1::REFUSAL_REASON_CONTACT, v1::REFUSAL_REASON_DIGEST}) {
    ++counts_.refused[reason];
    EXPECT_LE(DueAfter(), RenewalRule::kFirst) << reason;
    EXPECT_EQ(DueAfter(), kNever) << "once for a refusal";
  }
}

TEST_F(RenewalRuleTest, ComesAtRandomTimesWithinThePause) {
  microseconds least = RenewalRule::kFirst, most{0};
  for (int i = 0; i < 200; ++i) {
    ++counts_.refused[v1::REFUSAL_REASON_LEASE];
    const microseconds after = DueAfter();
    ASSERT_LE(after, RenewalRule::kFirst);
    least = std::min(least, after);
    most = std::max(most, after);
    rule_.OnRenewed(counts_, kFirstDescriptor);
    ++counts_.delivered;
  }
  EXPECT_LT(least, RenewalRule::kFirst / 10);
  EXPECT_GT(most, RenewalRule::kFirst * 9 / 10);
}

TEST_F(RenewalRuleTest, AsksOnceADescriptorForASenderThatIsNotKnown) {
  ++counts_.refused[v1::REFUSAL_REASON_SIGNATURE];
  EXPECT_LE(DueAfter(), RenewalRule::kFirst);
  rule_.OnRenewed(counts_, kFirstDescriptor);
  counts_.refused[v1::REFUSAL_REASON_SIGNATURE] += 100;
  EXPECT_EQ(DueAfter(), kNever);
  ++counts_.refused[v1::REFUSAL_REASON_SIGNATURE];
  EXPECT_LE(DueAfter(kLaterDescriptor), 2 * RenewalRule::kFirst);
}

// While it is under way, nobody asks whether one is due.
TEST_F(RenewalRuleTest, WhatIsRefusedBeforeItIsRenewedAsksForNoOther) {
  ++counts_.refused[v1::REFUSAL_REASON_LEASE];
  ASSERT_LE(DueAfter(), RenewalRule::kFirst);
  counts_.refused[v1::REFUSAL_REASON_LEASE] += 4;
  rule_.OnRenewed(counts_, kFirstDescriptor);
  EXPECT_EQ(DueAfter(), kNever);
  ++counts_.refused[v1::REFUSAL_REASON_LEASE];
  ASSERT_NE(DueAfter(), kNever) << "it did not help";
  ++counts_.refused[v1::REFUSAL_REASON_LEASE];
  rule_.OnFailed();
  EXPECT_NE(DueAfter(), kNever) << "it came to nothing";
}

TEST_F(RenewalRuleTest, AClockThatIsPutBackDelaysNothing) {
  ++counts_.refused[v1::REFUSAL_REASON_LEASE];
  ASSERT_FALSE(*rule_.Due(counts_, kFirstDescriptor, kStart));
  EXPECT_TRUE(*rule_.Due(counts_, kFirstDescriptor, kStart - std::chrono::hours(1)));
}

class UnhelpfulRenewalTest : public RenewalRuleTest,
                             public ::testing::WithParamInterface<v1::RefusalReason> {};

// What is refused is refused again after each renewal, and nothing is played in between.
TEST_P(UnhelpfulRenewalTest, ComesEverLater) {
  for (int i = 0; i < 10; ++i) {
    ++counts_.refused[GetParam()];
    ASSERT_LE(DueAfter(), std::min(RenewalRule::kFirst * (1 << i), RenewalRule::kLongest));
    rule_.OnRenewed(counts_, kFirstDescriptor);
  }
  const microseconds bound = LongestWait(GetParam());
  EXPECT_GT(bound, RenewalRule::kLongest / 2);
  EXPECT_LE(bound, RenewalRule::kLongest);
  rule_.OnRenewed(counts_, kFirstDescriptor);
  ++counts_.delivered;
  EXPECT_LE(LongestWait(v1::REFUSAL_REASON_LEASE), RenewalRule::kFirst) << "it helped";
}

INSTANTIATE_TEST_SUITE_P(Reasons, UnhelpfulRenewalTest,
                         ::testing::Values(v1::REFUSAL_REASON_LEASE, v1::REFUSAL_REASON_CONTACT,
                                           v1::REFUSAL_REASON_DIGEST));

// One ADU is played after each renewal, and the digest of that one is refused, too.
TEST_F(RenewalRuleTest, WrongDigestsAreWaitedForEverLonger) {
  for (int i = 0; i < 10; ++i) {
    ++counts_.refused[v1::REFUSAL_REASON_DIGEST];
    ASSERT_NE(DueAfter(), kNever);
    rule_.OnRenewed(counts_, kFirstDescriptor);
    ++counts_.delivered;
  }
  EXPECT_GT(LongestWait(v1::REFUSAL_REASON_DIGEST), RenewalRule::kLongest / 2);
}

TEST_F(RenewalRuleTest, KeyManagersThatFailAreAskedEverLessOften) {
  EXPECT_LE(LongestWait(v1::REFUSAL_REASON_LEASE), RenewalRule::kFirst);
  for (int i = 0; i < 10; ++i) {
    rule_.OnFailed();
    ++counts_.delivered;  // of another sender, whose lease lasts
    EXPECT_LE(LongestWait(v1::REFUSAL_REASON_LEASE), RenewalRule::kLongest);
  }
  EXPECT_GT(LongestWait(v1::REFUSAL_REASON_LEASE), RenewalRule::kLongest / 2);
  rule_.OnRenewed(counts_, kFirstDescriptor);
  ++counts_.delivered;
  EXPECT_LE(LongestWait(v1::REFUSAL_REASON_LEASE), RenewalRule::kFirst);
}

}  // namespace
}  // namespace nark::receiver
