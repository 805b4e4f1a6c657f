#include "sender/strength.h"

#include <algorithm>
#include <cmath>

#include "common/wire/header.h"

namespace nark::sender {
namespace {

// That more than `most` of `count` are lost.
double MoreLost(uint32_t count, uint32_t most, double loss) {
  double exactly = std::pow(1 - loss, count);  // so many are lost, here none
  double more = 0;
  for (uint32_t lost = 0; lost < count; ++lost) {
    exactly *= loss / (1 - loss) * (count - lost) / (lost + 1);
    if (lost + 1 > most) more += exactly;
  }
  return more;
}

}  // namespace

uint32_t ParityFragments(uint32_t source_fragments, uint32_t percent) {
  return std::min((source_fragments * percent + 99) / 100, wire::kMaxFragments - source_fragments);
}

double DesignLoss(uint32_t percent) { return 0.5 * percent / (100.0 + percent); }

double BlockFailure(const fec::Spread& spread, double loss) {
  double whole = 1;
  for (uint32_t block = 0; block < spread.blocks(); ++block) {
    const uint32_t parity = spread.parity_of(block);
    whole *= 1 - MoreLost(spread.source_of(block) + parity, parity, loss);
  }
  return 1 - whole;
}

double HeaderFailure(uint32_t copies, uint32_t pages, double loss) {
  return 1 - std::pow(1 - std::pow(loss, copies), 1 + pages);
}

uint32_t HeaderCopies(const fec::Spread& spread, uint32_t pages, uint32_t percent) {
  if (percent == 0) return kFewestCopies;
  const double loss = DesignLoss(percent);
  const double block = BlockFailure(spread, loss);
  uint32_t copies = kFewestCopies;
  while (copies < kMostCopies && HeaderFailure(copies, pages, loss) >= block) ++copies;
  return copies;
}

uint32_t WholeCopies(uint32_t percent) {
  return percent == 0 ? 1 : HeaderCopies(fec::Spread(1, 1), 0, percent);
}

}  // namespace nark::sender
