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

// RESOURCE_EXHAUSTED beyond kMaxPackedRanges; INVALID_ARGUMENT for ids of 2^63 and above.
absl::StatusOr<Bytes> PackIds(const IdSet& ids);

// INVALID_ARGUMENT for whatever PackIds does not make.
absl::StatusOr<IdSet> UnpackIds(ByteView packed);

}  // namespace nark

#endif  // NARK_COMMON_OBJECT_ID_CODEC_H_
