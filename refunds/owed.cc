#include "refunds/owed.h"

#include <algorithm>

namespace nark::refunds {
namespace {

// floor(a * b / c); fits where b <= c.
uint64_t Share(uint64_t a, uint64_t b, uint64_t c) {
  return static_cast<uint64_t>(static_cast<unsigned __int128>(a) * b / c);
}

uint64_t Undelivered(const Account& account, const v1::Policy& policy,
                     const v1::RefundRules& rules) {
  if (!account.granted) return account.bought;
  if (policy.count() != 0 && !rules.refund_unspent_counts()) return 0;
  return account.bought - std::min(account.bought, account.delivered);
}

// Terms are verified before: a cap above 100 can only be a caller's mistake, and
// must not pay more than the price.
uint64_t CapOf(const v1::RefundRules& rules, v1::AssuranceClass assurance) {
  uint64_t cap = std::min<uint64_t>(rules.cap_percent(), 100);
  if (assurance == v1::ASSURANCE_CLASS_EMULATED) {
    cap = std::min<uint64_t>(cap, rules.emulated_cap_percent());
  }
  return cap;
}

}  // namespace

Owed ComputeOwed(const Account& account, const v1::Policy& policy, const v1::RefundRules& rules,
                 v1::AssuranceClass assurance, std::optional<uint64_t> price_minor) {
  const uint64_t undelivered = Undelivered(account, policy, rules);
  if (undelivered == 0) return {.adus = 0, .amount_minor = 0, .reason = kNothingOwed};
  const uint64_t tolerated =
      Share(account.bought, std::min<uint64_t>(rules.tolerance_per_mille(), 1000), 1000);
  if (undelivered <= tolerated) return {.adus = 0, .amount_minor = 0, .reason = kTolerated};
  Owed owed{.adus = undelivered - tolerated, .amount_minor = 0, .reason = {}};
  if (!price_minor.has_value()) {
    owed.reason = kNoPrice;
    return owed;
  }
  const uint64_t amount = std::min(Share(*price_minor, owed.adus, account.bought),
                                   Share(*price_minor, CapOf(rules, assurance), 100));
  if (amount == 0 || amount < rules.minimum_minor()) {
    owed.reason = kBelowMinimum;
    return owed;
  }
  owed.amount_minor = amount;
  return owed;
}

}  // namespace nark::refunds
