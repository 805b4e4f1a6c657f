#include "common/rpc/details.h"

#include <utility>

#include "common/base/status.h"
#include "google/rpc/error_details.pb.h"

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

google::rpc::Status ToDetails(const absl::Status& status) {
  google::rpc::Status details;
  details.set_code(static_cast<int>(status.code()));
  details.set_message(std::string(status.message()));
  if (const std::string reason = ReasonOf(status); !reason.empty()) {
    google::rpc::ErrorInfo info;
    info.set_reason(reason);
    info.set_domain(kErrorDomain);
    details.add_details()->PackFrom(info);
  }
  if (const int retry_seconds = RetryAfterSeconds(status); retry_seconds != 0) {
    google::rpc::RetryInfo retry;
    retry.mutable_retry_delay()->set_seconds(retry_seconds);
    details.add_details()->PackFrom(retry);
  }
  return details;
}

absl::Status FromDetails(int code, const std::string& message, const google::rpc::Status& details) {
  if (code == 0) code = static_cast<int>(absl::StatusCode::kUnknown);
  absl::Status result(static_cast<absl::StatusCode>(code), Printable(message));
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
  return MarkRemote(std::move(result));
}

}  // namespace nark::rpc
