#include "common/fec/coder.h"

#include <isa-l/erasure_code.h>
#include <isa-l/gf_vect_mul.h>

#include <algorithm>
#include <cstring>

namespace nark::fec {
namespace {

// Fragments of output computed at a time, in pairs half as many: ISA-L itself takes six
// or four rows in one pass over the input.
constexpr size_t kRows = 12;
// What ISA-L makes of a coefficient.
constexpr size_t kTableBytes = 32;

// to ^= from. Word by word; the sizes are those of fragments.
void AddInto(const uint8_t* from, size_t bytes, uint8_t* to) {
  size_t at = 0;
  for (; at + sizeof(uint64_t) <= bytes; at += sizeof(uint64_t)) {
    uint64_t a = 0, b = 0;
    std::memcpy(&a, from + at, sizeof a);
    std::memcpy(&b, to + at, sizeof b);
    a ^= b;
    std::memcpy(to + at, &a, sizeof a);
  }
  for (; at < bytes; ++at) to[at] ^= from[at];
}

}  // namespace

Coder::Coder() {
  for (Element sum = 1; sum < inverses_.size(); ++sum) inverses_[sum] = Field::Get().Inverse(sum);
  table_of_byte_.resize(256 * kTableBytes);
  for (unsigned byte = 0; byte < 256; ++byte) {
    gf_vect_mul_init(static_cast<uint8_t>(byte), &table_of_byte_[byte * kTableBytes]);
  }
  // So it is in the version at hand; nothing promises it for another.
  matrix_ = {7, 1, 142, 255, 0, 93};
  FillTables(3, 2);
  Bytes theirs(tables_.size());
  ec_init_tables(3, 2, matrix_.data(), theirs.data());
  if (theirs != tables_) table_of_byte_.clear();
}

void Coder::FillTables(int columns, int rows) {
  tables_.resize(kTableBytes * matrix_.size());
  if (table_of_byte_.empty()) {
    ec_init_tables(columns, rows, matrix_.data(), tables_.data());
    return;
  }
  uint8_t* to = tables_.data();
  for (const uint8_t byte : matrix_) {
    std::memcpy(to, &table_of_byte_[byte * kTableBytes], kTableBytes);
    to += kTableBytes;
  }
}

Coder::Width Coder::WidthOf(const Spread& spread, uint32_t block) {
  return spread.source_of(block) + spread.parity_of(block) <= 256 ? Width::kByte : Width::kPair;
}

void Coder::Encode(const Spread& spread, size_t fragment_bytes, ByteView source,
                   MutableByteView parity) {
  for (uint32_t block = 0; block < spread.blocks(); ++block) {
    const uint32_t sources = spread.source_of(block), parities = spread.parity_of(block);
    input_.clear();
    output_.clear();
    for (uint32_t i = 0; i < sources; ++i) {
      input_.push_back(source.data() + spread.IndexOf(block, i) * fragment_bytes);
    }
    for (uint32_t i = 0; i < parities; ++i) {
      output_.push_back(parity.data() + spread.IndexOf(block, i) * fragment_bytes);
    }
    const auto at = [&](size_t row, size_t column) {
      return Coefficient(static_cast<uint32_t>(sources + row), static_cast<uint32_t>(column));
    };
    Multiply({parities, sources, at}, WidthOf(spread, block), fragment_bytes, input_, output_);
  }
}

uint8_t* Coder::Broken::Place(uint32_t number) const {
  return source.data() + spread.IndexOf(block, number) * fragment_bytes;
}

void Coder::Repair(const Spread& spread, uint32_t block, size_t fragment_bytes,
                   MutableByteView source, std::span<const uint32_t> missing,
                   std::span<ParityFragment> parity) {
  const Broken broken{spread, block, fragment_bytes, source, missing, parity};
  TakeOutPresent(broken);
  // What is left of the parity is the missing fragments times a square Cauchy matrix, whose
  // inverse is known: row factor times column factor over the sum of the points.
  FillInverseFactors(broken);
  input_.clear();
  output_.clear();
  for (const ParityFragment& one : parity) input_.push_back(one.bytes.data());
  for (const uint32_t number : missing) output_.push_back(broken.Place(number));
  const Field& field = Field::Get();
  const auto inverse = [&](size_t row, size_t column) {
    return field.Product(field.Product(row_factor_[row], column_factor_[column]),
                         Coefficient(broken.Point(column), missing[row]));
  };
  Multiply({missing.size(), missing.size(), inverse}, WidthOf(spread, block), fragment_bytes,
           input_, output_);
}

// Adds to the parity what the fragments that are there contribute to it.
void Coder::TakeOutPresent(const Broken& broken) {
  const uint32_t sources = broken.spread.source_of(broken.block);
  present_.clear();
  input_.clear();
  std::vector<bool> missing(sources);
  for (const uint32_t number : broken.missing) missing[number] = true;
  for (uint32_t number = 0; number < sources; ++number) {
    if (missing[number]) continue;
    present_.push_back(number);
    input_.push_back(broken.Place(number));
  }
  if (present_.empty()) return;
  const size_t count = broken.parity.size();
  sums_.resize(std::min(kRows, count) * broken.fragment_bytes);
  for (size_t first = 0; first < count; first += kRows) {
    const size_t rows = std::min(kRows, count - first);
    output_.clear();
    for (size_t row = 0; row < rows; ++row) {
      output_.push_back(&sums_[row * broken.fragment_bytes]);
    }
    const auto at = [&](size_t row, size_t column) {
      return Coefficient(broken.Point(first + row), present_[column]);
    };
    Multiply({rows, present_.size(), at}, WidthOf(broken.spread, broken.block),
             broken.fragment_bytes, input_, output_);
    for (size_t row = 0; row < rows; ++row) {
      AddInto(output_[row], broken.fragment_bytes, broken.parity[first + row].bytes.data());
    }
  }
}

void Coder::FillInverseFactors(const Broken& broken) {
  const Field& field = Field::Get();
  const size_t count = broken.missing.size();
  row_factor_.assign(count, 1);
  column_factor_.assign(count, 1);
  const auto sum = [](uint32_t a, uint32_t b) { return static_cast<Element>(a ^ b); };
  for (size_t i = 0; i < count; ++i) {
    Element& row = row_factor_[i];
    Element& column = column_factor_[i];
    for (size_t k = 0; k < count; ++k) {
      row = field.Product(row, sum(broken.missing[i], broken.Point(k)));
      column = field.Product(column, sum(broken.Point(i), broken.missing[k]));
      if (k == i) continue;
      row = field.Product(row, Coefficient(broken.missing[i], broken.missing[k]));
      column = field.Product(column, Coefficient(broken.Point(i), broken.Point(k)));
    }
  }
}

// A pair's first half is the elements' low bytes, its second half the high ones: so an
// element times a constant is two by two coefficients of GF(2^8).
void Coder::FillRows(const Matrix& matrix, Width width, size_t first_row, size_t rows) {
  const Field& field = Field::Get();
  const size_t stride = matrix.columns * static_cast<size_t>(width);
  matrix_.resize(rows * static_cast<size_t>(width) * stride);
  uint8_t* to = matrix_.data();
  for (size_t row = first_row; row < first_row + rows; ++row) {
    for (size_t column = 0; column < matrix.columns; ++column) {
      const Element value = matrix.at(row, column);
      if (width == Width::kByte) {
        to[column] = Low(value);
        continue;
      }
      to[2 * column] = Low(value);
      to[2 * column + 1] = field.ByteProduct(High(value), Field::kConstant);
      to[stride + 2 * column] = High(value);
      to[stride + 2 * column + 1] = static_cast<uint8_t>(Low(value) ^ High(value));
    }
    to += static_cast<size_t>(width) * stride;
  }
}

void Coder::Multiply(const Matrix& matrix, Width width, size_t fragment_bytes,
                     std::span<const uint8_t* const> input, std::span<uint8_t* const> output) {
  const size_t parts = static_cast<size_t>(width);
  const size_t part_bytes = fragment_bytes / parts;
  halves_in_.clear();
  for (const uint8_t* fragment : input) {
    for (size_t part = 0; part < parts; ++part) {
      // ISA-L reads its input only, whatever its prototype says.
      halves_in_.push_back(const_cast<uint8_t*>(fragment) + part * part_bytes);
    }
  }
  const size_t at_once = kRows / parts;
  for (size_t first = 0; first < matrix.rows; first += at_once) {
    const size_t rows = std::min(at_once, matrix.rows - first);
    FillRows(matrix, width, first, rows);
    halves_out_.clear();
    for (size_t row = first; row < first + rows; ++row) {
      for (size_t part = 0; part < parts; ++part) {
        halves_out_.push_back(output[row] + part * part_bytes);
      }
    }
    if (halves_in_.empty()) {
      for (uint8_t* half : halves_out_) std::memset(half, 0, part_bytes);
      continue;
    }
    const int columns = static_cast<int>(halves_in_.size());
    const int out_rows = static_cast<int>(halves_out_.size());
    FillTables(columns, out_rows);
    ec_encode_data(static_cast<int>(part_bytes), columns, out_rows, tables_.data(),
                   halves_in_.data(), halves_out_.data());
  }
}

}  // namespace nark::fec
