#include "common/object/refund_summary.h"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "common/base/bytes.h"
#include "common/object/money.h"

namespace nark {
namespace {

using Json = nlohmann::ordered_json;

// "paid" for REFUND_STATUS_PAID.
std::string Word(v1::RefundStatus status) {
  return absl::AsciiStrToLower(
      v1::RefundStatus_Name(status).substr(std::string_view("REFUND_STATUS_").size()));
}

// What two answers to one note mean together: anything paid is good news.
int Rank(v1::RefundStatus status) {
  switch (status) {
    case v1::REFUND_STATUS_PAID:
      return 2;
    case v1::REFUND_STATUS_CONFLICT:
      return 1;
    default:
      return 0;
  }
}

Json VoucherJson(const v1::RefundReceipt& receipt) {
  Json voucher = {{"voucher_id", ToHex(AsBytes(receipt.voucher_id()))},
                  {"status", Word(receipt.status())},
                  {"bought", receipt.adus_bought()},
                  {"delivered", receipt.adus_delivered()},
                  {"owed", receipt.adus_owed()},
                  {"amount_minor", receipt.amount().amount_minor()},
                  {"ledger_id", receipt.ledger_id()},
                  {"reason", receipt.reason()}};
  if (receipt.status() == v1::REFUND_STATUS_CONFLICT) {
    voucher["first_note"] = ToHex(AsBytes(receipt.first_note_identity()));
  }
  return voucher;
}

}  // namespace

void RefundSummary::Add(v1::RefundReceipt receipt) {
  if (receipts.empty() || Rank(receipt.status()) > Rank(status)) {
    status = receipt.status();
    ledger_id = receipt.ledger_id();
    reason = receipt.reason();
  }
  if (receipt.status() == v1::REFUND_STATUS_PAID) {
    owed += receipt.adus_owed();
    amount_minor += receipt.amount().amount_minor();
  }
  if (receipt.has_amount()) currency = receipt.amount().currency();
  receipts.push_back(std::move(receipt));
}

std::string RefundSummary::ToText() const {
  std::string text = Word(status);
  if (status == v1::REFUND_STATUS_PAID) {
    v1::Money amount;
    amount.set_amount_minor(amount_minor);
    amount.set_currency(currency);
    absl::StrAppend(&text, " ", FormatMoney(amount), " for ", owed, " ADUs not delivered");
  } else if (!reason.empty()) {
    absl::StrAppend(&text, " ", reason);
  }
  if (ledger_id.empty()) return text;
  absl::StrAppend(&text, ", ledger entry ", ledger_id);
  const auto alike = std::count_if(receipts.begin(), receipts.end(), [&](const auto& receipt) {
    return receipt.status() == status && !receipt.ledger_id().empty();
  });
  if (alike > 1) absl::StrAppend(&text, " and ", alike - 1, " more");
  return text;
}

Json RefundSummary::ToJson() const {
  Json json = {{"status", Word(status)}, {"owed", owed},           {"amount_minor", amount_minor},
               {"currency", currency},   {"ledger_id", ledger_id}, {"reason", reason}};
  Json vouchers = Json::array();
  for (const v1::RefundReceipt& receipt : receipts) vouchers.push_back(VoucherJson(receipt));
  json["vouchers"] = std::move(vouchers);
  return json;
}

}  // namespace nark
