#include "common/base/status.h"

#include <charconv>

#include "absl/strings/cord.h"
#include "absl/strings/str_cat.h"

namespace nark {
namespace {

constexpr char kReasonUrl[] = "nark/reason";
constexpr char kRetryUrl[] = "nark/retry_seconds";
constexpr char kRemoteUrl[] = "nark/remote";

std::string PayloadOf(const absl::Status& status, const char* url) {
  auto payload = status.GetPayload(url);
  return payload.has_value() ? std::string(*payload) : std::string();
}

}  // namespace

absl::Status Refusal(absl::StatusCode code, std::string_view reason, std::string_view message) {
  absl::Status status(code, Absl(message));
  status.SetPayload(kReasonUrl, absl::Cord(Absl(reason)));
  return status;
}

std::string ReasonOf(const absl::Status& status) { return PayloadOf(status, kReasonUrl); }

void SetRetryAfterSeconds(absl::Status& status, int seconds) {
  status.SetPayload(kRetryUrl, absl::Cord(absl::StrCat(seconds)));
}

int RetryAfterSeconds(const absl::Status& status) {
  std::string text = PayloadOf(status, kRetryUrl);
  int seconds = 0;
  std::from_chars(text.data(), text.data() + text.size(), seconds);
  return seconds;
}

absl::Status MarkRemote(absl::Status status) {
  if (!status.ok()) status.SetPayload(kRemoteUrl, absl::Cord("1"));
  return status;
}

bool IsRemote(const absl::Status& status) {
  return !PayloadOf(status, kRemoteUrl).empty() || !PayloadOf(status, kReasonUrl).empty();
}

absl::Status Annotate(const absl::Status& status, std::string_view where) {
  if (status.ok()) return status;
  absl::Status annotated(status.code(), absl::StrCat(Absl(where), ": ", status.message()));
  status.ForEachPayload([&](absl::string_view url, const absl::Cord& payload) {
    annotated.SetPayload(url, payload);
  });
  return annotated;
}

}  // namespace nark
