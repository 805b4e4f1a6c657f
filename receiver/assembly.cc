#include "receiver/assembly.h"

#include <algorithm>
#include <cstring>
#include <span>
#include <utility>

namespace nark::receiver {

Assembly::Assembly(const wire::ParsedHeader& parsed, ByteView signed_header, fec::Coder& coder)
    : coder_(coder),
      spread_(parsed.header.source_fragments, parsed.header.parity_fragments),
      tree_(parsed.header),
      have_source_(parsed.header.source_fragments),
      have_parity_(parsed.header.parity_fragments),
      have_page_(tree_.pages()),
      blocks_(spread_.blocks()),
      missing_(parsed.header.source_fragments) {
  adu_.header = parsed.header;
  adu_.signed_header = ToBytes(signed_header);
  // Parity is over whole fragments: the last one counts as padded.
  adu_.ciphertext.resize(spread_.parity() == 0
                             ? parsed.header.ciphertext_bytes
                             : size_t{spread_.source()} * parsed.header.fragment_bytes);
  for (uint32_t block = 0; block < blocks_.size(); ++block) {
    blocks_[block].missing = spread_.source_of(block);
  }
}

size_t Assembly::MemoryFor(const wire::Header& header, size_t signed_header_bytes) {
  constexpr size_t kOverhead = 1024;
  constexpr size_t kParityOverhead = 64;
  const size_t fragments = size_t{header.source_fragments} + header.parity_fragments;
  const size_t kept_parity = std::min(header.source_fragments, header.parity_fragments);
  return kOverhead + 2 * signed_header_bytes + header.ciphertext_bytes +
         (header.parity_fragments > 0 ? header.fragment_bytes : 0) +
         kept_parity * (header.fragment_bytes + kParityOverhead) +
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
  for (uint32_t block = 0; block < blocks_.size(); ++block) Repair(block);
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
  Got(index);
  Repair(spread_.BlockOf(index));
  return Taken::kUsed;
}

Assembly::Taken Assembly::AddParity(uint32_t index, ByteView payload) {
  if (index < spread_.source() || index - spread_.source() >= spread_.parity()) {
    return Taken::kIndex;
  }
  const uint32_t parity_index = index - spread_.source();
  if (have_parity_[parity_index]) return Taken::kDuplicate;
  Block& block = BlockOf(parity_index);
  if (block.parity_is_wrong || block.parity.size() >= block.missing) return Taken::kSpare;
  switch (tree_.CheckFragment(index, payload)) {
    case wire::PieceCheck::kForged:
      return Taken::kForged;
    case wire::PieceCheck::kUnknownYet:
      return Taken::kUnknownYet;
    case wire::PieceCheck::kGood:
      break;
  }
  block.parity.push_back({spread_.NumberOf(parity_index), ToBytes(payload)});
  have_parity_[parity_index] = true;
  Repair(spread_.BlockOf(parity_index));
  return Taken::kUsed;
}

void Assembly::Got(uint32_t source_index) {
  have_source_[source_index] = true;
  --missing_;
  --BlockOf(source_index).missing;
}

std::vector<uint32_t> Assembly::Missing(uint32_t block) const {
  std::vector<uint32_t> numbers;
  for (uint32_t number = 0; number < spread_.source_of(block); ++number) {
    if (!have_source_[spread_.IndexOf(block, number)]) numbers.push_back(number);
  }
  return numbers;
}

void Assembly::Repair(uint32_t block_index) {
  Block& block = blocks_[block_index];
  if (block.missing == 0) block.parity = {};
  if (block.parity.empty() || block.parity.size() < block.missing) return;
  const std::vector<uint32_t> missing = Missing(block_index);
  for (const uint32_t number : missing) {
    // Not before the page with its hash has come: nothing unchecked may complete an ADU.
    if (!tree_.KnowsHash(spread_.IndexOf(block_index, number))) return;
  }
  coder_.Repair(spread_, block_index, adu_.header.fragment_bytes, adu_.ciphertext, missing,
                std::span(block.parity).first(missing.size()));
  block.parity = {};
  for (const uint32_t number : missing) {
    const uint32_t index = spread_.IndexOf(block_index, number);
    const ByteView rebuilt =
        ByteView(adu_.ciphertext)
            .subspan(size_t{index} * adu_.header.fragment_bytes, tree_.FragmentPayloadBytes(index));
    if (tree_.CheckFragment(index, rebuilt) == wire::PieceCheck::kGood) {
      Got(index);
      ++repaired_;
    } else {
      block.parity_is_wrong = parity_is_wrong_ = true;
    }
  }
}

Assembly::Range Assembly::PageCovers(uint32_t page) const {
  const uint64_t per_page = adu_.header.fragment_bytes / wire::kFragmentHashBytes;
  const uint64_t first = page * per_page;
  if (first >= tree_.fragments()) return {};
  const uint64_t end = std::min<uint64_t>(first + per_page, tree_.fragments());
  return {static_cast<uint32_t>(first), static_cast<uint32_t>(end)};
}

CompleteAdu Assembly::Take() {
  adu_.ciphertext.resize(adu_.header.ciphertext_bytes);
  return std::move(adu_);
}

}  // namespace nark::receiver
