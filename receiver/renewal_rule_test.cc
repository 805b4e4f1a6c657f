#include "receiver/renewal_rule.h"

#include <gtest/gtest.h>

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
         after += std::chrono::milliseconds(1)) {
      if (*rule_.Due(refused_, descriptor, kStart + after)) return after;
    }
    return microseconds::max();
  }
  static constexpr microseconds kNever = microseconds::max();

  SeededRandom random_{11};
  RenewalRule rule_{random_};
  RenewalRule::Refused refused_;
};

TEST_F(RenewalRuleTest, IsDueForWhatANewerGrantCanEnd) {
  EXPECT_EQ(DueAfter(), kNever);
  for (const v1::RefusalReason reason : {v1::REFUSAL_REASON_RANGE, v1::REFUSAL_REASON_COUNT,
                                         v1::REFUSAL_REASON_LATE, v1::REFUSAL_REASON_STOPPED}) {
    ++refused_[reason];
    EXPECT_EQ(DueAfter(), kNever) << reason;
  }
  for (const v1::RefusalReason reason :
       {v1::REFUSAL_REASON_LEASE, v1::REFUSAL_REASON_CONTACT, v1::REFUSAL_REASON_DIGEST}) {
    ++refused_[reason];
    EXPECT_LE(DueAfter(), RenewalRule::kFirst) << reason;
    EXPECT_EQ(DueAfter(), kNever) << "once for a refusal";
  }
}

TEST_F(RenewalRuleTest, ComesAtRandomTimesWithinThePause) {
  microseconds least = RenewalRule::kFirst, most{0};
  for (int i = 0; i < 200; ++i) {
    ++refused_[v1::REFUSAL_REASON_LEASE];
    const microseconds after = DueAfter();
    ASSERT_LE(after, RenewalRule::kFirst);
    least = std::min(least, after);
    most = std::max(most, after);
    rule_.OnRenewed(refused_, kFirstDescriptor);
  }
  EXPECT_LT(least, RenewalRule::kFirst / 10);
  EXPECT_GT(most, RenewalRule::kFirst * 9 / 10);
}

TEST_F(RenewalRuleTest, AsksOnceADescriptorForASenderThatIsNotKnown) {
  ++refused_[v1::REFUSAL_REASON_SIGNATURE];
  EXPECT_LE(DueAfter(), RenewalRule::kFirst);
  rule_.OnRenewed(refused_, kFirstDescriptor);
  refused_[v1::REFUSAL_REASON_SIGNATURE] += 100;
  EXPECT_EQ(DueAfter(), kNever);
  ++refused_[v1::REFUSAL_REASON_SIGNATURE];
  EXPECT_LE(DueAfter(kLaterDescriptor), RenewalRule::kFirst);
}

// While it is under way, nobody asks whether one is due.
TEST_F(RenewalRuleTest, WhatIsRefusedBeforeItIsRenewedAsksForNoOther) {
  ++refused_[v1::REFUSAL_REASON_LEASE];
  ASSERT_LE(DueAfter(), RenewalRule::kFirst);
  refused_[v1::REFUSAL_REASON_LEASE] += 4;
  rule_.OnRenewed(refused_, kFirstDescriptor);
  EXPECT_EQ(DueAfter(), kNever);
  ++refused_[v1::REFUSAL_REASON_LEASE];
  ASSERT_LE(DueAfter(), RenewalRule::kFirst) << "it did not help";
  ++refused_[v1::REFUSAL_REASON_LEASE];
  rule_.OnFailed();
  EXPECT_LE(DueAfter(), 2 * RenewalRule::kFirst) << "it came to nothing";
}

TEST_F(RenewalRuleTest, AClockThatIsPutBackDelaysNothing) {
  ++refused_[v1::REFUSAL_REASON_LEASE];
  ASSERT_FALSE(*rule_.Due(refused_, kFirstDescriptor, kStart));
  EXPECT_TRUE(*rule_.Due(refused_, kFirstDescriptor, kStart - std::chrono::hours(1)));
}

// The longest of many draws from the pause that is in force.
TEST_F(RenewalRuleTest, WaitsLongerWhereRenewingDoesNotHelp) {
  const auto longest = [&] {
    microseconds most{0};
    for (int i = 0; i < 30; ++i) {
      ++refused_[v1::REFUSAL_REASON_LEASE];
      most = std::max(most, DueAfter());
    }
    return most;
  };
  EXPECT_LE(longest(), RenewalRule::kFirst);
  rule_.OnFailed();
  EXPECT_GT(longest(), RenewalRule::kFirst);
  rule_.OnRenewed(refused_, kFirstDescriptor);
  EXPECT_LE(longest(), RenewalRule::kFirst);
  // Digests that are refused again after each renewal.
  for (int i = 0; i < 10; ++i) {
    ++refused_[v1::REFUSAL_REASON_DIGEST];
    rule_.OnRenewed(refused_, kFirstDescriptor);
  }
  const microseconds bound = longest();
  EXPECT_GT(bound, RenewalRule::kLongest / 2);
  EXPECT_LE(bound, RenewalRule::kLongest);
  rule_.OnRenewed(refused_, kFirstDescriptor);
  EXPECT_LE(longest(), RenewalRule::kFirst);
}

}  // namespace
}  // namespace nark::receiver
