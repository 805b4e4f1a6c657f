#ifndef NARK_COMMON_NET_DATAGRAM_INDEX_H_
#define NARK_COMMON_NET_DATAGRAM_INDEX_H_

#include <cstdint>
#include <optional>

#include "common/net/play_range.h"

namespace nark::net {

// By the index of a datagram file, open for reading in any order, where to begin so that
// nothing of `range` is left out; of a range counted from the epoch. What it says is
// compared with what stands there: nothing where it is missing, damaged, wrong, or not worth
// the comparing.
std::optional<uint64_t> LookUpStart(int fd, uint64_t file_bytes, const PlayRange& range);

}  // namespace nark::net

#endif  // NARK_COMMON_NET_DATAGRAM_INDEX_H_
