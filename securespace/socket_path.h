#ifndef NARK_SECURESPACE_SOCKET_PATH_H_
#define NARK_SECURESPACE_SOCKET_PATH_H_

#include <string>

#include "absl/status/statusor.h"

namespace nark::securespace {

// A Unix socket's path as bind(2) and connect(2) take it, however long it is: they
// take 107 bytes, folders may be deeper. A long one goes by way of its open folder,
// so the object must live as long as the path is used. Thread-compatible.
class ShortSocketPath {
 public:
  // NOT_FOUND and the like where a long path's folder cannot be opened.
  static absl::StatusOr<ShortSocketPath> For(const std::string& path);
  ~ShortSocketPath();
  ShortSocketPath(ShortSocketPath&& other) noexcept;
  ShortSocketPath& operator=(ShortSocketPath&&) = delete;

  const std::string& path() const { return path_; }

 private:
  ShortSocketPath(std::string path, int folder) : path_(std::move(path)), folder_(folder) {}
  std::string path_;
  int folder_;  // -1 for a path that is short as it is
};

}  // namespace nark::securespace

#endif  // NARK_SECURESPACE_SOCKET_PATH_H_
