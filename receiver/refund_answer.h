#ifndef NARK_RECEIVER_REFUND_ANSWER_H_
#define NARK_RECEIVER_REFUND_ANSWER_H_

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/base/clock.h"
#include "common/object/refund_summary.h"
#include "common/object/session.h"
#include "nark/v1/note.pb.h"
#include "nark/v1/refund_desk.pb.h"

namespace nark::receiver {

// Verifies an answer to `file`, whose descriptor has been verified as `session`: one
// receipt a voucher, signed by the refunds role of the session's root, about this
// note; and for each conflict the first note, signed by the same secure space.
// UNAUTHENTICATED where the desk lies, saying how.
absl::StatusOr<RefundSummary> VerifyRefundAnswer(const v1::SubmitDeliveryNoteResponse& response,
                                                 const v1::NoteFile& file,
                                                 const VerifiedSession& session, Timestamp now);

// A refusal without a receipt.
RefundSummary RefusedSummary(const absl::Status& refusal);

}  // namespace nark::receiver

#endif  // NARK_RECEIVER_REFUND_ANSWER_H_
