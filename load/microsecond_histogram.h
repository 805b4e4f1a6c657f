#ifndef NARK_LOAD_MICROSECOND_HISTOGRAM_H_
#define NARK_LOAD_MICROSECOND_HISTOGRAM_H_

#include <chrono>
#include <cstdint>
#include <vector>

namespace nark::load {

// Counts durations by the microsecond, log-linearly (the idea of HdrHistogram): exact below
// 256 us, and from there 128 buckets to each doubling, so that a quantile is never below
// the true one and less than 1/128 above it. Constant memory, 26 KiB, however many are
// counted. Durations above an hour count as an hour, negative ones as 0. Thread-compatible.
class MicrosecondHistogram {
 public:
  static constexpr std::chrono::microseconds kLongest = std::chrono::hours(1);
  static constexpr double kRelativeError = 1.0 / 128;

  MicrosecondHistogram();

  void Add(std::chrono::microseconds duration);
  // Everything that the other counted.
  void Merge(const MicrosecondHistogram& other);

  uint64_t count() const { return count_; }
  // 0 where there is none. Exact, like the mean.
  std::chrono::microseconds max() const { return std::chrono::microseconds(max_); }
  double mean_us() const;
  // The least duration that at least this part of all (0 to 1) does not exceed: its
  // bucket's upper end, but never more than max(). 0 where there is none.
  std::chrono::microseconds Quantile(double part) const;

 private:
  static constexpr int kBits = 7;  // 128 buckets a doubling
  static size_t BucketOf(uint64_t us);
  static uint64_t UpperEnd(size_t bucket);

  std::vector<uint64_t> buckets_;
  uint64_t count_ = 0;
  uint64_t max_ = 0;
  uint64_t sum_us_ = 0;
};

}  // namespace nark::load

#endif  // NARK_LOAD_MICROSECOND_HISTOGRAM_H_
