#ifndef NARK_RECEIVER_REFUND_ANSWER_H_
#define NARK_RECEIVER_REFUND_ANSWER_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/base/clock.h"
#include "common/object/session.h"
#include "nark/v1/note.pb.h"
#include "nark/v1/refund_desk.pb.h"

namespace nark::receiver {

// What a refund desk answered to one note, verified.
struct RefundAnswer {
  v1::RefundStatus status = v1::REFUND_STATUS_REFUSED;  // PAID if any voucher was
  uint64_t owed = 0;                                    // ADUs, of all vouchers
  uint64_t amount_minor = 0;
  std::string currency;
  std::string ledger_id;  // of the first voucher
  std::string reason;     // where nothing was paid
  std::vector<v1::RefundReceipt> receipts;

  // One line for people; one line of JSON (interface: status, owed, amount_minor,
  // currency, ledger_id; then reason and the single vouchers).
  std::string ToText() const;
  std::string ToJson() const;
};

// Verifies an answer to `file`, whose descriptor has been verified as `session`: one
// receipt a voucher, signed by the refunds role of the session's root, about this
// note; and for each conflict the first note, signed by the same secure space.
// UNAUTHENTICATED where the desk lies, saying how.
absl::StatusOr<RefundAnswer> VerifyRefundAnswer(const v1::SubmitDeliveryNoteResponse& response,
                                                const v1::NoteFile& file,
                                                const VerifiedSession& session, Timestamp now);

// A refusal without a receipt.
RefundAnswer RefusedAnswer(const absl::Status& refusal);

}  // namespace nark::receiver

#endif  // NARK_RECEIVER_REFUND_ANSWER_H_
