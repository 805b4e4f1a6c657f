#ifndef NARK_NARKCTL_TRACE_LSB_ALIGNMENT_H_
#define NARK_NARKCTL_TRACE_LSB_ALIGNMENT_H_

#include <cstdint>
#include <functional>
#include <vector>

#include "absl/status/statusor.h"
#include "narkctl/trace/plane_search.h"
#include "narkctl/trace/stream_marks.h"

namespace nark::trace {

// Samples of a recording that are samples of one ADU, one after the other. In samples of all
// channels.
struct Piece {
  size_t at = 0;     // in the recording
  size_t count = 0;  // of samples
  Place place;       // of the first one
};

// kThorough looks more closely, which takes longer, where the first look finds nothing: at bits
// of which three in eight are wrong.
enum class Effort : uint8_t { kQuick, kThorough };

struct AlignmentSettings {
  AduRange range;
  Effort effort = Effort::kThorough;
  // Called now and then; `part` of the current search.
  std::function<void(size_t at, double part)> progress;
};

// Finds where in a stream the pieces of a recording are, by its least significant bits alone:
// cut anywhere, put together from anywhere, with foreign sound between. In the order of the
// recording; empty where nothing is found.
absl::StatusOr<std::vector<Piece>> AlignByLsb(StreamMarks& marks, const AduLayout& layout,
                                              const BitRow& bits, size_t samples,
                                              const AlignmentSettings& settings);

}  // namespace nark::trace

#endif  // NARK_NARKCTL_TRACE_LSB_ALIGNMENT_H_
