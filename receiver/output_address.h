#ifndef NARK_RECEIVER_OUTPUT_ADDRESS_H_
#define NARK_RECEIVER_OUTPUT_ADDRESS_H_

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"

namespace nark::receiver {

// Which streams an output takes.
struct StreamFilter {
  uint32_t sub_session = 0;
  std::optional<uint32_t> sender_id;  // all senders where absent
  bool Takes(uint32_t of_sub_session, uint32_t of_sender) const {
    return sub_session == of_sub_session && (!sender_id || *sender_id == of_sender);
  }
};

// Where an output goes, and what it takes: URI#sender=ID&sub-session=ID. Without a
// fragment it takes every sender of the main stream.
struct OutputAddress {
  std::string uri;
  StreamFilter filter;

  // A path may have a # of its own: what is no such fragment belongs to it.
  // INVALID_ARGUMENT where an id is none, or given twice.
  static absl::StatusOr<OutputAddress> Parse(std::string_view text);
};

}  // namespace nark::receiver

#endif  // NARK_RECEIVER_OUTPUT_ADDRESS_H_
