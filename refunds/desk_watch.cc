#include "refunds/desk_watch.h"

#include <spdlog/spdlog.h>

#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "common/base/bytes.h"
#include "common/base/status.h"
#include "common/object/money.h"

namespace nark::refunds {
namespace {

constexpr int kRecent = 50;

std::string Amount(uint64_t minor, const std::string& currency) {
  if (currency.empty()) return "no price";
  v1::Money money;
  money.set_amount_minor(minor);
  money.set_currency(currency);
  return FormatMoney(money);
}

// "2026-01-01 00:00:00 UTC".
std::string Time(Timestamp time) {
  return absl::FormatTime("%Y-%m-%d %H:%M:%S UTC",
                          absl::FromUnixMicros(static_cast<int64_t>(ToMicros(time))),
                          absl::UTCTimeZone());
}

serve::PageTable Totals(const LedgerSummary& summary) {
  serve::PageTable table{"Paid", {"currency", "refunds", "total"}, {}};
  for (const LedgerSummary::Total& total : summary.paid) {
    table.rows.push_back(
        {total.currency, absl::StrCat(total.refunds), Amount(total.amount_minor, total.currency)});
  }
  return table;
}

serve::PageTable Refusals(const LedgerSummary& summary) {
  serve::PageTable table{"Refused", {"reason", "vouchers"}, {}};
  for (const auto& [reason, count] : summary.refused) {
    table.rows.push_back({reason, absl::StrCat(count)});
  }
  return table;
}

serve::PageTable Latest(const LedgerSummary& summary) {
  serve::PageTable table{absl::StrCat("Latest ", kRecent),
                         {"decided", "voucher", "bought", "delivered", "owed", "amount", "payer",
                          "reason", "ledger id"},
                         {}};
  for (const Refund& refund : summary.recent) {
    table.rows.push_back({Time(refund.decided), ToHex(refund.key.voucher_id),
                          absl::StrCat(refund.bought), absl::StrCat(refund.delivered),
                          absl::StrCat(refund.owed), Amount(refund.amount_minor, refund.currency),
                          refund.payer_reference, refund.reason, refund.ledger_id});
  }
  return table;
}

}  // namespace

DeskWatch::DeskWatch(serve::Metrics& metrics, Ledger& ledger,
                     std::chrono::steady_clock::duration patience)
    : metrics_(metrics),
      ledger_(ledger),
      pending_(metrics.AddGauge("nark_refunds_outbox_pending", "Payments not yet taken.")),
      attempts_(metrics.AddGauge("nark_refunds_outbox_attempts",
                                 "Attempts begun for the payments not yet taken.")),
      patience_(patience) {}

absl::Status DeskWatch::CheckLedger() const {
  if (!ledger_works_) return LedgerUnavailable("it takes no write");
  if (std::chrono::steady_clock::now() - probed_.load() <= patience_) return absl::OkStatus();
  return LedgerUnavailable("it does not answer");
}

void DeskWatch::OnProbe(const absl::Status& probed) {
  probed_ = std::chrono::steady_clock::now();
  if (ledger_works_.exchange(probed.ok()) != probed.ok()) {
    if (probed.ok()) {
      spdlog::info("the ledger works again");
    } else {
      spdlog::error("{}", Std(probed.message()));
    }
  }
  if (const auto outbox = ledger_.Outbox(); outbox.ok()) {
    pending_.Set(static_cast<double>(outbox->pending));
    attempts_.Set(static_cast<double>(outbox->attempts));
  }
}

void DeskWatch::OnReceipt(v1::RefundStatus status) {
  const char* name = status == v1::REFUND_STATUS_PAID      ? "paid"
                     : status == v1::REFUND_STATUS_REFUSED ? "refused"
                                                           : "conflict";
  metrics_
      .AddCounter("nark_refunds_receipts_total", "Receipts answered, repeats among them.",
                  {{"status", name}})
      .Increment();
}

void DeskWatch::OnRefusal(const absl::Status& refusal) {
  const std::string reason = ReasonOf(refusal);
  // Told here, as the probe then finds nothing new.
  if (reason == "LEDGER_UNAVAILABLE" && ledger_works_.exchange(false)) {
    spdlog::error("{}", Std(refusal.message()));
  }
  metrics_
      .AddCounter("nark_refunds_refusals_total", "Requests refused, by reason.",
                  {{"reason", reason}})
      .Increment();
}

void DeskWatch::OnPayment(const Payment& payment, const absl::Status& result) {
  metrics_
      .AddCounter("nark_refunds_payments_total", "Payments attempted, by how that went.",
                  {{"result", result.ok() ? "taken" : "failed"}})
      .Increment();
  const Refund& refund = payment.refund;
  if (result.ok()) {
    metrics_
        .AddCounter("nark_refunds_paid_out_minor_total", "Amounts taken, in minor units.",
                    {{"currency", refund.currency}})
        .Add(static_cast<double>(refund.amount_minor));
    spdlog::info("payment {} of {} was taken", refund.ledger_id,
                 Amount(refund.amount_minor, refund.currency));
  } else {
    spdlog::warn("payment {} failed at attempt {} and will be repeated: {}", refund.ledger_id,
                 payment.attempts + 1, Std(result.message()));
  }
}

void DeskWatch::OnLedgerError(const absl::Status& error) {
  spdlog::error("payments wait: {}", Std(error.message()));
}

std::vector<serve::PageTable> DeskWatch::Tables() const {
  const absl::StatusOr<LedgerSummary> summary = ledger_.Summarise(kRecent);
  const absl::StatusOr<OutboxState> outbox = ledger_.Outbox();
  if (!summary.ok() || !outbox.ok()) {
    const absl::Status& why = summary.ok() ? outbox.status() : summary.status();
    return {{"Ledger", {"can not be read"}, {{std::string(why.message())}}}};
  }
  return {Totals(*summary),
          {"Outbox",
           {"payments not yet taken", "attempts for them"},
           {{absl::StrCat(outbox->pending), absl::StrCat(outbox->attempts)}}},
          Refusals(*summary),
          Latest(*summary)};
}

}  // namespace nark::refunds
