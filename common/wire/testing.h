#ifndef NARK_COMMON_WIRE_TESTING_H_
#define NARK_COMMON_WIRE_TESTING_H_

#include "common/crypto/random.h"
#include "common/wire/header.h"

namespace nark::wire {

// A header with consistent fields, different for every state of `random`: small
// and large ADUs, with and without clear map, parity, deadline and pages.
Header RandomHeader(SeededRandom& random);

// A small one: one fragment of an ADU of 100 bytes.
Header SmallHeader(uint64_t session_tag);

}  // namespace nark::wire

#endif  // NARK_COMMON_WIRE_TESTING_H_
