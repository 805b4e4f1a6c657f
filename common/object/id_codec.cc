#include "common/object/id_codec.h"

#include <algorithm>
#include <cstdint>
#include <limits>
#include <utility>
#include <vector>

#include "common/base/status.h"

// docs/wire.md, "Sets of ADU ids":
//
//   empty: u8 0
//   gaps:  u8 1 || varint first || varint last || varint n || u8 k || bits
//          for each of the n ids that are missing between first and last:
//          rice(k, ids present since the one before)
//   runs:  u8 2 || varint first || varint last || varint n || u8 k || u8 m || bits
//          for each of the n runs that are missing between first and last:
//          rice(k, ids present before it - 1) || rice(m, ids missing - 1)
namespace nark {
namespace {

enum Form : uint8_t { kEmpty = 0, kGaps = 1, kRuns = 2 };

constexpr unsigned kMaxParameter = 62;

absl::Status NotPacked() { return absl::InvalidArgumentError("this is no packed set of ADU ids"); }

// ids present and then missing, between first and last.
struct Hole {
  uint64_t present = 0;
  uint64_t missing = 0;
};

std::vector<Hole> HolesOf(const IdSet& ids) {
  std::vector<Hole> holes;
  holes.reserve(ids.ranges().size());
  for (auto range = ids.ranges().begin(); range != ids.ranges().end();) {
    Hole hole{.present = range->second - range->first + 1, .missing = 0};
    const uint64_t last = range->second;
    if (++range == ids.ranges().end()) break;
    hole.missing = range->first - last - 1;
    holes.push_back(hole);
  }
  return holes;
}

// What the Rice code of some numbers costs, parameter by parameter.
class RiceCost {
 public:
  void Add(uint64_t value, uint64_t times = 1) {
    count_ = Plus(count_, times);
    for (unsigned k = 0; k <= kMaxParameter; ++k) {
      const uint64_t quotient = value >> k;
      if (quotient == 0) break;
      quotients_[k] = Plus(quotients_[k], Times(quotient, times));
    }
  }
  uint64_t Bits(unsigned k) const { return Plus(quotients_[k], Times(count_, k + 1)); }
  // The cheapest parameter, the least of equals.
  unsigned Best() const {
    unsigned best = 0;
    for (unsigned k = 1; k <= kMaxParameter; ++k) {
      if (Bits(k) < Bits(best)) best = k;
    }
    return best;
  }
  uint64_t BestBits() const { return Bits(Best()); }

 private:
  // What is too much to count is too much to write.
  static uint64_t Plus(uint64_t a, uint64_t b) {
    uint64_t sum = 0;
    return __builtin_add_overflow(a, b, &sum) ? std::numeric_limits<uint64_t>::max() : sum;
  }
  static uint64_t Times(uint64_t a, uint64_t b) {
    uint64_t product = 0;
    return __builtin_mul_overflow(a, b, &product) ? std::numeric_limits<uint64_t>::max() : product;
  }

  uint64_t count_ = 0;
  uint64_t quotients_[kMaxParameter + 1] = {};
};

void PutVarint(Bytes& to, uint64_t value) {
  for (; value >= 0x80; value >>= 7) to.push_back(static_cast<uint8_t>(value | 0x80));
  to.push_back(static_cast<uint8_t>(value));
}

class BitWriter {
 public:
  explicit BitWriter(Bytes& to) : to_(to) {}
  void Rice(unsigned k, uint64_t value) {
    uint64_t quotient = value >> k;
    for (; quotient >= 32; quotient -= 32) Put(0xffffffff, 32);
    // The ones that are left, and the zero.
    Put((uint64_t{1} << (quotient + 1)) - 2, static_cast<unsigned>(quotient) + 1);
    Put(value, k);
  }

 private:
  // The low `count` bits, the most significant first.
  void Put(uint64_t bits, unsigned count) {
    while (count > 0) {
      if (used_ == 0) to_.push_back(0);
      const unsigned now = std::min(count, 8 - used_);
      const auto part = static_cast<unsigned>(bits >> (count - now)) & ((1u << now) - 1);
      to_.back() = static_cast<uint8_t>(to_.back() | part << (8 - used_ - now));
      used_ = (used_ + now) % 8;
      count -= now;
    }
  }
  Bytes& to_;
  unsigned used_ = 0;
};

// Reads what is there; ok() turns false at the first defect and stays so.
class PackedReader {
 public:
  explicit PackedReader(ByteView from) : from_(from) {}
  bool ok() const { return ok_; }

  uint8_t Byte() {
    if (at_ == from_.size()) ok_ = false;
    return ok_ ? from_[at_++] : 0;
  }
  uint64_t Varint() {
    uint64_t value = 0;
    for (unsigned shift = 0; shift < 63; shift += 7) {
      const uint8_t byte = Byte();
      value |= uint64_t{byte & 0x7fu} << shift;
      if (byte < 0x80) return value;
    }
    ok_ = false;
    return 0;
  }
  uint64_t Rice(unsigned k) {
    uint64_t quotient = 0;
    while (ok_ && Bit() == 1) ++quotient;
    uint64_t value = quotient;
    if (k > 0 && quotient >> (63 - k) != 0) ok_ = false;
    for (unsigned i = 0; i < k; ++i) value = value << 1 | Bit();
    return ok_ ? value : 0;
  }

 private:
  unsigned Bit() {
    if (at_ == from_.size()) ok_ = false;
    if (!ok_) return 0;
    const unsigned bit = from_[at_] >> (7 - used_) & 1;
    if (++used_ == 8) {
      used_ = 0;
      ++at_;
    }
    return bit;
  }
  ByteView from_;
  size_t at_ = 0;
  unsigned used_ = 0;  // bits of from_[at_]
  bool ok_ = true;
};

// Puts ids back together.
class Rebuilt {
 public:
  Rebuilt(uint64_t first, uint64_t last) : next_(first), last_(last) {}
  size_t ranges() const { return ids_.ranges().size(); }
  // False where that does not fit before `last`.
  bool Add(uint64_t present, uint64_t missing) {
    if (present > last_ - next_ || missing > last_ - next_ - present) return false;
    if (present > 0) ids_.Insert(next_, next_ + present - 1);
    next_ += present + missing;
    return true;
  }
  IdSet Finish() {
    ids_.Insert(next_, last_);
    return std::move(ids_);
  }

 private:
  IdSet ids_;
  uint64_t next_;
  uint64_t last_;
};

absl::Status TooMany() {
  return absl::ResourceExhaustedError("a set of ADU ids has too many gaps to be unpacked");
}

absl::StatusOr<IdSet> Unpack(ByteView packed, size_t most_ranges) {
  PackedReader from(packed);
  const uint8_t form = from.Byte();
  if (form == kEmpty && from.ok()) return IdSet();
  if (form != kGaps && form != kRuns) return NotPacked();
  const uint64_t first = from.Varint();
  const uint64_t last = from.Varint();
  const uint64_t count = from.Varint();
  const unsigned k = from.Byte();
  const unsigned m = form == kRuns ? from.Byte() : 0;
  if (!from.ok() || first > last || count > kMaxPackedRanges || k > kMaxParameter ||
      m > kMaxParameter) {
    return NotPacked();
  }
  Rebuilt ids(first, last);
  for (uint64_t i = 0; i < count; ++i) {
    const uint64_t present = from.Rice(k) + (form == kRuns ? 1 : 0);
    const uint64_t missing = form == kRuns ? from.Rice(m) + 1 : 1;
    if (!from.ok() || !ids.Add(present, missing)) return NotPacked();
    // The last range is still to come.
    if (ids.ranges() >= most_ranges) return TooMany();
  }
  if (most_ranges == 0) return TooMany();
  return ids.Finish();
}

}  // namespace

absl::StatusOr<Bytes> PackIds(const IdSet& ids) {
  if (ids.empty()) return Bytes{kEmpty};
  const uint64_t first = ids.ranges().begin()->first;
  const uint64_t last = ids.ranges().rbegin()->second;
  if (last >> 63 != 0) return absl::InvalidArgumentError("an ADU id is beyond 2^63");
  if (ids.ranges().size() > kMaxPackedRanges) {
    return absl::ResourceExhaustedError("a set of ADU ids has too many gaps to be packed");
  }
  const std::vector<Hole> holes = HolesOf(ids);
  RiceCost gaps, present, missing;
  uint64_t missing_ids = 0;
  for (const Hole& hole : holes) {
    gaps.Add(hole.present);
    gaps.Add(0, hole.missing - 1);
    missing_ids += hole.missing;
    present.Add(hole.present - 1);
    missing.Add(hole.missing - 1);
  }
  Bytes packed;
  const unsigned gap_k = gaps.Best(), run_k = present.Best(), run_m = missing.Best();
  const bool by_gaps = missing_ids <= kMaxPackedRanges &&
                       gaps.Bits(gap_k) <= present.Bits(run_k) + missing.Bits(run_m);
  packed.push_back(by_gaps ? kGaps : kRuns);
  PutVarint(packed, first);
  PutVarint(packed, last);
  PutVarint(packed, by_gaps ? missing_ids : holes.size());
  packed.push_back(static_cast<uint8_t>(by_gaps ? gap_k : run_k));
  if (!by_gaps) packed.push_back(static_cast<uint8_t>(run_m));
  BitWriter bits(packed);
  for (const Hole& hole : holes) {
    if (!by_gaps) {
      bits.Rice(run_k, hole.present - 1);
      bits.Rice(run_m, hole.missing - 1);
      continue;
    }
    bits.Rice(gap_k, hole.present);
    for (uint64_t i = 1; i < hole.missing; ++i) bits.Rice(gap_k, 0);
  }
  return packed;
}

absl::StatusOr<IdSet> UnpackIds(ByteView packed, size_t most_ranges) {
  ASSIGN_OR_RETURN(IdSet ids, Unpack(packed, most_ranges));
  // One set, one encoding: what else would unpack to it is refused.
  absl::StatusOr<Bytes> again = PackIds(ids);
  if (!again.ok() || !Equal(*again, packed)) return NotPacked();
  return ids;
}

}  // namespace nark
