#ifndef NARK_REFUNDS_OWED_H_
#define NARK_REFUNDS_OWED_H_

#include <cstdint>
#include <optional>
#include <string_view>

#include "nark/v1/note.pb.h"
#include "nark/v1/session.pb.h"
#include "nark/v1/voucher.pb.h"

namespace nark::refunds {

// One voucher of a FINAL note, in ADUs.
struct Account {
  uint64_t bought = 0;
  uint64_t delivered = 0;  // at most bought
  bool granted = false;    // false: never served, so undelivered whole
};

// Why nothing is paid (docs/reasons.md).
inline constexpr std::string_view kNothingOwed = "NOTHING_OWED";
inline constexpr std::string_view kTolerated = "TOLERATED";
inline constexpr std::string_view kBelowMinimum = "BELOW_MINIMUM";
inline constexpr std::string_view kNoPrice = "NO_PRICE";

struct Owed {
  uint64_t adus = 0;          // after the tolerance
  uint64_t amount_minor = 0;  // what is paid, at most the price; 0 where `reason` is set
  std::string_view reason;    // empty: paid
};

// What a voucher's purchase earns back by the terms' rules:
//
//   undelivered = bought - delivered; of a COUNT policy that was granted, 0
//                 unless refund_unspent_counts
//   tolerated   = floor(bought * tolerance_per_mille / 1000)
//   owed        = max(0, undelivered - tolerated)
//   amount      = min(floor(price * owed / bought), floor(price * cap / 100))
//
// where cap is cap_percent, and for the class EMULATED also emulated_cap_percent.
// Every division rounds down, products have 128 bits. Nothing is paid below
// minimum_minor, and never 0. Pure.
Owed ComputeOwed(const Account& account, const v1::Policy& policy, const v1::RefundRules& rules,
                 v1::AssuranceClass assurance, std::optional<uint64_t> price_minor);

}  // namespace nark::refunds

#endif  // NARK_REFUNDS_OWED_H_
