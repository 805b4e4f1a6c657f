#include "common/base/status.h"

#include <gtest/gtest.h>

#include <memory>

namespace nark {
namespace {

absl::StatusOr<int> Half(int n) {
  if (n % 2 != 0) return Refusal(absl::StatusCode::kInvalidArgument, "ODD", "an odd number");
  return n / 2;
}

absl::StatusOr<int> Quarter(int n) {
  ASSIGN_OR_RETURN(int half, Half(n));
  ASSIGN_OR_RETURN(int quarter, Half(half));
  return quarter;
}

absl::Status IsEven(int n) {
  RETURN_IF_ERROR(Half(n).status());
  return absl::OkStatus();
}

TEST(StatusTest, ARefusalCarriesCodeReasonAndMessage) {
  absl::Status status = Refusal(absl::StatusCode::kPermissionDenied, "RANGE", "not bought");
  EXPECT_EQ(status.code(), absl::StatusCode::kPermissionDenied);
  EXPECT_EQ(ReasonOf(status), "RANGE");
  EXPECT_EQ(status.message(), "not bought");
}

TEST(StatusTest, AStatusWithoutReasonHasNone) {
  EXPECT_EQ(ReasonOf(absl::OkStatus()), "");
  EXPECT_EQ(ReasonOf(absl::InternalError("x")), "");
}

TEST(StatusTest, RetryIsZeroUntilItIsSet) {
  absl::Status status = Refusal(absl::StatusCode::kUnavailable, "LISTS_EXPIRED", "x");
  EXPECT_EQ(RetryAfterSeconds(status), 0);
  SetRetryAfterSeconds(status, 30);
  EXPECT_EQ(RetryAfterSeconds(status), 30);
}

TEST(StatusTest, AnnotateKeepsCodeReasonAndRetry) {
  absl::Status status = Refusal(absl::StatusCode::kUnavailable, "LISTS_EXPIRED", "CRL is old");
  SetRetryAfterSeconds(status, 7);
  absl::Status annotated = Annotate(status, "issuer.pem");
  EXPECT_EQ(annotated.code(), absl::StatusCode::kUnavailable);
  EXPECT_EQ(annotated.message(), "issuer.pem: CRL is old");
  EXPECT_EQ(ReasonOf(annotated), "LISTS_EXPIRED");
  EXPECT_EQ(RetryAfterSeconds(annotated), 7);
  EXPECT_TRUE(Annotate(absl::OkStatus(), "x").ok());
}

TEST(StatusTest, AssignOrReturnPassesOnValueAndReason) {
  EXPECT_EQ(Quarter(12).value(), 3);
  EXPECT_EQ(ReasonOf(Quarter(6).status()), "ODD");
  EXPECT_EQ(Quarter(3).status().code(), absl::StatusCode::kInvalidArgument);
}

TEST(StatusTest, ReturnIfErrorPassesOnTheReason) {
  EXPECT_TRUE(IsEven(2).ok());
  EXPECT_EQ(ReasonOf(IsEven(1)), "ODD");
}

}  // namespace
}  // namespace nark
