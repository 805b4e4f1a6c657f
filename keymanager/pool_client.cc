#include "keymanager/pool_client.h"

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "common/base/status.h"

namespace nark::keymanager {

template <typename Response, typename Request>
absl::StatusOr<Response> PoolClient::Try(
    absl::StatusOr<Response> (Client::*method)(const Request&, std::chrono::milliseconds),
    const Request& request, std::chrono::milliseconds timeout) {
  const auto deadline = std::chrono::steady_clock::now() + timeout;
  const size_t first = last_good_;
  absl::Status with_reason;
  std::string causes;
  for (size_t tried = 0; tried < replicas_.size(); ++tried) {
    const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(
        deadline - std::chrono::steady_clock::now());
    if (tried != 0 && left.count() <= 0) break;
    const size_t index = (first + tried) % replicas_.size();
    const auto share = left / static_cast<int>(replicas_.size() - tried);
    absl::StatusOr<Response> response = (*replicas_[index].*method)(request, share);
    const absl::StatusCode code = response.status().code();
    if (code != absl::StatusCode::kUnavailable && code != absl::StatusCode::kDeadlineExceeded) {
      last_good_ = index;
      return response;
    }
    if (!ReasonOf(response.status()).empty()) with_reason = response.status();
    absl::StrAppend(&causes, causes.empty() ? "" : "; ", response.status().message());
  }
  if (!with_reason.ok()) return with_reason;
  return MarkRemote(absl::UnavailableError(absl::StrCat("no key manager reached: ", causes)));
}

absl::StatusOr<v1::GetChallengeResponse> PoolClient::GetChallenge(
    const v1::GetChallengeRequest& request, std::chrono::milliseconds timeout) {
  return Try(&Client::GetChallenge, request, timeout);
}

absl::StatusOr<v1::IssueGrantResponse> PoolClient::IssueGrant(const v1::IssueGrantRequest& request,
                                                              std::chrono::milliseconds timeout) {
  return Try(&Client::IssueGrant, request, timeout);
}

}  // namespace nark::keymanager
