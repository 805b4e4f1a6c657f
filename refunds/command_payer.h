#ifndef NARK_REFUNDS_COMMAND_PAYER_H_
#define NARK_REFUNDS_COMMAND_PAYER_H_

#include <chrono>
#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "refunds/payout.h"

namespace nark::refunds {

// Runs the program at `path`, without a shell and without arguments, once an order:
// the order is its stdin, its stdout goes to this process' stderr, its environment is
// this process' without PG* and NARK_*, and exit status 0
// says that it has taken the order for good. After `timeout` it is killed with all
// that it started, and the order counts as not taken. INVALID_ARGUMENT where `path`
// is no program that may be run. This process no longer ignores SIGCHLD then.
absl::StatusOr<std::unique_ptr<Payer>> MakeCommandPayer(const std::string& path,
                                                        std::chrono::milliseconds timeout);

}  // namespace nark::refunds

#endif  // NARK_REFUNDS_COMMAND_PAYER_H_
