#ifndef NARK_COMMON_WIRE_FRAGMENT_H_
#define NARK_COMMON_WIRE_FRAGMENT_H_

#include <cstddef>
#include <cstdint>
#include <vector>

#include "common/base/bytes.h"
#include "common/wire/datagram.h"
#include "common/wire/header.h"

namespace nark::wire {

// How many source fragments a ciphertext makes; at least 1.
uint32_t SourceFragments(uint32_t ciphertext_bytes, uint16_t fragment_bytes);

// The bytes of source fragment `index` (below SourceFragments) of a ciphertext.
ByteView SourceFragment(ByteView ciphertext, uint16_t fragment_bytes, uint32_t index);

// The hashes of an ADU as they travel: the sender's side of HashTreeReceiver.
struct HashPages {
  // Payloads of the kHashes datagrams, by page number. Empty where all hashes
  // fit the header.
  std::vector<Bytes> pages;
  // Header::hashes.
  std::vector<FragmentHash> root;
};

// From the hash of every fragment, source then parity; at least one.
HashPages BuildHashPages(std::vector<FragmentHash> fragments, uint16_t fragment_bytes);

enum class PieceCheck : uint8_t {
  kGood,        // hashes to what the signed header says
  kForged,      // does not, has the wrong size, or an index that the ADU has not
  kUnknownYet,  // the page with its hash has not come; ask again after AcceptPage
};

// Checks the pieces of one ADU against its header, in whatever order they come.
// Bounded: a piece that cannot be judged yet is not kept here. One thread only.
class HashTreeReceiver {
 public:
  // `header` has been parsed and verified, which makes its counts consistent.
  explicit HashTreeReceiver(const Header& header);

  // The payload of a kHashes datagram. On kGood its hashes are known from now
  // on, so pieces that were kUnknownYet may be asked for again; a page that came
  // before is kGood too.
  PieceCheck AcceptPage(uint32_t page, ByteView payload);

  // The payload of a kSource or kParity datagram. Both are numbered through:
  // parity fragment j has the index source_fragments + j.
  PieceCheck CheckFragment(uint32_t index, ByteView payload) const;
  // Whether a fragment of this index, below fragments(), would not be kUnknownYet.
  bool KnowsHash(uint32_t index) const { return Known(0, index); }

  // What each piece's payload must measure; 0 for an index that the ADU has not.
  size_t FragmentPayloadBytes(uint32_t index) const;
  size_t PagePayloadBytes(uint32_t page) const;

  uint32_t fragments() const { return levels_.front(); }  // source and parity
  uint32_t pages() const { return pages_; }               // of all levels
  // Every hash of every fragment is known.
  bool complete() const { return known_pages_ == pages_; }

 private:
  struct Place {
    uint32_t level;     // of the page, at least 1
    uint32_t position;  // on that level
  };
  Place PlaceOf(uint32_t page) const;
  // Whether the hash of a fragment or page is known.
  bool Known(uint32_t level, uint32_t position) const {
    return level + 1 == levels_.size() || page_known_[level + 1][position / hashes_per_page_];
  }
  PieceCheck Compare(uint32_t level, uint32_t position, ByteView payload) const;

  std::vector<uint32_t> levels_;                   // LevelSizes
  std::vector<std::vector<FragmentHash>> hashes_;  // by level, the top one from the header
  std::vector<std::vector<bool>> page_known_;      // by level; [0] is unused
  uint32_t ciphertext_bytes_ = 0;
  uint32_t source_fragments_ = 0;
  uint16_t fragment_bytes_ = 0;
  uint32_t hashes_per_page_ = 0;
  uint32_t pages_ = 0;
  uint32_t known_pages_ = 0;
};

}  // namespace nark::wire

#endif  // NARK_COMMON_WIRE_FRAGMENT_H_
