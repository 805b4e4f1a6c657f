// Whatever the input and however it is cut and fed: the ADUs joined are the input.

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdlib>

#include "sender/segmenter.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using nark::sender::CutRule;
  if (size < 3) return 0;
  CutRule rule{.kind = static_cast<CutRule::Kind>(data[0] % 3),
               .duration = std::chrono::milliseconds(1 + data[1]),
               .bytes = 1 + size_t{data[1]} * 8};
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
  if (!nark::Equal(joined, input)) std::abort();
  return 0;
}
