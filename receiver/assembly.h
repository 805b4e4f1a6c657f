#ifndef NARK_RECEIVER_ASSEMBLY_H_
#define NARK_RECEIVER_ASSEMBLY_H_

#include <cstdint>
#include <vector>

#include "common/base/bytes.h"
#include "common/fec/coder.h"
#include "common/wire/fragment.h"
#include "common/wire/header.h"
#include "receiver/reassembler.h"

namespace nark::receiver {

// One ADU whose header has verified, while its fragments come in. Every fragment
// is checked before it is kept, and every fragment that parity gave before it counts.
// One thread only.
class Assembly {
 public:
  // What a piece was. kSpare is parity of a block that needs none any more.
  enum class Taken : uint8_t { kUsed, kForged, kIndex, kDuplicate, kUnknownYet, kSpare };

  // `signed_header` is what `parsed` views; it is copied. `coder` must outlive it.
  Assembly(const wire::ParsedHeader& parsed, ByteView signed_header, fec::Coder& coder);

  // The most memory that an ADU with this header takes.
  static size_t MemoryFor(const wire::Header& header, size_t signed_header_bytes);

  // After kUsed, fragments in the range that PageCovers names may be tried again
  // and, where it names none, other pages.
  Taken AddPage(uint32_t page, ByteView payload);
  Taken AddSource(uint32_t index, ByteView payload);
  // `index` as on the wire: the first parity fragment comes behind the source.
  Taken AddParity(uint32_t index, ByteView payload);

  struct Range {
    uint32_t first = 0;
    uint32_t end = 0;
  };
  // The fragments whose hashes stand in this page; empty for pages of pages.
  Range PageCovers(uint32_t page) const;

  const wire::Header& header() const { return adu_.header; }
  bool complete() const { return missing_ == 0; }
  // Source fragments that came out of parity.
  uint32_t repaired() const { return repaired_; }
  // Parity that is signed and yet contradicts the source: its sender's defect.
  bool parity_is_wrong() const { return parity_is_wrong_; }
  // Once, when complete.
  CompleteAdu Take();

 private:
  struct Block {
    uint32_t missing = 0;                     // source fragments
    std::vector<fec::ParityFragment> parity;  // at most as many as were missing
    bool parity_is_wrong = false;
  };

  Block& BlockOf(uint32_t index) { return blocks_[spread_.BlockOf(index)]; }
  void Got(uint32_t source_index);
  // Rebuilds what a block misses once that can be done and checked.
  void Repair(uint32_t block);
  std::vector<uint32_t> Missing(uint32_t block) const;

  CompleteAdu adu_;
  fec::Coder& coder_;
  fec::Spread spread_;
  wire::HashTreeReceiver tree_;
  std::vector<bool> have_source_;
  std::vector<bool> have_parity_;
  std::vector<bool> have_page_;
  std::vector<Block> blocks_;
  uint32_t missing_;
  uint32_t repaired_ = 0;
  bool parity_is_wrong_ = false;
};

}  // namespace nark::receiver

#endif  // NARK_RECEIVER_ASSEMBLY_H_
