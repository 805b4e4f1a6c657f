#ifndef NARK_TESTS_HARNESS_USAGE_H_
#define NARK_TESTS_HARNESS_USAGE_H_

#include <sys/types.h>

#include <cstddef>

namespace nark::harness {

// What a process has of its own just now.
struct Usage {
  size_t resident_bytes = 0;   // VmRSS of proc(5)
  size_t anonymous_bytes = 0;  // RssAnon: heap, stacks, what was written of libraries
  size_t descriptors = 0;
  size_t threads = 0;
};

// Throws std::runtime_error where it can not be read: the process is gone, or forbids
// debuggers and is in no user namespace of the caller's (Undebuggable).
Usage UsageOf(pid_t pid);

}  // namespace nark::harness

#endif  // NARK_TESTS_HARNESS_USAGE_H_
