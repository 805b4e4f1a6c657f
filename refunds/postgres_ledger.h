#ifndef NARK_REFUNDS_POSTGRES_LEDGER_H_
#define NARK_REFUNDS_POSTGRES_LEDGER_H_

#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "refunds/ledger.h"

namespace nark::refunds {

// A ledger in a PostgreSQL database that any number of desks share; its tables are
// made where absent. Connects anew after errors. INVALID_ARGUMENT for a `url` that
// is none or holds a password, UNAVAILABLE where nobody answers now.
absl::StatusOr<std::unique_ptr<Ledger>> OpenPostgresLedger(const std::string& url);

}  // namespace nark::refunds

#endif  // NARK_REFUNDS_POSTGRES_LEDGER_H_
