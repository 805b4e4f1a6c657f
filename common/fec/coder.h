#ifndef NARK_COMMON_FEC_CODER_H_
#define NARK_COMMON_FEC_CODER_H_

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "absl/functional/function_ref.h"
#include "common/base/bytes.h"
#include "common/fec/field.h"
#include "common/fec/spread.h"

namespace nark::fec {

// A parity fragment of a block.
struct ParityFragment {
  uint32_t number = 0;  // within the block
  Bytes bytes;
};

// The Reed-Solomon code of ADUs: systematic, over GF(2^16), with a Cauchy matrix
// (docs/wire.md, FEC). A block with s source fragments is known from any s of its
// fragments. Where a block has at most 256 fragments, all of it stays in GF(2^8).
// Keeps at most 512 KiB and twelve fragments, whatever it is given. One thread only.
class Coder {
 public:
  Coder();

  // Fills `parity`, spread.parity() fragments one behind the other, from `source`,
  // spread.source() fragments likewise, the last one padded with zeros.
  // `fragment_bytes` is even.
  void Encode(const Spread& spread, size_t fragment_bytes, ByteView source, MutableByteView parity);

  // Rebuilds source fragments of one block in their places in `source`, laid out as for
  // Encode: those with the numbers `missing`, from all others of the block, which are
  // there, and from as many parity fragments of it as are missing, with different
  // numbers. The parity's bytes are spent.
  void Repair(const Spread& spread, uint32_t block, size_t fragment_bytes, MutableByteView source,
              std::span<const uint32_t> missing, std::span<ParityFragment> parity);

 private:
  // In which field a block's coefficients lie.
  enum class Width : size_t { kByte = 1, kPair = 2 };
  // A block that is being repaired.
  struct Broken {
    const Spread& spread;
    uint32_t block;
    size_t fragment_bytes;
    MutableByteView source;
    std::span<const uint32_t> missing;
    std::span<ParityFragment> parity;
    // Of the parity fragment in that place.
    uint32_t Point(size_t at) const { return spread.source_of(block) + parity[at].number; }
    uint8_t* Place(uint32_t number) const;
  };
  struct Matrix {
    size_t rows;
    size_t columns;
    absl::FunctionRef<Element(size_t row, size_t column)> at;
  };
  void TakeOutPresent(const Broken& broken);
  void FillInverseFactors(const Broken& broken);
  static Width WidthOf(const Spread& spread, uint32_t block);
  Element Coefficient(uint32_t parity_point, uint32_t source_point) const {
    return inverses_[parity_point ^ source_point];
  }
  // output[row] = the sum of at(row, column) input[column]; rows at a time as they fit.
  void Multiply(const Matrix& matrix, Width width, size_t fragment_bytes,
                std::span<const uint8_t* const> input, std::span<uint8_t* const> output);
  void FillRows(const Matrix& matrix, Width width, size_t first_row, size_t rows);
  // ISA-L's tables of matrix_.
  void FillTables(int columns, int rows);

  // Of all sums of two points of a block.
  std::array<Element, 1024> inverses_{};
  // ISA-L's table of each byte, one behind the other. Empty where its tables of a matrix are
  // not simply those of its coefficients: then it must make them itself, at four times the
  // cost.
  Bytes table_of_byte_;
  // Kept from call to call, so that encoding allocates nothing.
  Bytes matrix_;
  Bytes tables_;
  std::vector<const uint8_t*> input_;
  std::vector<uint8_t*> output_;
  std::vector<uint8_t*> halves_in_;
  std::vector<uint8_t*> halves_out_;
  std::vector<Element> row_factor_;
  std::vector<Element> column_factor_;
  std::vector<uint32_t> present_;
  Bytes sums_;
};

}  // namespace nark::fec

#endif  // NARK_COMMON_FEC_CODER_H_
