// Whatever the input and however it is cut and fed: the ADUs joined are the input, or, where
// it cannot be marked, its begin.

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdlib>

#include "sender/segmenter.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using nark::sender::CutRule;
  using nark::sender::Marking;
  if (size < 3) return 0;
  CutRule rule{.kind = static_cast<CutRule::Kind>((data[0] & 0x7f) % 3),
               .duration = std::chrono::milliseconds(1 + data[1]),
               .bytes = 1 + size_t{data[1]} * 8,
               .marking = data[0] & 0x80 ? Marking::kSamples : Marking::kNone};
  size_t step = 1 + size_t{data[2]} * 16;
  nark::ByteView input(data + 3, size - 3);
  nark::sender::Segmenter segmenter(rule);
  nark::Bytes joined;
  auto drain = [&] {
    while (auto adu = segmenter.Next()) {
      if (adu->bytes.empty() || adu->bytes.size() > nark::sender::Segmenter::kMaxBytes) {
        std::abort();
      }
      if (adu->time.has_value() && adu->time->begin > adu->time->end) std::abort();
      if (adu->samples.has_value() != (rule.marking == Marking::kSamples)) std::abort();
      if (adu->samples.has_value() &&
          (adu->samples->bytes % 2 != 0 || adu->samples->offset > adu->bytes.size() ||
           adu->samples->bytes > adu->bytes.size() - adu->samples->offset)) {
        std::abort();
      }
      joined.insert(joined.end(), adu->bytes.begin(), adu->bytes.end());
    }
  };
  for (nark::ByteView rest = input; !rest.empty();) {
    size_t take = std::min(step, rest.size());
    segmenter.Append(rest.first(take));
    rest = rest.subspan(take);
    drain();
  }
  segmenter.Finish();
  drain();
  if (segmenter.status().ok()
          ? !nark::Equal(joined, input)
          : joined.size() > input.size() || !nark::Equal(joined, input.first(joined.size()))) {
    std::abort();
  }
  return 0;
}
