#ifndef NARK_TESTS_AUDIT_BLOCK_SOLVER_H_
#define NARK_TESTS_AUDIT_BLOCK_SOLVER_H_

#include <array>
#include <cstdint>
#include <optional>
#include <vector>

#include "common/crypto/chameleon.h"

namespace nark::audit {

// The words of a block that one word of Chameleon's output is the XOR of.
using ChosenWords = std::array<uint16_t, kChameleonWords>;

// The known-plaintext attack on Chameleon: plaintext and ciphertext of a word give the XOR of
// four words of the block, an equation over GF(2) in 64 bits at once. Gaussian elimination.
//
// All equations have an even number of words, so one word XORed into every word of the block
// changes none: the rank is one less than the block's words at the most, and of the blocks
// that remain each decrypts like the right one. One thread only.
class BlockSolver {
 public:
  // Of so many unknown words, a multiple of 64.
  explicit BlockSolver(size_t words);

  // That the XOR of the block's words `chosen` is `sum`. Where the equations before say
  // nothing of it, it is kept, and nothing returned; else the bits that they contradict.
  std::optional<uint64_t> Add(const ChosenWords& chosen, uint64_t sum);

  size_t rank() const { return rank_; }
  // Whether the equations say what the XOR of these words is.
  bool Knows(const ChosenWords& chosen) const;

  // A block that fulfils the equations kept.
  std::vector<uint64_t> Solution() const;

 private:
  struct Equation {
    std::vector<uint64_t> words;  // a bit each; none where there is no equation
    uint64_t sum = 0;
  };

  Equation EquationOf(const ChosenWords& chosen, uint64_t sum) const;
  // Takes pivots out until nothing is left, or a first word that is none's pivot, which it
  // returns.
  std::optional<size_t> Reduce(Equation& equation) const;

  std::vector<Equation> by_pivot_;  // the first word of each
  size_t rank_ = 0;
};

}  // namespace nark::audit

#endif  // NARK_TESTS_AUDIT_BLOCK_SOLVER_H_
