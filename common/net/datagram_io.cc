#include "common/net/datagram_io.h"

#include <vector>

namespace nark::net {

absl::Status DatagramSink::SendGathered(std::span<const GatheredDatagram> datagrams) {
  size_t bytes = 0;
  for (const GatheredDatagram& one : datagrams) bytes += one.size();
  Bytes joined;
  joined.reserve(bytes);  // so that views into it stay valid
  std::vector<ByteView> views;
  views.reserve(datagrams.size());
  for (const GatheredDatagram& one : datagrams) {
    size_t begin = joined.size();
    joined.insert(joined.end(), one.head.begin(), one.head.end());
    joined.insert(joined.end(), one.body.begin(), one.body.end());
    views.push_back(ByteView(joined).subspan(begin));
  }
  return Send(views);
}

}  // namespace nark::net
