#include "tests/relay/bad_network.h"

#include <algorithm>

#include "common/wire/datagram.h"

namespace nark::bad_network {
namespace {

constexpr size_t kOversized = 9000;
// In a header datagram: prefix, u16 size, then the counts of fragments
// (common/wire/header.h).
constexpr size_t kCountsOffset = wire::kPrefixBytes + 2 + 50;

}  // namespace

bool BadNetwork::Happens(double percent) {
  // Always draws, so that one rate does not shift what the others decide.
  const double drawn = static_cast<double>(random_() >> 11) * 0x1p-53 * 100;
  return drawn < percent;
}

bool BadNetwork::Loses() {
  const double burst = std::max(1.0, impairment_.burst);
  if (burst == 1 || impairment_.loss >= 100) return Happens(impairment_.loss);
  // The shares of time lost and good follow from how often each ends.
  const double end = 100 / burst;
  const double begin = end * impairment_.loss / (100 - impairment_.loss);
  losing_ = losing_ ? !Happens(end) : Happens(begin);
  return losing_;
}

uint64_t BadNetwork::Below(uint64_t limit) { return limit == 0 ? 0 : random_() % limit; }

void BadNetwork::Queue(Bytes datagram, Timestamp now) {
  auto due = now + impairment_.delay;
  if (impairment_.slice) {
    const wire::ParsedDatagram parsed = wire::ParseDatagram(datagram);
    const uint64_t adu = parsed.prefix.adu_id;
    if (parsed.drop == wire::Drop::kNone && adu >= impairment_.slice->first &&
        adu <= impairment_.slice->last) {
      due += impairment_.slice->late;
    }
  }
  const auto jitter = static_cast<uint64_t>(impairment_.jitter.count());
  due += std::chrono::microseconds(Below(jitter + 1));
  if (Happens(impairment_.reorder)) {
    ++counts_.reordered;
    due += std::chrono::microseconds(1 + Below(static_cast<uint64_t>(impairment_.hold.count())));
  }
  queue_.emplace(std::pair(due, order_++), std::move(datagram));
}

Bytes BadNetwork::Damaged(ByteView datagram) {
  Bytes copy = ToBytes(datagram);
  if (Happens(impairment_.corrupt) && !copy.empty()) {
    ++counts_.corrupted;
    const uint64_t flips = 1 + Below(3);
    for (uint64_t i = 0; i < flips; ++i) {
      const uint64_t bit = Below(copy.size() * 8);
      copy[bit / 8] ^= static_cast<uint8_t>(1u << (bit % 8));
    }
  }
  if (Happens(impairment_.truncate)) {
    ++counts_.truncated;
    copy.resize(Below(copy.size()));
  }
  return copy;
}

Bytes BadNetwork::Invented(ByteView like) {
  Bytes made = ToBytes(like);
  const auto at = [&made](size_t offset) -> uint8_t& { return made[offset % made.size()]; };
  const auto random_byte = [this] { return static_cast<uint8_t>(random_()); };
  if (made.empty()) return made;
  switch (Below(8)) {
    case 0:
      return {};
    case 1:
      made.resize(1 + Below(1400));
      std::generate(made.begin(), made.end(), random_byte);
      return made;
    case 2:
      made.resize(kOversized, 0x55);
      return made;
    case 3:  // another version
      at(2) = static_cast<uint8_t>(2 + Below(254));
      return made;
    case 4:  // another session
      at(4 + Below(8)) ^= static_cast<uint8_t>(1 + Below(255));
      return made;
    case 5:  // another kind or sender
      at(Below(2) == 0 ? 3 : 12 + Below(4)) = random_byte();
      return made;
    case 6:  // an ADU far away, or an index that the ADU has not
      at(16 + Below(12)) = random_byte();
      return made;
    default:
      at(kCountsOffset + Below(6)) = random_byte();
      return made;
  }
}

void BadNetwork::Accept(ByteView datagram, Timestamp now) {
  ++counts_.received;
  if (Happens(impairment_.junk)) {
    ++counts_.invented;
    Queue(Invented(datagram), now);
  }
  if (Loses()) {
    ++counts_.lost;
    return;
  }
  Queue(Damaged(datagram), now);
  if (Happens(impairment_.duplicate)) {
    ++counts_.duplicated;
    Queue(Damaged(datagram), now);
  }
}

void BadNetwork::Deliver(Timestamp now, absl::FunctionRef<void(ByteView)> take) {
  while (!queue_.empty() && queue_.begin()->first.first <= now) {
    const auto first = queue_.extract(queue_.begin());
    ++counts_.sent;
    take(first.mapped());
  }
}

std::optional<Timestamp> BadNetwork::NextDue() const {
  if (queue_.empty()) return std::nullopt;
  return queue_.begin()->first.first;
}

}  // namespace nark::bad_network
