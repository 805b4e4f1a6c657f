#ifndef NARK_RECEIVER_ASSEMBLY_H_
#define NARK_RECEIVER_ASSEMBLY_H_

#include <cstdint>
#include <vector>

#include "common/base/bytes.h"
#include "common/wire/fragment.h"
#include "common/wire/header.h"
#include "receiver/reassembler.h"

namespace nark::receiver {

// One ADU whose header has verified, while its fragments come in. Every fragment
// is checked before it is kept. One thread only.
class Assembly {
 public:
  // What a piece was.
  enum class Taken : uint8_t { kUsed, kForged, kIndex, kDuplicate, kUnknownYet };

  // `signed_header` is what `parsed` views; it is copied.
  Assembly(const wire::ParsedHeader& parsed, ByteView signed_header);

  // Memory that an ADU with this header takes.
  static size_t MemoryFor(const wire::Header& header, size_t signed_header_bytes);

  // After kUsed, fragments in the range that PageCovers names may be tried again
  // and, where it names none, other pages.
  Taken AddPage(uint32_t page, ByteView payload);
  Taken AddSource(uint32_t index, ByteView payload);

  struct Range {
    uint32_t first = 0;
    uint32_t end = 0;
  };
  // The fragments whose hashes stand in this page; empty for pages of pages.
  Range PageCovers(uint32_t page) const;

  const wire::Header& header() const { return adu_.header; }
  bool complete() const { return missing_ == 0; }
  // Once, when complete.
  CompleteAdu Take() { return std::move(adu_); }

 private:
  CompleteAdu adu_;
  wire::HashTreeReceiver tree_;
  std::vector<bool> have_source_;
  std::vector<bool> have_page_;
  uint32_t missing_;
};

}  // namespace nark::receiver

#endif  // NARK_RECEIVER_ASSEMBLY_H_
