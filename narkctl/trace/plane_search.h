#ifndef NARK_NARKCTL_TRACE_PLANE_SEARCH_H_
#define NARK_NARKCTL_TRACE_PLANE_SEARCH_H_

#include <cstdint>
#include <functional>
#include <optional>

#include "absl/status/statusor.h"
#include "narkctl/trace/stream_marks.h"

namespace nark::trace {

// Both included.
struct AduRange {
  uint64_t first = 0;
  uint64_t last = 0;
};

// Where in the stream a sample of the recording was found.
struct Place {
  uint64_t adu_id = 0;
  size_t sample = 0;
};

// How many bits are compared at each place, and how many once those fit.
struct ProbeSize {
  size_t first = 512;
  size_t whole = 2048;
};

// How far bits agree: of so many random ones the difference of agreement and disagreement,
// in standard deviations.
struct Agreement {
  double same = 0, count = 0;
  double deviations() const;
};

// The agreement of `count` bits of a recording with an ADU's samples from `sample` on, as
// far as those go, in bare samples alone.
Agreement BareAgreement(const AduMarks& marks, size_t sample, const BitRow& bits, size_t at,
                        size_t count);

// Looks for bits of a recording, from `at` on and before `end`, in the ADUs of a range: the
// first part of a probe against the plane at every place, by XOR and population count, and
// where that fits the whole probe against the samples that bear no mark. Of a plain copy a
// third of the samples are such, so the first part agrees by 0.32 beyond chance (7 standard
// deviations of 512 bits), and the whole probe's bare samples wholly. Only the plane is looked
// at, and which samples bear marks, never a codeword: the search cannot prefer places where an
// innocent's codeword happens to fit. Nothing where no place would be left out by chance alone
// once in a thousand searches.
class PlaneSearch {
 public:
  // `marks` outlives it. `progress` is called now and then with the part of ADUs searched.
  PlaneSearch(StreamMarks& marks, const AduLayout& layout,
              std::function<void(double)> progress = nullptr)
      : marks_(marks), layout_(layout), progress_(std::move(progress)) {}

  absl::StatusOr<std::optional<Place>> Find(const BitRow& bits, size_t at, size_t end,
                                            AduRange range, ProbeSize size);

 private:
  StreamMarks& marks_;
  const AduLayout& layout_;
  std::function<void(double)> progress_;
};

}  // namespace nark::trace

#endif  // NARK_NARKCTL_TRACE_PLANE_SEARCH_H_
