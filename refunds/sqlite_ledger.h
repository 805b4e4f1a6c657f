#ifndef NARK_REFUNDS_SQLITE_LEDGER_H_
#define NARK_REFUNDS_SQLITE_LEDGER_H_

#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "refunds/ledger.h"

namespace nark::refunds {

// A ledger in one SQLite file (WAL, synchronous=FULL), made where absent, mode
// 0600. For one desk. INVALID_ARGUMENT where the file is no ledger, UNAVAILABLE
// where it can not be opened; the message names it.
absl::StatusOr<std::unique_ptr<Ledger>> OpenSqliteLedger(const std::string& path);

}  // namespace nark::refunds

#endif  // NARK_REFUNDS_SQLITE_LEDGER_H_
