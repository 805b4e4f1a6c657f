#ifndef NARK_COMMON_CRYPTO_SECRET_MEMORY_H_
#define NARK_COMMON_CRYPTO_SECRET_MEMORY_H_

#include <cstddef>
#include <cstdint>

namespace nark {

// Zeroed memory for a secret, page-aligned and left out of core dumps. Up to one
// page comes from a small locked arena while it has room; more has a mapping of
// its own, not locked. Ends the process where there is no memory. Thread-safe.
//
// The arena is private anonymous memory rather than memfd_secret(2): that can
// only be mapped shared, so a forked child that destroys its copy of a secret
// would wipe its parent's.
uint8_t* AllocateSecret(size_t size);

// Wipes and releases what AllocateSecret(size) returned. Thread-safe.
void FreeSecret(uint8_t* memory, size_t size);

}  // namespace nark

#endif  // NARK_COMMON_CRYPTO_SECRET_MEMORY_H_
