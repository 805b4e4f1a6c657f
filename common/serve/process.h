#ifndef NARK_COMMON_SERVE_PROCESS_H_
#define NARK_COMMON_SERVE_PROCESS_H_

#include <cstdint>

namespace nark::serve {

// Raises the limit on open files to what the system allows this process and
// returns it: gRPC does not recover from running out. First thing in main.
uint64_t RaiseFileLimit();

}  // namespace nark::serve

#endif  // NARK_COMMON_SERVE_PROCESS_H_
