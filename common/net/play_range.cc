#include "common/net/play_range.h"

#include <algorithm>

namespace nark::net {

PlayRange PlayRange::CountedFrom(uint64_t beginning_us) const {
  PlayRange range = *this;
  if (origin == Origin::kEpoch) return range;
  range.origin = Origin::kEpoch;
  for (std::optional<uint64_t>* time : {&range.from_time_us, &range.to_time_us}) {
    if (*time) **time += std::min(beginning_us, UINT64_MAX - **time);
  }
  return range;
}

bool PlayRange::Takes(uint64_t adu_id, uint64_t signed_time_us) const {
  return adu_id >= from_adu.value_or(0) && signed_time_us >= from_time_us.value_or(0) &&
         !EndsBefore(adu_id, signed_time_us);
}

bool PlayRange::EndsBefore(uint64_t adu_id, uint64_t signed_time_us) const {
  return adu_id > to_adu.value_or(UINT64_MAX) || signed_time_us > to_time_us.value_or(UINT64_MAX);
}

}  // namespace nark::net
