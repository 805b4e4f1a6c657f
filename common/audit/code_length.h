#ifndef NARK_COMMON_AUDIT_CODE_LENGTH_H_
#define NARK_COMMON_AUDIT_CODE_LENGTH_H_

#include <cstdint>

namespace nark::audit {

// How many symbols find one of so many colluders among a million receivers, all others
// innocent, in a recording that shows every symbol: those by which the score that a
// colluder expects, 2 / (pi * colluders) a symbol, is three standard deviations above a
// threshold that some innocent passes once in a million recordings (Skoric, Katzenbeisser
// and Celik, 2008, for the symmetric score). At most 1,000 colluders; more give UINT64_MAX.
uint64_t SymbolsFor(uint32_t colluders);

// The most colluders for whom so many symbols suffice; 0 where they do for none.
uint32_t ColludersFor(uint64_t symbols);

}  // namespace nark::audit

#endif  // NARK_COMMON_AUDIT_CODE_LENGTH_H_
