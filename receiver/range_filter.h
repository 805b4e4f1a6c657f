#ifndef NARK_RECEIVER_RANGE_FILTER_H_
#define NARK_RECEIVER_RANGE_FILTER_H_

#include <cstdint>
#include <optional>

#include "common/net/play_range.h"
#include "common/wire/header.h"

namespace nark::receiver {

// Which ADUs are of the range that is played, as their verified headers say: what has not
// verified moves neither its beginning nor its ends. One thread only.
class RangeFilter {
 public:
  explicit RangeFilter(const net::PlayRange& range) : range_(range) {}

  // Whether this ADU is. Times from the beginning count from the first header that is asked
  // about.
  bool Takes(const wire::Header& header) {
    if (!beginning_us_) {
      beginning_us_ = header.signed_time_us;
      range_ = range_.CountedFrom(header.signed_time_us);
    }
    return range_.Takes(header.adu_id, header.signed_time_us);
  }
  // The signed time of that header, once there was one.
  std::optional<uint64_t> beginning_us() const { return beginning_us_; }

 private:
  net::PlayRange range_;
  std::optional<uint64_t> beginning_us_;
};

}  // namespace nark::receiver

#endif  // NARK_RECEIVER_RANGE_FILTER_H_
