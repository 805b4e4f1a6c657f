#ifndef NARK_COMMON_BASE_STATUS_H_
#define NARK_COMMON_BASE_STATUS_H_

#include <string>
#include <string_view>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace nark {

// A refusal with a documented reason (UPPER_SNAKE_CASE, docs/wire.md), which
// travels as google.rpc.ErrorInfo. `message` is one line for people.
absl::Status Refusal(absl::StatusCode code, std::string_view reason, std::string_view message);

// The reason of a refusal; empty where the status carries none.
std::string ReasonOf(const absl::Status& status);

// Marks a refusal as worth repeating after `seconds`; 0 where RetryAfter is unset.
void SetRetryAfterSeconds(absl::Status& status, int seconds);
int RetryAfterSeconds(const absl::Status& status);

// Marks an error as the other side's: it refused, or could not be reached. A
// refusal with a reason counts as marked.
absl::Status MarkRemote(absl::Status status);
bool IsRemote(const absl::Status& status);

// Puts `where: ` in front of the message and keeps code and payloads.
absl::Status Annotate(const absl::Status& status, std::string_view where);

// `text` as what absl wants, which has its own string_view on Debian.
inline absl::string_view Absl(std::string_view text) { return {text.data(), text.size()}; }
inline std::string_view Std(absl::string_view text) { return {text.data(), text.size()}; }

}  // namespace nark

#define NARK_STATUS_CONCAT_(a, b) a##b
#define NARK_STATUS_CONCAT(a, b) NARK_STATUS_CONCAT_(a, b)

// Returns from the function where the expression is not OK.
#define RETURN_IF_ERROR(expression)                                   \
  do {                                                                \
    if (absl::Status nark_status = (expression); !nark_status.ok()) { \
      return nark_status;                                             \
    }                                                                 \
  } while (false)

// Assigns the value of a StatusOr, or returns its status.
#define ASSIGN_OR_RETURN(left, expression) \
  NARK_ASSIGN_OR_RETURN_(NARK_STATUS_CONCAT(nark_status_or_, __LINE__), left, expression)
#define NARK_ASSIGN_OR_RETURN_(temporary, left, expression)  \
  auto temporary = (expression);                             \
  if (!temporary.ok()) return std::move(temporary).status(); \
  left = *std::move(temporary)

#endif  // NARK_COMMON_BASE_STATUS_H_
