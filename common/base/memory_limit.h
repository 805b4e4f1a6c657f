#ifndef NARK_COMMON_BASE_MEMORY_LIMIT_H_
#define NARK_COMMON_BASE_MEMORY_LIMIT_H_

#include <cstdint>
#include <string>

namespace nark {

// The most bytes of memory that this process can have before the kernel ends it: what its
// control groups (version 1 or 2) and those above them allow, or the machine's. Read anew.
uint64_t MemoryLimit();

// The bytes of memory that this process has; 0 where /proc does not say.
uint64_t ResidentBytes();

// The same as MemoryLimit with /proc and /sys below `root`, and what the machine has.
uint64_t MemoryLimitAt(const std::string& root, uint64_t machine_bytes);

}  // namespace nark

#endif  // NARK_COMMON_BASE_MEMORY_LIMIT_H_
