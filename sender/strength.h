#ifndef NARK_SENDER_STRENGTH_H_
#define NARK_SENDER_STRENGTH_H_

#include <cstdint>

#include "common/fec/spread.h"

namespace nark::sender {

// How much parity an ADU gets, and how often its header goes, so that headers are not
// what breaks first. Without parity a header goes twice, and an ADU of one datagram once.

// Parity fragments beside so many source fragments (1 to 65,535) at `percent` (0 to 100):
// that share of them, rounded up, as far as an ADU may have fragments. Every block then has
// at least one where percent is not 0.
uint32_t ParityFragments(uint32_t source_fragments, uint32_t percent);

// The loss for which headers are made as strong as blocks: half of what the parity could
// make good, percent / (100 + percent) / 2.
double DesignLoss(uint32_t percent);

// That some block of an ADU can not be put together where each fragment is lost with the
// probability `loss`, by itself. Exact.
double BlockFailure(const fec::Spread& spread, double loss);

// That all copies of a header, or of one of `pages` pages of hashes, are lost. Exact.
double HeaderFailure(uint32_t copies, uint32_t pages, double loss);

// How often header and pages go: the least number, of kFewestCopies to kMostCopies, with
// which losing them is less likely at the design loss than losing a block.
inline constexpr uint32_t kFewestCopies = 2;
inline constexpr uint32_t kMostCopies = 6;
uint32_t HeaderCopies(const fec::Spread& spread, uint32_t pages, uint32_t percent);

// How often an ADU that fits one datagram goes: as often as the header of an ADU with one
// source fragment.
uint32_t WholeCopies(uint32_t percent);

}  // namespace nark::sender

#endif  // NARK_SENDER_STRENGTH_H_
