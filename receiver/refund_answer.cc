#include "receiver/refund_answer.h"

#include <algorithm>
#include <map>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "common/base/bytes.h"
#include "common/base/status.h"
#include "common/crypto/certificate.h"
#include "common/object/delivery_note.h"
#include "common/object/envelope.h"
#include "common/object/money.h"
#include "nlohmann/json.hpp"

namespace nark::receiver {
namespace {

using Json = nlohmann::ordered_json;

absl::Status Lies(std::string_view how) {
  return absl::UnauthenticatedError(absl::StrCat("its answer is not to be trusted: ", Absl(how)));
}

// "paid" for REFUND_STATUS_PAID.
std::string Word(v1::RefundStatus status) {
  return absl::AsciiStrToLower(
      v1::RefundStatus_Name(status).substr(std::string_view("REFUND_STATUS_").size()));
}

// What two answers to one voucher mean together: anything paid is good news.
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

absl::StatusOr<v1::RefundReceipt> VerifyReceipt(const v1::SignedEnvelope& envelope,
                                                const VerifiedSession& session, Timestamp now) {
  absl::Status signed_by =
      VerifyEnvelopeChain(envelope, payload_type::kRefundReceipt, session.root(),
                          {.at = now, .leaf_role = CertificateRole::kRefunds})
          .status();
  if (!signed_by.ok()) return Lies(Std(signed_by.message()));
  auto receipt = PayloadOf<v1::RefundReceipt>(envelope, "the refund receipt");
  if (!receipt.ok()) return Lies(Std(receipt.status().message()));
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

}  // namespace

absl::StatusOr<RefundAnswer> VerifyRefundAnswer(const v1::SubmitDeliveryNoteResponse& response,
                                                const v1::NoteFile& file,
                                                const VerifiedSession& session, Timestamp now) {
  ASSIGN_OR_RETURN(auto chain, ParseCertificates(file.secure_space_certificates()));
  ASSIGN_OR_RETURN(const NoteSigner signer, NoteSigner::Of(chain.front()));
  ASSIGN_OR_RETURN(auto note, PayloadOf<v1::DeliveryNote>(file.note(), "the delivery note"));
  const std::string identity = ToText(ObjectIdentity(file.note()));
  const std::string session_bytes = Serialise(session.name().ToProto());
  if (response.receipts_size() != note.vouchers_size()) {
    return Lies("it has not one receipt for each voucher");
  }
  RefundAnswer answer;
  for (int i = 0; i < response.receipts_size(); ++i) {
    ASSIGN_OR_RETURN(v1::RefundReceipt receipt, VerifyReceipt(response.receipts(i), session, now));
    ASSIGN_OR_RETURN(auto voucher,
                     PayloadOf<v1::Voucher>(note.vouchers(i).voucher(), "the voucher"));
    if (receipt.note_identity() != identity || receipt.voucher_id() != voucher.voucher_id() ||
        Serialise(receipt.session()) != session_bytes) {
      return Lies("a receipt is about something else");
    }
    if (receipt.status() == v1::REFUND_STATUS_CONFLICT) {
      RETURN_IF_ERROR(CheckFirstNote(receipt, response, signer));
    }
    if (answer.receipts.empty() || Rank(receipt.status()) > Rank(answer.status)) {
      answer.status = receipt.status();
      answer.ledger_id = receipt.ledger_id();
      answer.reason = receipt.reason();
    }
    if (receipt.status() == v1::REFUND_STATUS_PAID &&
        (receipt.amount().amount_minor() == 0 ||
         receipt.amount().amount_minor() > voucher.price().amount_minor() ||
         receipt.amount().currency() != voucher.price().currency())) {
      return Lies("it pays an amount that cannot be");
    }
    if (receipt.status() == v1::REFUND_STATUS_PAID) {
      answer.owed += receipt.adus_owed();
      answer.amount_minor += receipt.amount().amount_minor();
    }
    if (receipt.has_amount()) answer.currency = receipt.amount().currency();
    answer.receipts.push_back(std::move(receipt));
  }
  return answer;
}

RefundAnswer RefusedAnswer(const absl::Status& refusal) {
  RefundAnswer answer;
  answer.reason = ReasonOf(refusal);
  return answer;
}

std::string RefundAnswer::ToText() const {
  std::string text = Word(status);
  if (status == v1::REFUND_STATUS_PAID) {
    v1::Money amount;
    amount.set_amount_minor(amount_minor);
    amount.set_currency(currency);
    absl::StrAppend(&text, " ", FormatMoney(amount), " for ", owed, " ADUs not delivered");
  } else if (!reason.empty()) {
    absl::StrAppend(&text, " ", reason);
  }
  if (!ledger_id.empty()) absl::StrAppend(&text, ", ledger entry ", ledger_id);
  return text;
}

std::string RefundAnswer::ToJson() const {
  Json json = {{"status", Word(status)}, {"owed", owed},           {"amount_minor", amount_minor},
               {"currency", currency},   {"ledger_id", ledger_id}, {"reason", reason}};
  Json vouchers = Json::array();
  for (const v1::RefundReceipt& receipt : receipts) {
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
    vouchers.push_back(std::move(voucher));
  }
  json["vouchers"] = std::move(vouchers);
  return json.dump();
}

}  // namespace nark::receiver
