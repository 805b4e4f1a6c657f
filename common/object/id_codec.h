#ifndef NARK_COMMON_OBJECT_ID_CODEC_H_
#define NARK_COMMON_OBJECT_ID_CODEC_H_

#include <cstddef>

#include "absl/status/statusor.h"
#include "common/base/bytes.h"
#include "common/object/id_set.h"

namespace nark {

// Sets of ADU ids packed for delivery notes (docs/wire.md, "Sets of ADU ids"): Rice-coded gaps, or
// Rice-coded pairs of runs, whichever is smaller. Within 5 % of the entropy of random and of bursty
// loss. One set has just one encoding.

// More ranges than this are not packed: unpacking must stay bounded.
inline constexpr size_t kMaxPackedRanges = 1 << 20;

// More ranges than this, of all its sets together, no note holds: no secure space signs
// it and nobody unpacks it, so that a MiB of note stays bounded in memory.
inline constexpr size_t kMaxNoteRanges = kMaxPackedRanges;

// The shortest a range can be packed is two bits.
inline constexpr size_t kMaxRangesAByte = 4;

// RESOURCE_EXHAUSTED beyond kMaxPackedRanges; INVALID_ARGUMENT for ids of 2^63 and above.
absl::StatusOr<Bytes> PackIds(const IdSet& ids);

// INVALID_ARGUMENT for whatever PackIds does not make; RESOURCE_EXHAUSTED beyond
// `most_ranges`, and no more than those were held.
absl::StatusOr<IdSet> UnpackIds(ByteView packed, size_t most_ranges = kMaxPackedRanges);

}  // namespace nark

#endif  // NARK_COMMON_OBJECT_ID_CODEC_H_
