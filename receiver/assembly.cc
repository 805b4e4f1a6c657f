#include "receiver/assembly.h"

#include <algorithm>
#include <cstring>

namespace nark::receiver {

Assembly::Assembly(const wire::ParsedHeader& parsed, ByteView signed_header)
    : tree_(parsed.header),
      have_source_(parsed.header.source_fragments),
      have_page_(tree_.pages()),
      missing_(parsed.header.source_fragments) {
  adu_.header = parsed.header;
  adu_.signed_header = ToBytes(signed_header);
  adu_.ciphertext.resize(parsed.header.ciphertext_bytes);
}

size_t Assembly::MemoryFor(const wire::Header& header, size_t signed_header_bytes) {
  constexpr size_t kOverhead = 1024;
  const size_t fragments = size_t{header.source_fragments} + header.parity_fragments;
  return kOverhead + 2 * signed_header_bytes + header.ciphertext_bytes +
         fragments * wire::kFragmentHashBytes * 2;
}

Assembly::Taken Assembly::AddPage(uint32_t page, ByteView payload) {
  if (page >= have_page_.size()) return Taken::kIndex;
  if (have_page_[page]) return Taken::kDuplicate;
  switch (tree_.AcceptPage(page, payload)) {
    case wire::PieceCheck::kForged:
      return Taken::kForged;
    case wire::PieceCheck::kUnknownYet:
      return Taken::kUnknownYet;
    case wire::PieceCheck::kGood:
      break;
  }
  have_page_[page] = true;
  return Taken::kUsed;
}

Assembly::Taken Assembly::AddSource(uint32_t index, ByteView payload) {
  if (index >= have_source_.size()) return Taken::kIndex;
  if (have_source_[index]) return Taken::kDuplicate;
  switch (tree_.CheckFragment(index, payload)) {
    case wire::PieceCheck::kForged:
      return Taken::kForged;
    case wire::PieceCheck::kUnknownYet:
      return Taken::kUnknownYet;
    case wire::PieceCheck::kGood:
      break;
  }
  const size_t offset = size_t{index} * adu_.header.fragment_bytes;
  if (!payload.empty())
    std::memcpy(adu_.ciphertext.data() + offset, payload.data(), payload.size());
  have_source_[index] = true;
  --missing_;
  return Taken::kUsed;
}

Assembly::Range Assembly::PageCovers(uint32_t page) const {
  const uint64_t per_page = adu_.header.fragment_bytes / wire::kFragmentHashBytes;
  const uint64_t first = page * per_page;
  if (first >= tree_.fragments()) return {};
  const uint64_t end = std::min<uint64_t>(first + per_page, tree_.fragments());
  return {static_cast<uint32_t>(first), static_cast<uint32_t>(end)};
}

}  // namespace nark::receiver
