#ifndef NARK_COMMON_NET_DESCRIPTOR_H_
#define NARK_COMMON_NET_DESCRIPTOR_H_

#include <unistd.h>

#include <utility>

namespace nark::net {

// An open file descriptor that closes itself. Move-only.
class Descriptor {
 public:
  Descriptor() = default;
  explicit Descriptor(int fd) : fd_(fd) {}
  ~Descriptor() {
    if (fd_ >= 0) ::close(fd_);
  }
  Descriptor(Descriptor&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  Descriptor& operator=(Descriptor&& other) noexcept {
    std::swap(fd_, other.fd_);
    return *this;
  }
  int fd() const { return fd_; }

 private:
  int fd_ = -1;
};

}  // namespace nark::net

#endif  // NARK_COMMON_NET_DESCRIPTOR_H_
