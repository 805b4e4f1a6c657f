#ifndef NARK_SENDER_CLEAR_POLICY_H_
#define NARK_SENDER_CLEAR_POLICY_H_

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "common/base/bytes.h"
#include "common/wire/clear_map.h"

namespace nark::sender {

// What a sender encrypts of its ADUs, and what stays readable for everybody. One thread
// only.
class ClearPolicy {
 public:
  virtual ~ClearPolicy() = default;
  // The map of the next ADU of the stream: one that CheckClearMap takes, as 1 byte at
  // least is always encrypted. Where a policy finds nothing to encrypt, it encrypts all.
  virtual wire::ClearMap Next(ByteView adu) = 0;
  // One line for people, once, where the policy could not be followed; else empty.
  virtual std::string TakeWarning() { return {}; }
};

// By the flags: `encrypt` is "all" or "video", `first_bytes` a size or empty.
// INVALID_ARGUMENT names the flag.
absl::StatusOr<std::unique_ptr<ClearPolicy>> MakeClearPolicy(std::string_view encrypt,
                                                             std::string_view first_bytes);

// Of every ADU the first so many bytes, at least 1.
std::unique_ptr<ClearPolicy> EncryptFirst(uint32_t bytes);

// Of a transport stream what packets of video carry, by the tables of its programmes. An
// ADU is encrypted as a whole as long as these are not all known, where it has no video
// or more than kMaxEncryptedPids, and where one of its packets does not begin as one.
std::unique_ptr<ClearPolicy> EncryptVideo();

}  // namespace nark::sender

#endif  // NARK_SENDER_CLEAR_POLICY_H_
