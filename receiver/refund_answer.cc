#include "receiver/refund_answer.h"

#include <algorithm>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "common/base/bytes.h"
#include "common/base/status.h"
#include "common/crypto/certificate.h"
#include "common/object/delivery_note.h"
#include "common/object/envelope.h"
#include "common/object/signer_cache.h"

namespace nark::receiver {
namespace {

absl::Status Lies(std::string_view how) {
  return absl::UnauthenticatedError(absl::StrCat("its answer is not to be trusted: ", Absl(how)));
}

absl::StatusOr<v1::RefundReceipt> VerifyReceipt(const v1::SignedEnvelope& envelope,
                                                const VerifiedSession& session, Timestamp now) {
  auto receipt = PayloadOf<v1::RefundReceipt>(envelope, "the refund receipt");
  if (!receipt.ok()) return Lies(Std(receipt.status().message()));
  // A repeat gets the bytes of the first time, whose certificate may have expired since.
  const Timestamp at = std::min(now, FromMicros(receipt->decision_time_us()));
  absl::Status signed_by =
      VerifyEnvelopeChain(envelope, payload_type::kRefundReceipt, session.root(),
                          {.at = at, .leaf_role = CertificateRole::kRefunds})
          .status();
  if (!signed_by.ok()) return Lies(Std(signed_by.message()));
  if (!v1::RefundStatus_IsValid(receipt->status()) ||
      receipt->status() == v1::REFUND_STATUS_UNSPECIFIED) {
    return Lies("a receipt without a status");
  }
  return receipt;
}

// The desk must show what it paid first, and only this secure space can have signed it.
absl::Status CheckFirstNote(const v1::RefundReceipt& receipt,
                            const v1::SubmitDeliveryNoteResponse& response,
                            const NoteSigner& signer) {
  for (const v1::SignedEnvelope& note : response.first_notes()) {
    if (!Equal(ObjectIdentity(note), AsBytes(receipt.first_note_identity()))) continue;
    if (!VerifyEnvelope(note, payload_type::kDeliveryNote, signer.note_key).ok()) {
      return Lies("the note that it says came first is not signed by this secure space");
    }
    ASSIGN_OR_RETURN(auto first, PayloadOf<v1::DeliveryNote>(note, "the first note"));
    const bool names = std::any_of(
        first.vouchers().begin(), first.vouchers().end(), [&receipt](const v1::NoteVoucher& noted) {
          const auto voucher = PayloadOf<v1::Voucher>(noted.voucher(), "a voucher");
          return voucher.ok() && voucher->voucher_id() == receipt.voucher_id();
        });
    if (!names || first.status() != v1::NOTE_STATUS_FINAL ||
        receipt.first_note_identity() == receipt.note_identity() ||
        Serialise(first.session()) != Serialise(receipt.session())) {
      return Lies("the note that it says came first is no FINAL note of this voucher");
    }
    return absl::OkStatus();
  }
  return Lies("it does not show the note that it says came first");
}

// What is printed must not command a terminal.
bool IsWord(const std::string& text) {
  return text.size() <= 64 && std::all_of(text.begin(), text.end(), [](unsigned char c) {
           return absl::ascii_isalnum(c) || c == '-' || c == '_';
         });
}

// The desk counts as the secure space does.
absl::Status CheckNumbers(const v1::RefundReceipt& receipt, const NotedVoucher& voucher,
                          const VerifiedNote& note) {
  ASSIGN_OR_RETURN(const VoucherAccount account, AccountOf(voucher, note));
  if (receipt.adus_bought() != account.bought || receipt.adus_delivered() != account.delivered ||
      receipt.adus_owed() > account.bought - account.delivered) {
    return Lies("its numbers of ADUs are not the note's");
  }
  if (!IsWord(receipt.ledger_id()) || !IsWord(receipt.reason())) {
    return Lies("a receipt's reason or ledger id is no word");
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<RefundSummary> VerifyRefundAnswer(const v1::SubmitDeliveryNoteResponse& response,
                                                 const v1::NoteFile& file,
                                                 const VerifiedSession& session, Timestamp now) {
  ASSIGN_OR_RETURN(auto chain, ParseCertificates(file.secure_space_certificates()));
  ASSIGN_OR_RETURN(const NoteSigner signer, NoteSigner::Of(chain.front()));
  SignerCache tills;
  ASSIGN_OR_RETURN(const VerifiedNote verified,
                   VerifyNote(file.note(), session, signer, tills, now));
  const v1::DeliveryNote& note = verified.note;
  const std::string identity = ToText(ObjectIdentity(file.note()));
  const std::string session_bytes = Serialise(session.name().ToProto());
  if (response.receipts_size() != note.vouchers_size()) {
    return Lies("it has not one receipt for each voucher");
  }
  RefundSummary answer;
  for (int i = 0; i < response.receipts_size(); ++i) {
    ASSIGN_OR_RETURN(v1::RefundReceipt receipt, VerifyReceipt(response.receipts(i), session, now));
    const v1::Voucher& voucher = verified.vouchers[static_cast<size_t>(i)].bought.voucher;
    if (receipt.note_identity() != identity || receipt.voucher_id() != voucher.voucher_id() ||
        Serialise(receipt.session()) != session_bytes) {
      return Lies("a receipt is about something else");
    }
    RETURN_IF_ERROR(CheckNumbers(receipt, verified.vouchers[static_cast<size_t>(i)], verified));
    if (receipt.status() == v1::REFUND_STATUS_CONFLICT) {
      RETURN_IF_ERROR(CheckFirstNote(receipt, response, signer));
    }
    if (receipt.status() == v1::REFUND_STATUS_PAID &&
        (receipt.amount().amount_minor() == 0 ||
         receipt.amount().amount_minor() > voucher.price().amount_minor() ||
         receipt.amount().currency() != voucher.price().currency())) {
      return Lies("it pays an amount that cannot be");
    }
    answer.Add(std::move(receipt));
  }
  return answer;
}

RefundSummary RefusedSummary(const absl::Status& refusal) {
  RefundSummary summary;
  summary.reason = ReasonOf(refusal);
  return summary;
}

}  // namespace nark::receiver
