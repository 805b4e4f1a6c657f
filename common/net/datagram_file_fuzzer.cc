// Whatever the file: it is no datagram file, or it plays to its end, from its beginning
// and from an ADU on, and nothing that a datagram file cannot hold comes out.

#include <sys/mman.h>
#include <unistd.h>

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>

#include "common/base/bytes.h"
#include "common/net/datagram_file.h"

namespace {

// Datagrams that came out.
uint64_t Play(const std::string& path, const nark::net::PlayRange& range) {
  auto source = nark::net::OpenDatagramFile(path, range);
  if (!source.ok()) {
    if (source.status().code() != absl::StatusCode::kInvalidArgument) std::abort();
    return 0;
  }
  uint64_t count = 0;
  while (!(*source)->exhausted()) {
    const auto taken = (*source)->Receive(16, [&](nark::ByteView datagram) {
      if (datagram.empty() || datagram.size() > 65507) std::abort();
      ++count;
    });
    if (!taken.ok()) std::abort();
  }
  return count;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const int fd = ::memfd_create("datagrams", MFD_CLOEXEC);
  if (fd < 0 || ::write(fd, data, size) != static_cast<ssize_t>(size)) std::abort();
  const std::string path = "/proc/self/fd/" + std::to_string(fd);
  nark::net::PlayRange range;
  const uint64_t all = Play(path, range);
  range.from_adu = 1;
  if (Play(path, range) > all) std::abort();
  range.from_adu.reset();
  range.from_time_us = 1'000'000;
  range.origin = nark::net::PlayRange::Origin::kBeginning;
  if (Play(path, range) > all) std::abort();
  ::close(fd);
  return 0;
}
