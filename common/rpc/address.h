#ifndef NARK_COMMON_RPC_ADDRESS_H_
#define NARK_COMMON_RPC_ADDRESS_H_

#include <cstdint>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"

namespace nark::rpc {

// Where a server is or shall be.
struct Address {
  std::string unix_path;  // empty for TCP
  std::string host;       // without brackets
  uint16_t port = 0;

  // As written by people: "HOST:PORT", "[V6]:PORT" or "unix:PATH".
  std::string ToString() const;
};

// INVALID_ARGUMENT, naming the text, where it is none of the three forms or a
// unix path that no socket can have (108 bytes and more).
absl::StatusOr<Address> ParseAddress(std::string_view text);

}  // namespace nark::rpc

#endif  // NARK_COMMON_RPC_ADDRESS_H_
