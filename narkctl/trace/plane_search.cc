#include "narkctl/trace/plane_search.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <utility>
#include <vector>

#include "common/base/status.h"

namespace nark::trace {
namespace {

// Standard deviations by which the first part of a probe must fit to be looked at again.
constexpr double kFirstDeviations = 3.4;
// By which its first half must, to be compared at all: at 32 % agreement beyond chance one
// place in 30,000 is given up so, and five of six others at half the cost.
constexpr double kHalfDeviations = 1;
// By which the whole probe must fit the plane before it is made out which samples are bare;
// fewer of a short one, of which a plain copy has 0.32 times the root of its length.
constexpr double kWholeDeviations = 4.5;
// Searched at a time: of ADUs that follow each other, so that a probe may lie across them.
constexpr size_t kBatchSamples = size_t{1} << 20;

uint64_t WordAt(const BitRow& bits, size_t at) {
  const size_t word = at / 64, shift = at % 64;
  uint64_t value = word < bits.size() ? bits[word] >> shift : 0;
  if (shift != 0 && word + 1 < bits.size()) value |= bits[word + 1] << (64 - shift);
  return value;
}

// A stretch of plane, and where its ADUs begin in it.
struct Batch {
  BitRow bits;
  size_t size = 0;
  std::vector<std::pair<size_t, uint64_t>> begins;  // position, ADU id

  void Append(uint64_t adu_id, const BitRow& plane, size_t samples) {
    begins.emplace_back(size, adu_id);
    bits.resize((size + samples + 63) / 64 + 1);
    for (size_t i = 0; i < samples; i += 64) {
      const size_t left = samples - i;
      const uint64_t word = plane[i / 64] & (left >= 64 ? ~uint64_t{0} : (uint64_t{1} << left) - 1);
      bits[(size + i) / 64] |= word << (size + i) % 64;
      if ((size + i) % 64 != 0) bits[(size + i) / 64 + 1] |= word >> (64 - (size + i) % 64);
    }
    size += samples;
  }
  Place PlaceOf(size_t position) const {
    auto after = std::upper_bound(begins.begin(), begins.end(), std::pair(position, ~uint64_t{0}));
    --after;
    return {after->second, position - after->first};
  }
};

// The first part of a probe at each of the 64 shifts that a place may have in its word.
class ShiftedProbe {
 public:
  ShiftedProbe(const BitRow& bits, size_t at, size_t count)
      : count_(count), words_((count + 63 + 63) / 64) {
    for (size_t shift = 0; shift < 64; ++shift) {
      for (size_t k = 0; k < words_; ++k) {
        uint64_t value = 0, mask = 0;
        for (size_t b = 0; b < 64; ++b) {
          const size_t position = 64 * k + b;
          if (position < shift || position - shift >= count) continue;
          mask |= uint64_t{1} << b;
          if (BitAt(bits, at + position - shift)) value |= uint64_t{1} << b;
        }
        values_.push_back(value);
        masks_.push_back(mask);
      }
    }
  }

  // Positions of the row where the bits agree by so many standard deviations.
  void Find(const BitRow& row, size_t size, double deviations, std::vector<size_t>& found) const {
    const Limits limits = {.half = MostDiffering(count_ / 2, kHalfDeviations),
                           .all = MostDiffering(count_, deviations)};
#if defined(__x86_64__)
    if (__builtin_cpu_supports("popcnt")) return FindFast(row, size, limits, found);
#endif
    Scan(row, size, limits, found);
  }

 private:
  struct Limits {
    uint64_t half, all;  // bits that differ, at most
  };
  static uint64_t MostDiffering(size_t bits, double deviations) {
    const auto count = static_cast<double>(bits);
    return static_cast<uint64_t>(std::max(0.0, (count - deviations * std::sqrt(count)) / 2));
  }
  static inline __attribute__((always_inline)) uint64_t Differing(uint64_t row, uint64_t value,
                                                                  uint64_t mask) {
    return static_cast<uint64_t>(__builtin_popcountll((row ^ value) & mask));
  }
#if defined(__x86_64__)
  __attribute__((target("popcnt"))) void FindFast(const BitRow& row, size_t size,
                                                  const Limits& limits,
                                                  std::vector<size_t>& found) const {
    Scan(row, size, limits, found);
  }
#endif
  // Counts with whatever instructions its caller may use.
  inline __attribute__((always_inline)) void Scan(const BitRow& row, size_t size,
                                                  const Limits& limits,
                                                  std::vector<size_t>& found) const {
    if (size < count_) return;
    const size_t places = size - count_ + 1;
    for (size_t w = 0; w * 64 < places; ++w) {
      const size_t words = std::min(words_, row.size() - w), half = std::min(words, words_ / 2);
      for (size_t shift = 0; shift < 64; ++shift) {
        const uint64_t* values = &values_[shift * words_];
        const uint64_t* masks = &masks_[shift * words_];
        uint64_t differ = 0;
        size_t k = 0;
        for (; k < half; ++k) differ += Differing(row[w + k], values[k], masks[k]);
        if (differ > limits.half) continue;
        for (; k < words; ++k) differ += Differing(row[w + k], values[k], masks[k]);
        if (differ <= limits.all && 64 * w + shift < places) found.push_back(64 * w + shift);
      }
    }
  }

  const size_t count_, words_;
  std::vector<uint64_t> values_, masks_;
};

// What chance alone exceeds once in a thousand searches of so many places.
double DeviationsFor(double places) { return std::sqrt(2 * std::log(1000 * places)); }

}  // namespace

double Agreement::deviations() const {
  return count > 0 ? (2 * same - count) / std::sqrt(count) : 0;
}

Agreement BareAgreement(const AduMarks& marks, size_t sample, const BitRow& bits, size_t at,
                        size_t count) {
  Agreement agreement;
  if (sample >= marks.samples) return agreement;
  count = std::min(count, marks.samples - sample);
  for (size_t i = 0; i < count; i += 64) {
    uint64_t bare = WordAt(marks.bare, sample + i);
    if (count - i < 64) bare &= (uint64_t{1} << (count - i)) - 1;
    const uint64_t differ = WordAt(marks.plane, sample + i) ^ WordAt(bits, at + i);
    agreement.count += std::popcount(bare);
    agreement.same += std::popcount(bare & ~differ);
  }
  return agreement;
}

// The same of all samples, with a stretch of plane.
static Agreement PlaneAgreement(const BitRow& plane, size_t position, const BitRow& bits, size_t at,
                                size_t count) {
  Agreement agreement;
  for (size_t i = 0; i < count; i += 64) {
    const size_t here = std::min<size_t>(64, count - i);
    uint64_t differ = WordAt(plane, position + i) ^ WordAt(bits, at + i);
    if (here < 64) differ &= (uint64_t{1} << here) - 1;
    agreement.count += static_cast<double>(here);
    agreement.same += static_cast<double>(here) - std::popcount(differ);
  }
  return agreement;
}

absl::StatusOr<std::optional<Place>> PlaneSearch::Find(const BitRow& bits, size_t at, size_t end,
                                                       AduRange range, ProbeSize size) {
  const size_t whole = std::min(size.whole, end - at), first = std::min(size.first, whole);
  const ShiftedProbe probe(bits, at, first);
  const auto places =
      static_cast<double>(layout_.BeginOf(range.last + 1) - layout_.BeginOf(range.first));
  const double needed = DeviationsFor(places);
  std::vector<size_t> found;
  uint64_t next = range.first;
  while (next <= range.last) {
    Batch batch;
    // A probe across the end of a batch is found in the next one, which begins with this
    // one's last ADU.
    const uint64_t begin = next > range.first ? next - 1 : next;
    for (next = begin; next <= range.last && (batch.size < kBatchSamples || next < begin + 2);
         ++next) {
      const size_t samples = layout_.SamplesOf(next);
      ASSIGN_OR_RETURN(const BitRow plane, marks_.PlaneOf(next, samples));
      batch.Append(next, plane, samples);
    }
    found.clear();
    probe.Find(batch.bits, batch.size, kFirstDeviations, found);
    std::optional<std::pair<uint64_t, AduMarks>> marks;
    const double least = std::min(kWholeDeviations, 0.2 * std::sqrt(static_cast<double>(whole)));
    for (const size_t position : found) {
      if (PlaneAgreement(batch.bits, position, bits, at, std::min(whole, batch.size - position))
              .deviations() < least) {
        continue;
      }
      const Place place = batch.PlaceOf(position);
      if (!marks.has_value() || marks->first != place.adu_id) {
        ASSIGN_OR_RETURN(AduMarks fresh,
                         marks_.MarksOf(place.adu_id, layout_.SamplesOf(place.adu_id)));
        marks.emplace(place.adu_id, std::move(fresh));
      }
      Agreement agreement = BareAgreement(marks->second, place.sample, bits, at, whole);
      const size_t here = marks->second.samples - place.sample;
      if (here < whole && place.adu_id < range.last) {
        ASSIGN_OR_RETURN(const AduMarks after, marks_.MarksOf(place.adu_id + 1, whole - here));
        const Agreement rest = BareAgreement(after, 0, bits, at + here, whole - here);
        agreement = {agreement.same + rest.same, agreement.count + rest.count};
      }
      if (agreement.deviations() >= needed) return place;
    }
    if (progress_ != nullptr) {
      progress_(static_cast<double>(next - range.first) /
                static_cast<double>(range.last - range.first + 1));
    }
  }
  return std::nullopt;
}

}  // namespace nark::trace
