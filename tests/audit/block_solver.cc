#include "tests/audit/block_solver.h"

#include <bit>
#include <utility>

namespace nark::audit {

BlockSolver::BlockSolver(size_t words) : by_pivot_(words) {}

BlockSolver::Equation BlockSolver::EquationOf(const ChosenWords& chosen, uint64_t sum) const {
  Equation equation{std::vector<uint64_t>(by_pivot_.size() / 64), sum};
  for (const uint16_t word : chosen) equation.words[word / 64] ^= uint64_t{1} << word % 64;
  return equation;
}

std::optional<size_t> BlockSolver::Reduce(Equation& equation) const {
  for (size_t at = 0; at < equation.words.size(); ++at) {
    while (equation.words[at] != 0) {
      const size_t first = 64 * at + static_cast<size_t>(std::countr_zero(equation.words[at]));
      const Equation& pivot = by_pivot_[first];
      if (pivot.words.empty()) return first;
      for (size_t i = at; i < equation.words.size(); ++i) equation.words[i] ^= pivot.words[i];
      equation.sum ^= pivot.sum;
    }
  }
  return std::nullopt;
}

std::optional<uint64_t> BlockSolver::Add(const ChosenWords& chosen, uint64_t sum) {
  Equation equation = EquationOf(chosen, sum);
  const std::optional<size_t> pivot = Reduce(equation);
  if (!pivot.has_value()) return equation.sum;
  by_pivot_[*pivot] = std::move(equation);
  ++rank_;
  return std::nullopt;
}

bool BlockSolver::Knows(const ChosenWords& chosen) const {
  Equation equation = EquationOf(chosen, 0);
  return !Reduce(equation).has_value();
}

std::vector<uint64_t> BlockSolver::Solution() const {
  std::vector<uint64_t> block(by_pivot_.size());
  // The words behind the first one of an equation are there already.
  for (size_t pivot = block.size(); pivot-- > 0;) {
    const Equation& equation = by_pivot_[pivot];
    if (equation.words.empty()) continue;
    uint64_t word = equation.sum;
    for (size_t at = pivot / 64; at < equation.words.size(); ++at) {
      for (uint64_t left = equation.words[at]; left != 0; left &= left - 1) {
        word ^= block[64 * at + static_cast<size_t>(std::countr_zero(left))];
      }
    }
    block[pivot] = word;
  }
  return block;
}

}  // namespace nark::audit
