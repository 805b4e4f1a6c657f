#ifndef NARK_COMMON_OBJECT_REFUND_SUMMARY_H_
#define NARK_COMMON_OBJECT_REFUND_SUMMARY_H_

#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

#include "nark/v1/refund_desk.pb.h"

namespace nark {

// What the receipts for one note say together.
struct RefundSummary {
  // PAID if any voucher was, else CONFLICT if any was.
  v1::RefundStatus status = v1::REFUND_STATUS_REFUSED;
  uint64_t owed = 0;  // ADUs, of all vouchers that are paid
  uint64_t amount_minor = 0;
  std::string currency;
  std::string ledger_id;  // of the first voucher with that status
  std::string reason;     // where nothing is paid
  std::vector<v1::RefundReceipt> receipts;

  void Add(v1::RefundReceipt receipt);

  // One line for people.
  std::string ToText() const;
  // interface: status, owed, amount_minor, currency, ledger_id; then reason and, in
  // the note's order, the single vouchers.
  nlohmann::ordered_json ToJson() const;
};

}  // namespace nark

#endif  // NARK_COMMON_OBJECT_REFUND_SUMMARY_H_
