#include "receiver/refund_answer.h"

#include <gtest/gtest.h>

#include <string>
#include <utility>

#include "common/base/status.h"
#include "common/object/envelope.h"
#include "common/object/testing.h"
#include "nlohmann/json.hpp"

namespace nark::receiver {
namespace {

// A note that names one voucher, and a desk that may say anything about it.
class RefundAnswerTest : public testing::Test {
 protected:
  RefundAnswerTest() : session_(provider_.MakeSession()), space_(provider_.MakeSecureSpace()) {
    file_ = File(7);
  }

  v1::NoteFile File(uint64_t counter, v1::NoteStatus status = v1::NOTE_STATUS_FINAL) {
    v1::DeliveryNote note;
    *note.mutable_session() = session_.name().ToProto();
    note.set_terms_identity(ToText(session_.session().terms_identity()));
    note.set_secure_space_id(ToText(space_.id));
    note.set_assurance(v1::ASSURANCE_CLASS_EMULATED);
    if (voucher_.payload().empty()) {
      VoucherOptions options;
      options.secure_space_id = space_.id;
      options.policy.mutable_range()->set_last(9);
      options.price.emplace();
      options.price->set_amount_minor(50);
      options.price->set_currency("EUR");
      voucher_ = provider_.MakeVoucher(session_, options);
    }
    *note.add_vouchers()->mutable_voucher() = voucher_;
    note.set_counter(counter);
    note.set_status(status);
    v1::NoteFile file;
    *file.mutable_note() =
        *SignEnvelope(payload_type::kDeliveryNote, Serialise(note), space_.note_key, {});
    file.add_secure_space_certificates(ToText(space_.certificate.der()));
    *file.mutable_session_descriptor() = session_.descriptor();
    return file;
  }
  v1::RefundReceipt Receipt() {
    v1::RefundReceipt receipt;
    receipt.set_status(v1::REFUND_STATUS_PAID);
    receipt.set_note_identity(ToText(ObjectIdentity(file_.note())));
    *receipt.mutable_session() = session_.name().ToProto();
    receipt.set_voucher_id(PayloadOf<v1::Voucher>(voucher_, "it")->voucher_id());
    receipt.set_adus_bought(10);
    receipt.set_adus_owed(10);
    receipt.mutable_amount()->set_amount_minor(50);
    receipt.mutable_amount()->set_currency("EUR");
    receipt.set_ledger_id("1234");
    receipt.set_decision_time_us(ToMicros(kTestTime));
    return receipt;
  }
  v1::SubmitDeliveryNoteResponse Response(const v1::RefundReceipt& receipt) {
    return ResponseBy(provider_.refunds, receipt);
  }
  static v1::SubmitDeliveryNoteResponse ResponseBy(const SigningIdentity& signer,
                                                   const v1::RefundReceipt& receipt) {
    v1::SubmitDeliveryNoteResponse response;
    *response.add_receipts() = *SignEnvelope(payload_type::kRefundReceipt, Serialise(receipt),
                                             signer.key, {signer.certificate});
    return response;
  }
  absl::StatusOr<RefundSummary> Verify(const v1::SubmitDeliveryNoteResponse& response,
                                       Timestamp now = kTestTime) {
    return VerifyRefundAnswer(response, file_, session_.session(), now);
  }

  TestProvider provider_;
  TestSession session_;
  TestSecureSpace space_;
  v1::SignedEnvelope voucher_;
  v1::NoteFile file_;
};

TEST_F(RefundAnswerTest, ShowsWhatIsPaid) {
  const auto answer = Verify(Response(Receipt()));
  ASSERT_TRUE(answer.ok()) << answer.status();
  EXPECT_EQ(answer->ToText(), "paid 0.50 EUR for 10 ADUs not delivered, ledger entry 1234");
  const auto json = answer->ToJson();
  EXPECT_EQ(json["status"], "paid");
  EXPECT_EQ(json["owed"], 10);
  EXPECT_EQ(json["amount_minor"], 50);
  EXPECT_EQ(json["currency"], "EUR");
  EXPECT_EQ(json["ledger_id"], "1234");
}

TEST_F(RefundAnswerTest, SaysThatASumStandsInSeveralEntries) {
  RefundSummary summary;
  summary.Add(Receipt());
  v1::RefundReceipt second = Receipt();
  second.set_ledger_id("5678");
  summary.Add(second);
  EXPECT_EQ(summary.ToText(),
            "paid 1.00 EUR for 20 ADUs not delivered, ledger entry 1234 and 1 more");
}

TEST_F(RefundAnswerTest, ShowsARefusalWithItsReason) {
  v1::RefundReceipt receipt = Receipt();
  receipt.set_status(v1::REFUND_STATUS_REFUSED);
  receipt.set_reason("NOTHING_OWED");
  receipt.clear_amount();
  const auto answer = Verify(Response(receipt));
  ASSERT_TRUE(answer.ok()) << answer.status();
  EXPECT_EQ(answer->ToText(), "refused NOTHING_OWED, ledger entry 1234");
  const RefundSummary refused =
      RefusedSummary(Refusal(absl::StatusCode::kFailedPrecondition, "NOTE_NOT_FINAL", "not final"));
  EXPECT_EQ(refused.ToJson()["reason"], "NOTE_NOT_FINAL");
  EXPECT_EQ(refused.ToJson()["status"], "refused");
}

TEST_F(RefundAnswerTest, RefusesAReceiptThatIsNotTheDesks) {
  TestProvider stranger(kTestTime, 2);
  EXPECT_FALSE(Verify(ResponseBy(stranger.refunds, Receipt())).ok());
  EXPECT_FALSE(Verify(ResponseBy(provider_.till, Receipt())).ok());
  v1::SubmitDeliveryNoteResponse changed = Response(Receipt());
  changed.mutable_receipts(0)->mutable_payload()->back() ^= 1;
  EXPECT_FALSE(Verify(changed).ok());
}

// A repeat gets the bytes of the first time.
TEST_F(RefundAnswerTest, JudgesTheDesksCertificateAtTheDecision) {
  const Timestamp later = provider_.refunds.certificate.not_after() + std::chrono::hours(1);
  EXPECT_TRUE(Verify(Response(Receipt()), later).ok());
  v1::RefundReceipt receipt = Receipt();
  receipt.set_decision_time_us(ToMicros(later));
  EXPECT_FALSE(Verify(Response(receipt), later).ok());
  // A time to come proves nothing.
  EXPECT_FALSE(Verify(Response(receipt), later - std::chrono::minutes(30)).ok());
  EXPECT_TRUE(Verify(Response(receipt)).ok());
  receipt.clear_decision_time_us();
  EXPECT_FALSE(Verify(Response(receipt)).ok());
}

TEST_F(RefundAnswerTest, RefusesAReceiptAboutSomethingElse) {
  v1::RefundReceipt receipt = Receipt();
  receipt.set_note_identity(std::string(32, 'x'));
  EXPECT_FALSE(Verify(Response(receipt)).ok());
  receipt = Receipt();
  receipt.set_voucher_id(std::string(16, 'x'));
  EXPECT_FALSE(Verify(Response(receipt)).ok());
  receipt = Receipt();
  receipt.mutable_session()->set_session_id(std::string(16, 'x'));
  EXPECT_FALSE(Verify(Response(receipt)).ok());
  receipt = Receipt();
  receipt.clear_status();
  EXPECT_FALSE(Verify(Response(receipt)).ok());
  EXPECT_FALSE(Verify({}).ok());
}

TEST_F(RefundAnswerTest, RefusesAnAmountThatCannotBe) {
  v1::RefundReceipt receipt = Receipt();
  receipt.mutable_amount()->set_amount_minor(51);  // above the price
  EXPECT_FALSE(Verify(Response(receipt)).ok());
  receipt.mutable_amount()->set_amount_minor(0);
  EXPECT_FALSE(Verify(Response(receipt)).ok());
  receipt = Receipt();
  receipt.mutable_amount()->set_currency("XAF");
  EXPECT_FALSE(Verify(Response(receipt)).ok());
}

TEST_F(RefundAnswerTest, RefusesNumbersThatAreNotTheNotes) {
  const auto refuses = [&](auto&& change) {
    v1::RefundReceipt receipt = Receipt();
    change(receipt);
    EXPECT_EQ(Verify(Response(receipt)).status().code(), absl::StatusCode::kUnauthenticated)
        << receipt.ShortDebugString();
  };
  refuses([](v1::RefundReceipt& r) { r.set_adus_bought(9); });
  refuses([](v1::RefundReceipt& r) { r.set_adus_delivered(4); });
  refuses([](v1::RefundReceipt& r) { r.set_adus_owed(11); });
  // Nor anything that a terminal would obey.
  refuses([](v1::RefundReceipt& r) { r.set_ledger_id("12\x1b[2J"); });
  refuses([](v1::RefundReceipt& r) { r.set_reason("WHY\n"); });
}

TEST_F(RefundAnswerTest, WantsToSeeTheNoteThatCameFirst) {
  const v1::SignedEnvelope first = File(6).note();
  v1::RefundReceipt receipt = Receipt();
  receipt.set_status(v1::REFUND_STATUS_CONFLICT);
  receipt.set_first_note_identity(ToText(ObjectIdentity(first)));
  v1::SubmitDeliveryNoteResponse response = Response(receipt);
  EXPECT_FALSE(Verify(response).ok());  // a claim, and nothing to show for it

  *response.add_first_notes() = first;
  const auto answer = Verify(response);
  ASSERT_TRUE(answer.ok()) << answer.status();
  EXPECT_EQ(answer->status, v1::REFUND_STATUS_CONFLICT);

  // Any other note that the desk has seen will not do.
  for (const v1::SignedEnvelope& other : {File(5, v1::NOTE_STATUS_INTERIM).note(), file_.note()}) {
    receipt.set_first_note_identity(ToText(ObjectIdentity(other)));
    v1::SubmitDeliveryNoteResponse false_conflict = Response(receipt);
    *false_conflict.add_first_notes() = other;
    EXPECT_FALSE(Verify(false_conflict).ok());
  }

  // The provider makes a note up.
  const TestSecureSpace other = provider_.MakeSecureSpace();
  const v1::SignedEnvelope forged =
      *SignEnvelope(payload_type::kDeliveryNote, first.payload(), other.note_key, {});
  response.clear_first_notes();
  *response.add_first_notes() = forged;
  EXPECT_FALSE(Verify(response).ok());
}

}  // namespace
}  // namespace nark::receiver
