#ifndef NARK_SECURESPACE_TPM_BINDING_H_
#define NARK_SECURESPACE_TPM_BINDING_H_

#include <cstdint>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/base/bytes.h"

namespace nark::securespace {

// Where a counter is. No secret.
struct TpmBinding {
  std::string tcti;    // how the TPM is reached: "device:/dev/tpmrm0", "swtpm:path=SOCKET"
  uint32_t index = 0;  // NV index, in the owner's range
  Bytes name;          // of the index's public area, once written (TPM 2.0 part 1, 16)

  // Through a Unix socket, which is connected anew for each command.
  bool needs_sockets() const;
};

// INVALID_ARGUMENT where `tcti` is of another kind than those two. Others would load
// any library, or run any program, that a file names.
absl::Status CheckTcti(std::string_view tcti);

// As text, one `key = "value"` a line (TOML), and back: INVALID_ARGUMENT for any other.
std::string Format(const TpmBinding& binding);
absl::StatusOr<TpmBinding> ParseTpmBinding(std::string_view text);

}  // namespace nark::securespace

#endif  // NARK_SECURESPACE_TPM_BINDING_H_
