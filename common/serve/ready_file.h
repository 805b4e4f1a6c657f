#ifndef NARK_COMMON_SERVE_READY_FILE_H_
#define NARK_COMMON_SERVE_READY_FILE_H_

#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"

namespace nark::serve {

// Says that a server serves, and where: writes {"listen":"127.0.0.1:1234",...} to
// `path`, atomically. `addresses` are pairs of name and address. Does nothing
// where `path` is empty.
absl::Status WriteReadyFile(const std::string& path,
                            const std::vector<std::pair<std::string, std::string>>& addresses);

}  // namespace nark::serve

#endif  // NARK_COMMON_SERVE_READY_FILE_H_
