#include "sender/paced_sink.h"

#include <vector>

#include "common/base/status.h"

namespace nark::sender {
namespace {

// Sent at a time: a switch and the smallest receive buffers take it.
constexpr size_t kChunkBytes = 32 << 10;
// Waiting for less costs more than it smooths.
constexpr std::chrono::microseconds kLeastWait{500};

}  // namespace

absl::Status PacedSink::Send(std::span<const ByteView> datagrams) {
  std::vector<net::GatheredDatagram> gathered;
  gathered.reserve(datagrams.size());
  for (ByteView datagram : datagrams) gathered.push_back({datagram, {}});
  return SendGathered(gathered);
}

absl::Status PacedSink::SendGathered(std::span<const net::GatheredDatagram> datagrams) {
  if (slot_.length.count() == 0) return sink_.SendGathered(datagrams);
  size_t total = 0;
  for (const net::GatheredDatagram& one : datagrams) total += one.size();
  size_t sent = 0;
  while (!datagrams.empty()) {
    size_t count = 0;
    size_t bytes = 0;
    while (count < datagrams.size() && bytes < kChunkBytes) bytes += datagrams[count++].size();
    auto offset = std::chrono::microseconds(
        static_cast<int64_t>(static_cast<double>(slot_.length.count()) * static_cast<double>(sent) /
                             static_cast<double>(total)));
    Timestamp due = slot_.begin + offset;
    if (due - waiter_.Now() >= kLeastWait) waiter_.Wait(due, -1);
    RETURN_IF_ERROR(sink_.SendGathered(datagrams.first(count)));
    sent += bytes;
    datagrams = datagrams.subspan(count);
  }
  return absl::OkStatus();
}

}  // namespace nark::sender
