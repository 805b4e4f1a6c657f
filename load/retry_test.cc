#include "load/retry.h"

#include <gtest/gtest.h>

#include "common/base/status.h"

namespace nark::load {
namespace {

using std::chrono::milliseconds;

absl::Status Told(int seconds) {
  absl::Status status =
      Refusal(absl::StatusCode::kResourceExhausted, "RATE_LIMITED", "too many joins");
  SetRetryAfterSeconds(status, seconds);
  return status;
}

TEST(RetryTest, WaitsAsLongAsItIsToldAndUpToHalfMore) {
  EXPECT_EQ(*RetryWait(Told(2), 1, 0), milliseconds(2000));
  EXPECT_EQ(*RetryWait(Told(2), 1, 0.5), milliseconds(2500));
  EXPECT_LT(*RetryWait(Told(2), 7, 0.999), milliseconds(3000));
}

TEST(RetryTest, BacksOffWhereNothingWasSaid) {
  const absl::Status gone = absl::UnavailableError("no connection");
  EXPECT_EQ(*RetryWait(gone, 1, 0), milliseconds(0));
  EXPECT_EQ(*RetryWait(gone, 1, 0.5), milliseconds(50));
  EXPECT_EQ(*RetryWait(gone, 2, 0.5), milliseconds(100));
  EXPECT_EQ(*RetryWait(gone, 4, 0.5), milliseconds(400));
  EXPECT_EQ(*RetryWait(gone, 5, 0.5), milliseconds(500)) << "never above a second";
  EXPECT_EQ(*RetryWait(gone, 1'000'000, 0.5), milliseconds(500));
  EXPECT_TRUE(RetryWait(absl::DeadlineExceededError("slow"), 1, 0).has_value());
}

TEST(RetryTest, ARefusalWithAReasonStands) {
  EXPECT_FALSE(
      RetryWait(Refusal(absl::StatusCode::kPermissionDenied, "DENIED", "no"), 1, 0).has_value());
}

}  // namespace
}  // namespace nark::load
