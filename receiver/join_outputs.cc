#include "receiver/join_outputs.h"

#include <unistd.h>

#include <algorithm>
#include <memory>
#include <utility>

#include "common/base/status.h"
#include "receiver/output_address.h"

namespace nark::receiver {

absl::Status JoinOutputs::Open(std::vector<std::string> texts,
                               std::chrono::microseconds playout_delay, const net::Notify& notify) {
  if (texts.empty() && ::isatty(STDOUT_FILENO) == 1) {
    return absl::InvalidArgumentError(
        "standard output is a terminal: give --output file:PATH, udp://... or http://..., or "
        "`--output -` to insist");
  }
  if (texts.empty()) texts.push_back("-");
  const bool udp = std::any_of(texts.begin(), texts.end(),
                               [](const auto& text) { return text.starts_with("udp://"); });
  if (udp) spread = playout_delay / 4;
  for (const std::string& text : texts) {
    ASSIGN_OR_RETURN(const OutputAddress address, OutputAddress::Parse(text));
    ASSIGN_OR_RETURN(std::unique_ptr<Output> output, OpenOutput(address.uri, spread, notify));
    set.Add(std::move(output), address.filter);
    sub_sessions.insert(address.filter.sub_session);
  }
  return absl::OkStatus();
}

bool StandardOutputIsMedia(const std::vector<std::string>& texts) {
  return texts.empty() || std::any_of(texts.begin(), texts.end(), [](const auto& text) {
           const auto address = OutputAddress::Parse(text);
           return address.ok() && IsStandardOutput(address->uri);
         });
}

}  // namespace nark::receiver
