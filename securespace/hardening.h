#ifndef NARK_SECURESPACE_HARDENING_H_
#define NARK_SECURESPACE_HARDENING_H_

#include "absl/status/status.h"

namespace nark::securespace {

// What keeps a serving process's memory to itself, in two steps.

// First thing: no core dumps, no debugger, no new privileges, and all memory locked
// where there is no limit on it (LimitMEMLOCK=infinity); elsewhere the arena of
// secrets alone is.
absl::Status KeepMemoryPrivate();

// Once everything is open and loaded: from now on this process may serve, log and
// write files, and nothing else. Whatever it does beyond (execve, ptrace, a socket
// other than a Unix one, another's memory, memory that may be executed) kills it
// (SIGSYS). For all threads, those to come too, and for good. It is called, and calls
// nobody, but for kMayCall: a TPM behind a Unix socket is.
//
// Sanitizers need calls of their own: built with one, it does nothing and says so
// (SystemCallsAreConfined).
enum class UnixSockets { kAreCalled, kMayCall };
absl::Status ConfineSystemCalls(UnixSockets sockets);
bool SystemCallsAreConfined();

}  // namespace nark::securespace

#endif  // NARK_SECURESPACE_HARDENING_H_
