#include "securespace/socket_path.h"

#include <fcntl.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"

namespace nark::securespace {

absl::StatusOr<ShortSocketPath> ShortSocketPath::For(const std::string& path) {
  if (path.size() < sizeof(sockaddr_un::sun_path)) return ShortSocketPath(path, -1);
  size_t slash = path.rfind('/');
  std::string folder = slash == std::string::npos ? "." : path.substr(0, slash + 1);
  std::string name = slash == std::string::npos ? path : path.substr(slash + 1);
  int fd = ::open(folder.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC);
  if (fd < 0) return absl::ErrnoToStatus(errno, absl::StrCat("cannot open ", folder));
  return ShortSocketPath(absl::StrCat("/proc/self/fd/", fd, "/", name), fd);
}

ShortSocketPath::ShortSocketPath(ShortSocketPath&& other) noexcept
    : path_(std::move(other.path_)), folder_(std::exchange(other.folder_, -1)) {}

ShortSocketPath::~ShortSocketPath() {
  if (folder_ >= 0) ::close(folder_);
}

}  // namespace nark::securespace
