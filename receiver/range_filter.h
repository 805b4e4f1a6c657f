#ifndef NARK_RECEIVER_RANGE_FILTER_H_
#define NARK_RECEIVER_RANGE_FILTER_H_

#include <cstdint>
#include <optional>
#include <set>
#include <utility>

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
  bool Takes(uint32_t sub_session, const wire::Header& header) {
    if (!beginning_us_) {
      beginning_us_ = header.signed_time_us;
      range_ = range_.CountedFrom(header.signed_time_us);
    }
    if (range_.EndsBefore(header.adu_id, header.signed_time_us)) {
      behind_.insert({sub_session, header.sender_id});
    }
    return range_.Takes(header.adu_id, header.signed_time_us);
  }
  // Whether an ADU behind the end was asked about. Ids and times of a stream only grow.
  bool IsBehind(uint32_t sub_session, uint32_t sender_id) const {
    return behind_.contains({sub_session, sender_id});
  }
  // The signed time of that header, once there was one.
  std::optional<uint64_t> beginning_us() const { return beginning_us_; }

 private:
  net::PlayRange range_;
  std::optional<uint64_t> beginning_us_;
  std::set<std::pair<uint32_t, uint32_t>> behind_;  // sub-session and sender
};

}  // namespace nark::receiver

#endif  // NARK_RECEIVER_RANGE_FILTER_H_
