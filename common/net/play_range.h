#ifndef NARK_COMMON_NET_PLAY_RANGE_H_
#define NARK_COMMON_NET_PLAY_RANGE_H_

#include <cstdint>
#include <optional>

namespace nark::net {

// What of a recording is played. ADUs are named by their ids or by their senders' signed time;
// where both ends are given they are included. Everything where nothing is set.
struct PlayRange {
  std::optional<uint64_t> from_adu;
  std::optional<uint64_t> to_adu;
  std::optional<uint64_t> from_time_us;
  std::optional<uint64_t> to_time_us;
  // The times above count from the first ADU of what is played, not from the epoch.
  enum class Origin { kEpoch, kBeginning } origin = Origin::kEpoch;

  bool everything() const { return !from_adu && !to_adu && !from_time_us && !to_time_us; }
  // The same range, counted from the epoch, where the first ADU has this signed time.
  PlayRange CountedFrom(uint64_t beginning_us) const;
  // Of a range that counts from the epoch: whether an ADU is in it, and whether it lies
  // behind its end.
  bool Takes(uint64_t adu_id, uint64_t signed_time_us) const;
  bool EndsBefore(uint64_t adu_id, uint64_t signed_time_us) const;
};

}  // namespace nark::net

#endif  // NARK_COMMON_NET_PLAY_RANGE_H_
