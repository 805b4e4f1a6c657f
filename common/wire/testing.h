#ifndef NARK_COMMON_WIRE_TESTING_H_
#define NARK_COMMON_WIRE_TESTING_H_

#include <string>
#include <vector>

#include "common/base/bytes.h"
#include "common/crypto/random.h"
#include "common/wire/header.h"

namespace nark::wire {

// A header with consistent fields, different for every state of `random`: small
// and large ADUs, with and without clear map, parity, deadline and pages.
Header RandomHeader(SeededRandom& random);

// A small one: one fragment of an ADU of 100 bytes.
Header SmallHeader(uint64_t session_tag);

// A header whose authentication is not its own.
struct Splice {
  std::string name;
  Bytes signed_header;
};
// What somebody can put together from the signed headers of two batches of one size, of
// which each header is genuine: places, paths and signatures of others, of the same batch or
// of the other one; and the first batch's headers changed on genuine paths.
std::vector<Splice> SplicesOf(const std::vector<Bytes>& batch, const std::vector<Bytes>& other);

}  // namespace nark::wire

#endif  // NARK_COMMON_WIRE_TESTING_H_
