#include "common/rpc/status.h"

#include <string>
#include <utility>

#include "common/base/status.h"
#include "google/rpc/error_details.pb.h"
#include "google/rpc/status.pb.h"

namespace nark::rpc {
namespace {

constexpr size_t kMaxMessageBytes = 1000;
constexpr size_t kMaxReasonBytes = 63;
constexpr int64_t kMaxRetrySeconds = 24 * 3600;

// One line of a message that a stranger wrote.
std::string Printable(const std::string& text) {
  std::string line = text.substr(0, kMaxMessageBytes);
  for (char& c : line) {
    if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f) c = ' ';
  }
  return line;
}

bool IsReason(const std::string& text) {
  return !text.empty() && text.size() <= kMaxReasonBytes &&
         text.find_first_not_of("ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_") == std::string::npos;
}

}  // namespace

grpc::Status ToGrpc(const absl::Status& status) {
  if (status.ok()) return grpc::Status::OK;
  const auto code = static_cast<grpc::StatusCode>(status.code());
  const std::string message(status.message());
  const std::string reason = ReasonOf(status);
  const int retry_seconds = RetryAfterSeconds(status);
  if (reason.empty() && retry_seconds == 0) return grpc::Status(code, message);

  google::rpc::Status details;
  details.set_code(code);
  details.set_message(message);
  if (!reason.empty()) {
    google::rpc::ErrorInfo info;
    info.set_reason(reason);
    info.set_domain(kErrorDomain);
    details.add_details()->PackFrom(info);
  }
  if (retry_seconds != 0) {
    google::rpc::RetryInfo retry;
    retry.mutable_retry_delay()->set_seconds(retry_seconds);
    details.add_details()->PackFrom(retry);
  }
  return grpc::Status(code, message, details.SerializeAsString());
}

absl::Status FromGrpc(const grpc::Status& status) {
  if (status.ok()) return absl::OkStatus();
  absl::Status result(static_cast<absl::StatusCode>(status.error_code()),
                      Printable(status.error_message()));
  google::rpc::Status details;
  if (details.ParseFromString(status.error_details())) {
    for (const google::protobuf::Any& detail : details.details()) {
      google::rpc::ErrorInfo info;
      google::rpc::RetryInfo retry;
      if (detail.Is<google::rpc::ErrorInfo>() && detail.UnpackTo(&info) &&
          info.domain() == kErrorDomain && IsReason(info.reason())) {
        absl::Status refusal = Refusal(result.code(), info.reason(), Std(result.message()));
        SetRetryAfterSeconds(refusal, RetryAfterSeconds(result));
        result = refusal;
      } else if (detail.Is<google::rpc::RetryInfo>() && detail.UnpackTo(&retry)) {
        const int64_t seconds = retry.retry_delay().seconds();
        if (seconds > 0 && seconds <= kMaxRetrySeconds) {
          SetRetryAfterSeconds(result, static_cast<int>(seconds));
        }
      }
    }
  }
  return MarkRemote(std::move(result));
}

}  // namespace nark::rpc
