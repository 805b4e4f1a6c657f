#include "tests/harness/capture.h"

#include <poll.h>

#include <algorithm>
#include <memory>
#include <stdexcept>

#include "common/net/datagram_io.h"
#include "common/wire/datagram.h"
#include "tests/harness/process.h"

namespace nark::harness {
namespace {

std::optional<uint64_t> AduOf(ByteView datagram) {
  const wire::ParsedDatagram parsed = wire::ParseDatagram(datagram);
  if (parsed.drop != wire::Drop::kNone) return std::nullopt;
  return parsed.prefix.adu_id;
}

}  // namespace

Capture::Capture(const std::string& uri) : thread_([this, uri] { Listen(uri); }) {
  Eventually([this] { return listening_ || end_; });
  if (!listening_) {
    end_ = true;
    thread_.join();
    throw std::runtime_error("cannot capture " + uri + ": " + error_);
  }
}

Capture::~Capture() {
  end_ = true;
  thread_.join();
}

void Capture::Listen(const std::string& uri) {
  auto address = net::UdpAddress::Parse(uri);
  if (address.ok()) {
    address->receive_buffer_bytes = 64 << 20;
    address->offload = net::Offload::kRefuse;
    auto source = net::OpenUdpSource(*address);
    if (source.ok()) {
      listening_ = true;
      while (!end_) {
        pollfd waiting{(*source)->descriptor(), POLLIN, 0};
        poll(&waiting, 1, 20);
        std::lock_guard lock(mutex_);
        (void)(*source)->Receive(1 << 16, [this](ByteView datagram) {
          datagrams_.push_back(ToBytes(datagram));
          if (const auto adu = AduOf(datagram)) {
            highest_adu_ = std::max(highest_adu_.value_or(0), *adu);
          }
        });
        lost_ = (*source)->lost();
      }
      return;
    }
    error_ = std::string(source.status().message());
  } else {
    error_ = std::string(address.status().message());
  }
  end_ = true;
}

std::vector<Bytes> Capture::datagrams() const {
  std::lock_guard lock(mutex_);
  return datagrams_;
}

size_t Capture::size() const {
  std::lock_guard lock(mutex_);
  return datagrams_.size();
}

std::optional<uint64_t> Capture::HighestAdu() const {
  std::lock_guard lock(mutex_);
  return highest_adu_;
}

std::map<uint64_t, std::set<Bytes>> ByAdu(const std::vector<Bytes>& datagrams) {
  std::map<uint64_t, std::set<Bytes>> adus;
  for (const Bytes& datagram : datagrams) {
    if (const auto adu = AduOf(datagram)) adus[*adu].insert(datagram);
  }
  return adus;
}

std::vector<uint64_t> IntactAdus(const std::vector<Bytes>& sent,
                                 const std::vector<Bytes>& received) {
  const auto have = ByAdu(received);
  std::vector<uint64_t> intact;
  for (const auto& [adu, datagrams] : ByAdu(sent)) {
    const auto found = have.find(adu);
    if (found == have.end()) continue;
    if (std::includes(found->second.begin(), found->second.end(), datagrams.begin(),
                      datagrams.end())) {
      intact.push_back(adu);
    }
  }
  return intact;
}

}  // namespace nark::harness
