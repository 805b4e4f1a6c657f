#include <algorithm>
#include <cstdint>
#include <cstdlib>

#include "securespace/frame.h"
#include "securespace/messages.h"

namespace nark::securespace {
namespace {

// As a connection does, in pieces whose size the first byte says.
void Read(ByteView input) {
  FrameReader reader(1 << 20);
  const size_t piece = input.empty() ? 1 : 1 + input[0];
  while (true) {
    auto frame = reader.Next();
    if (!frame.ok()) return;
    if (frame->has_value()) {
      (void)ParseRelease((*frame)->message);
      (void)ParseOpen((*frame)->message);
      (void)ParseDecisions((*frame)->message);
      (void)ParseStatus(**frame);
      continue;
    }
    if (input.empty()) return;
    MutableByteView room = reader.Room();
    if (room.empty() || reader.buffer_bytes() > (256 << 10) + 2 * input.size()) std::abort();
    const size_t bytes = std::min({piece, input.size(), room.size()});
    std::copy_n(input.begin(), bytes, room.begin());
    reader.Received(bytes);
    input = input.subspan(bytes);
  }
}

}  // namespace
}  // namespace nark::securespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  nark::securespace::Read({data, size});
  (void)nark::securespace::ParseRelease({data, size});
  (void)nark::securespace::ParseOpen({data, size});
  (void)nark::securespace::ParseDecisions({data, size});
  return 0;
}
