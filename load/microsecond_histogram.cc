#include "load/microsecond_histogram.h"

#include <algorithm>
#include <bit>
#include <cmath>

namespace nark::load {

// Values from 2^(kBits + k) to the double of that, k >= 1, share a bucket by 2^k of them;
// below, bucket and value are one number.
size_t MicrosecondHistogram::BucketOf(uint64_t us) {
  const int shift = std::max(0, static_cast<int>(std::bit_width(us)) - (kBits + 1));
  return (static_cast<size_t>(shift) << kBits) + static_cast<size_t>(us >> shift);
}

uint64_t MicrosecondHistogram::UpperEnd(size_t bucket) {
  constexpr size_t kLinear = size_t{2} << kBits;
  if (bucket < kLinear) return bucket;
  const size_t shift = (bucket >> kBits) - 1;
  const uint64_t top = bucket - (shift << kBits);  // 128 to 255
  return ((top + 1) << shift) - 1;
}

MicrosecondHistogram::MicrosecondHistogram()
    : buckets_(BucketOf(static_cast<uint64_t>(kLongest.count())) + 1) {}

void MicrosecondHistogram::Add(std::chrono::microseconds duration) {
  const auto us =
      static_cast<uint64_t>(std::clamp(duration, std::chrono::microseconds(0), kLongest).count());
  ++buckets_[BucketOf(us)];
  ++count_;
  max_ = std::max(max_, us);
  sum_us_ += us;
}

void MicrosecondHistogram::Merge(const MicrosecondHistogram& other) {
  for (size_t i = 0; i < buckets_.size(); ++i) buckets_[i] += other.buckets_[i];
  count_ += other.count_;
  max_ = std::max(max_, other.max_);
  sum_us_ += other.sum_us_;
}

double MicrosecondHistogram::mean_us() const {
  return count_ == 0 ? 0 : static_cast<double>(sum_us_) / static_cast<double>(count_);
}

std::chrono::microseconds MicrosecondHistogram::Quantile(double part) const {
  if (count_ == 0) return std::chrono::microseconds(0);
  const double wanted = std::ceil(std::clamp(part, 0.0, 1.0) * static_cast<double>(count_));
  const uint64_t rank = std::clamp<uint64_t>(static_cast<uint64_t>(wanted), 1, count_);
  uint64_t seen = 0;
  for (size_t i = 0; i < buckets_.size(); ++i) {
    seen += buckets_[i];
    if (seen >= rank) return std::chrono::microseconds(std::min(UpperEnd(i), max_));
  }
  return max();
}

}  // namespace nark::load
