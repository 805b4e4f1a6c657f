#ifndef NARK_NARKCTL_TRACE_APART_H_
#define NARK_NARKCTL_TRACE_APART_H_

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "common/base/bytes.h"

namespace nark::trace {

// Does something with a stranger's file in a process of its own, which has nothing but that
// file and a pipe, and to which the kernel forbids all else (seccomp(2)): whoever wrote the
// file, and takes over what parses it, gets no key of the provider's, and no more of the
// machine than memory and five minutes of a processor. Sanitized builds have the process, not
// the prohibition.
//
// `work` runs there, with `file` as its standard input, and writes to its standard output;
// its result is its exit status. `take` gets what was written, in order, and is not to trust
// it; an error of its ends all. INTERNAL where the process did not end with 0,
// FAILED_PRECONDITION where it could not be confined. To be called while there is one thread.
absl::Status DoApart(int file, absl::FunctionRef<int()> work,
                     absl::FunctionRef<absl::Status(ByteView)> take);

}  // namespace nark::trace

#endif  // NARK_NARKCTL_TRACE_APART_H_
