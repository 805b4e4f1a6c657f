#include "common/audit/code_length.h"

#include <cmath>
#include <limits>
#include <numbers>

namespace nark::audit {
namespace {

constexpr uint32_t kMostColluders = 1000;

}  // namespace

uint64_t SymbolsFor(uint32_t colluders) {
  if (colluders > kMostColluders) return std::numeric_limits<uint64_t>::max();
  constexpr double kInnocents = 1e6, kRecordings = 1e6, kDeviations = 3;
  const double above = std::sqrt(2 * std::log(kInnocents * kRecordings)) + kDeviations;
  const double root = std::numbers::pi / 2 * colluders * above;
  return static_cast<uint64_t>(std::ceil(root * root));
}

uint32_t ColludersFor(uint64_t symbols) {
  uint32_t colluders = 0;
  while (SymbolsFor(colluders + 1) <= symbols) ++colluders;
  return colluders;
}

}  // namespace nark::audit
