#include "common/rpc/status.h"

#include <gtest/gtest.h>

#include <string>

#include "common/base/status.h"
#include "google/rpc/error_details.pb.h"
#include "google/rpc/status.pb.h"

namespace nark::rpc {
namespace {

TEST(RpcStatusTest, OkIsOk) {
  EXPECT_TRUE(ToGrpc(absl::OkStatus()).ok());
  EXPECT_TRUE(FromGrpc(grpc::Status::OK).ok());
}

TEST(RpcStatusTest, EveryCodeSurvives) {
  for (int code = 1; code <= 16; ++code) {
    const absl::Status sent(static_cast<absl::StatusCode>(code), "what went wrong");
    const absl::Status got = FromGrpc(ToGrpc(sent));
    EXPECT_EQ(got.code(), sent.code());
    EXPECT_EQ(got.message(), "what went wrong");
    EXPECT_EQ(ReasonOf(got), "");
    EXPECT_TRUE(IsRemote(got));
  }
}

TEST(RpcStatusTest, ReasonAndRetrySurvive) {
  absl::Status sent = Refusal(absl::StatusCode::kUnavailable, "LISTS_EXPIRED", "try later");
  SetRetryAfterSeconds(sent, 30);
  const grpc::Status wire = ToGrpc(sent);
  google::rpc::Status details;
  ASSERT_TRUE(details.ParseFromString(wire.error_details()));
  EXPECT_EQ(details.code(), grpc::StatusCode::UNAVAILABLE);
  EXPECT_EQ(details.message(), "try later");
  ASSERT_EQ(details.details_size(), 2);
  EXPECT_EQ(details.details(0).type_url(), "type.googleapis.com/google.rpc.ErrorInfo");
  google::rpc::ErrorInfo info;
  ASSERT_TRUE(details.details(0).UnpackTo(&info));
  EXPECT_EQ(info.domain(), "nark");
  EXPECT_EQ(info.reason(), "LISTS_EXPIRED");

  const absl::Status got = FromGrpc(wire);
  EXPECT_EQ(got.code(), absl::StatusCode::kUnavailable);
  EXPECT_EQ(ReasonOf(got), "LISTS_EXPIRED");
  EXPECT_EQ(RetryAfterSeconds(got), 30);
}

TEST(RpcStatusTest, RetryAloneSurvives) {
  absl::Status sent = absl::UnavailableError("busy");
  SetRetryAfterSeconds(sent, 7);
  const absl::Status got = FromGrpc(ToGrpc(sent));
  EXPECT_EQ(RetryAfterSeconds(got), 7);
  EXPECT_EQ(ReasonOf(got), "");
}

grpc::Status WithInfo(const std::string& domain, const std::string& reason) {
  google::rpc::ErrorInfo info;
  info.set_domain(domain);
  info.set_reason(reason);
  google::rpc::Status details;
  details.add_details()->PackFrom(info);
  return {grpc::StatusCode::PERMISSION_DENIED, "no", details.SerializeAsString()};
}

TEST(RpcStatusTest, StrangersReasonsAreNotOurs) {
  EXPECT_EQ(ReasonOf(FromGrpc(WithInfo("nark", "VOUCHER_EXPIRED"))), "VOUCHER_EXPIRED");
  EXPECT_EQ(ReasonOf(FromGrpc(WithInfo("googleapis.com", "VOUCHER_EXPIRED"))), "");
  EXPECT_EQ(ReasonOf(FromGrpc(WithInfo("nark", ""))), "");
  EXPECT_EQ(ReasonOf(FromGrpc(WithInfo("nark", "lower"))), "");
  EXPECT_EQ(ReasonOf(FromGrpc(WithInfo("nark", "NEW\nLINE"))), "");
  EXPECT_EQ(ReasonOf(FromGrpc(WithInfo("nark", std::string(64, 'A')))), "");
}

TEST(RpcStatusTest, DamagedDetailsLeaveTheCode) {
  const std::string good = WithInfo("nark", "VOUCHER_EXPIRED").error_details();
  for (size_t keep = 0; keep < good.size(); ++keep) {
    const absl::Status got =
        FromGrpc({grpc::StatusCode::PERMISSION_DENIED, "no", good.substr(0, keep)});
    EXPECT_EQ(got.code(), absl::StatusCode::kPermissionDenied);
  }
  for (size_t bit = 0; bit < good.size() * 8; ++bit) {
    std::string flipped = good;
    flipped[bit / 8] ^= static_cast<char>(1 << (bit % 8));
    const absl::Status got = FromGrpc({grpc::StatusCode::PERMISSION_DENIED, "no", flipped});
    EXPECT_EQ(got.code(), absl::StatusCode::kPermissionDenied);
  }
}

TEST(RpcStatusTest, AStrangersMessageIsOneShortLine) {
  const absl::Status got =
      FromGrpc({grpc::StatusCode::INTERNAL, "one\ntwo\x1b[31m\r" + std::string(5000, 'x')});
  EXPECT_EQ(got.message().substr(0, 8), "one two ");
  EXPECT_EQ(got.message().size(), 1000u);
  EXPECT_EQ(std::string(got.message()).find_first_of("\n\r\x1b"), std::string::npos);
}

}  // namespace
}  // namespace nark::rpc
