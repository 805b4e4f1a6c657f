#include "common/wire/fragment.h"

#include <algorithm>
#include <utility>

namespace nark::wire {
namespace {

uint32_t CeilDivide(uint32_t dividend, uint32_t divisor) {
  return (dividend + divisor - 1) / divisor;
}

}  // namespace

uint32_t SourceFragments(uint32_t ciphertext_bytes, uint16_t fragment_bytes) {
  return std::max<uint32_t>(1, CeilDivide(ciphertext_bytes, fragment_bytes));
}

ByteView SourceFragment(ByteView ciphertext, uint16_t fragment_bytes, uint32_t index) {
  const size_t begin = size_t{index} * fragment_bytes;
  return ciphertext.subspan(begin, std::min<size_t>(fragment_bytes, ciphertext.size() - begin));
}

HashPages BuildHashPages(std::vector<FragmentHash> fragments, uint16_t fragment_bytes) {
  const auto levels = LevelSizes(static_cast<uint32_t>(fragments.size()), fragment_bytes);
  const size_t page_hashes = fragment_bytes / kFragmentHashBytes;
  HashPages result;
  std::vector<FragmentHash> below = std::move(fragments);
  for (size_t level = 1; level < levels.size(); ++level) {
    std::vector<FragmentHash> above;
    above.reserve(levels[level]);
    for (size_t first = 0; first < below.size(); first += page_hashes) {
      const size_t count = std::min(page_hashes, below.size() - first);
      Bytes page;
      page.reserve(count * kFragmentHashBytes);
      for (size_t i = first; i < first + count; ++i) {
        page.insert(page.end(), below[i].begin(), below[i].end());
      }
      above.push_back(HashFragment(page));
      result.pages.push_back(std::move(page));
    }
    below = std::move(above);
  }
  result.root = std::move(below);
  return result;
}

HashTreeReceiver::HashTreeReceiver(const Header& header)
    : levels_(LevelSizes(uint32_t{header.source_fragments} + header.parity_fragments,
                         header.fragment_bytes)),
      hashes_(levels_.size()),
      page_known_(levels_.size()),
      ciphertext_bytes_(header.ciphertext_bytes),
      source_fragments_(header.source_fragments),
      fragment_bytes_(header.fragment_bytes),
      hashes_per_page_(header.fragment_bytes / kFragmentHashBytes) {
  for (size_t level = 0; level + 1 < levels_.size(); ++level) hashes_[level].resize(levels_[level]);
  hashes_.back() = header.hashes;
  for (size_t level = 1; level < levels_.size(); ++level) {
    page_known_[level].resize(levels_[level]);
    pages_ += levels_[level];
  }
}

PieceCheck HashTreeReceiver::AcceptPage(uint32_t page, ByteView payload) {
  if (payload.empty() || payload.size() != PagePayloadBytes(page)) return PieceCheck::kForged;
  const Place place = PlaceOf(page);
  const PieceCheck check = Compare(place.level, place.position, payload);
  if (check != PieceCheck::kGood || page_known_[place.level][place.position]) return check;
  FragmentHash* to = &hashes_[place.level - 1][size_t{place.position} * hashes_per_page_];
  for (size_t at = 0; at < payload.size(); at += kFragmentHashBytes, ++to) {
    std::copy_n(&payload[at], kFragmentHashBytes, to->begin());
  }
  page_known_[place.level][place.position] = true;
  ++known_pages_;
  return PieceCheck::kGood;
}

PieceCheck HashTreeReceiver::CheckFragment(uint32_t index, ByteView payload) const {
  if (payload.empty() || payload.size() != FragmentPayloadBytes(index)) return PieceCheck::kForged;
  return Compare(0, index, payload);
}

size_t HashTreeReceiver::FragmentPayloadBytes(uint32_t index) const {
  if (index >= fragments()) return 0;
  if (index + 1 != source_fragments_) return fragment_bytes_;
  return ciphertext_bytes_ - size_t{index} * fragment_bytes_;
}

size_t HashTreeReceiver::PagePayloadBytes(uint32_t page) const {
  if (page >= pages_) return 0;
  const Place place = PlaceOf(page);
  const uint32_t below = levels_[place.level - 1];
  const uint32_t first = place.position * hashes_per_page_;
  return kFragmentHashBytes * size_t{std::min(hashes_per_page_, below - first)};
}

HashTreeReceiver::Place HashTreeReceiver::PlaceOf(uint32_t page) const {
  uint32_t level = 1;
  while (page >= levels_[level]) page -= levels_[level++];
  return {level, page};
}

PieceCheck HashTreeReceiver::Compare(uint32_t level, uint32_t position, ByteView payload) const {
  if (!Known(level, position)) return PieceCheck::kUnknownYet;
  return HashFragment(payload) == hashes_[level][position] ? PieceCheck::kGood
                                                           : PieceCheck::kForged;
}

}  // namespace nark::wire
