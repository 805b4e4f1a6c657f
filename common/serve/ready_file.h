#ifndef NARK_COMMON_SERVE_READY_FILE_H_
#define NARK_COMMON_SERVE_READY_FILE_H_

#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"

namespace nark::serve {

// Says that a server serves, and where: writes {"listen":"127.0.0.1:1234",...} to
// `path`, atomically, where it is not empty, and tells systemd where it waits for that
// (Type=notify). `addresses` are pairs of name and address.
absl::Status AnnounceReady(const std::string& path,
                           const std::vector<std::pair<std::string, std::string>>& addresses);

}  // namespace nark::serve

#endif  // NARK_COMMON_SERVE_READY_FILE_H_
