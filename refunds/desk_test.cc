#include "refunds/desk.h"

#include <gtest/gtest.h>
#include <stdlib.h>

#include <atomic>
#include <filesystem>
#include <functional>
#include <optional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/synchronization/blocking_counter.h"
#include "absl/synchronization/notification.h"
#include "common/base/status.h"
#include "common/object/envelope.h"
#include "common/object/id_codec.h"
#include "common/object/testing.h"
#include "refunds/sqlite_ledger.h"

namespace nark::refunds {
namespace {

class DeskTest : public testing::Test {
 protected:
  DeskTest() : session_(provider_.MakeSession()), space_(provider_.MakeSecureSpace()) {
    char pattern[] = "/tmp/nark-desk-XXXXXX";
    folder_ = mkdtemp(pattern);
    auto ledger = OpenSqliteLedger(folder_ + "/ledger.db");
    EXPECT_TRUE(ledger.ok()) << ledger.status();
    ledger_ = *std::move(ledger);
    desk_ = MakeDesk({});
  }
  ~DeskTest() override {
    ledger_.reset();
    std::filesystem::remove_all(folder_);
  }

  std::unique_ptr<Desk> MakeDesk(const std::vector<RevocationList>& lists) {
    return MakeDesk(lists, clock_);
  }
  std::unique_ptr<Desk> MakeDesk(const std::vector<RevocationList>& lists, Clock& clock) {
    auto trust = Trust::Create({provider_.issuer.certificate}, lists, std::nullopt);
    EXPECT_TRUE(trust.ok()) << trust.status();
    auto key = PrivateKey::FromPkcs8(*provider_.refunds.key.ToPkcs8());
    auto desk = Desk::Create(
        {provider_.root.certificate, {*std::move(key), provider_.refunds.certificate, {}}},
        *std::move(trust), clock, *ledger_);
    EXPECT_TRUE(desk.ok()) << desk.status();
    return *std::move(desk);
  }
  RevocationList List(const std::vector<std::string>& serials, std::chrono::hours life) {
    return *IssueRevocationList(provider_.issuer.certificate, provider_.issuer.key, serials,
                                kTestTime - std::chrono::hours(1), kTestTime + life, 1);
  }
  v1::SignedEnvelope Voucher(uint64_t last, uint64_t price) {
    VoucherOptions options;
    options.secure_space_id = space_.id;
    options.policy.mutable_range()->set_last(last);
    options.payer_reference = "payer 7";
    if (price != 0) {
      options.price.emplace();
      options.price->set_amount_minor(price);
      options.price->set_currency("EUR");
    }
    return provider_.MakeVoucher(session_, options);
  }
  // 0 to `delivered` - 1 were delivered.
  v1::DeliveryNote Note(const std::vector<v1::SignedEnvelope>& vouchers, uint64_t delivered) {
    v1::DeliveryNote note;
    *note.mutable_session() = session_.name().ToProto();
    note.set_terms_identity(ToText(session_.session().terms_identity()));
    note.set_secure_space_id(ToText(space_.id));
    note.set_assurance(v1::ASSURANCE_CLASS_EMULATED);
    for (const v1::SignedEnvelope& voucher : vouchers) {
      *note.add_vouchers()->mutable_voucher() = voucher;
      note.mutable_vouchers()->rbegin()->set_granted(true);
    }
    IdSet ids;
    ids.Insert(0, delivered - 1);
    note.add_receipts()->set_sender_id(1);
    note.mutable_receipts(0)->set_delivered(ToText(*PackIds(ids)));
    note.mutable_receipts(0)->set_late(ToText(*PackIds(IdSet())));
    note.set_status(v1::NOTE_STATUS_FINAL);
    return note;
  }
  v1::NoteFile File(const v1::DeliveryNote& note) {
    v1::NoteFile file;
    *file.mutable_note() =
        *SignEnvelope(payload_type::kDeliveryNote, Serialise(note), space_.note_key, {});
    file.add_secure_space_certificates(ToText(space_.certificate.der()));
    *file.mutable_session_descriptor() = session_.descriptor();
    return file;
  }
  absl::StatusOr<v1::SubmitDeliveryNoteResponse> Submit(Desk& desk, const v1::NoteFile& file) {
    absl::StatusOr<v1::SubmitDeliveryNoteResponse> result;
    absl::Notification done;
    desk.Submit(file, [&](auto answer) {
      result = std::move(answer);
      done.Notify();
    });
    done.WaitForNotification();
    return result;
  }
  absl::StatusOr<v1::SubmitDeliveryNoteResponse> Submit(const v1::NoteFile& file) {
    return Submit(*desk_, file);
  }
  void ExpectRefused(const v1::NoteFile& file, absl::StatusCode code, const std::string& reason) {
    const absl::Status status = Submit(file).status();
    EXPECT_EQ(status.code(), code) << status;
    EXPECT_EQ(ReasonOf(status), reason) << status;
  }
  v1::RefundReceipt Open(const v1::SignedEnvelope& envelope) {
    EXPECT_TRUE(VerifyEnvelopeChain(envelope, payload_type::kRefundReceipt,
                                    provider_.root.certificate,
                                    {.at = kTestTime, .leaf_role = CertificateRole::kRefunds})
                    .ok());
    return *PayloadOf<v1::RefundReceipt>(envelope, "receipt");
  }

  TestProvider provider_;
  ManualClock clock_{kTestTime};
  TestSession session_;
  TestSecureSpace space_;
  std::string folder_;
  std::unique_ptr<Ledger> ledger_;
  std::unique_ptr<Desk> desk_;
};

TEST_F(DeskTest, PaysTheUndeliveredAndAnswersARepeatAlike) {
  const v1::NoteFile file = File(Note({Voucher(9, 1000)}, 7));
  const auto first = Submit(file);
  ASSERT_TRUE(first.ok()) << first.status();
  ASSERT_EQ(first->receipts_size(), 1);
  const v1::RefundReceipt receipt = Open(first->receipts(0));
  EXPECT_EQ(receipt.status(), v1::REFUND_STATUS_PAID);
  EXPECT_EQ(receipt.adus_bought(), 10u);
  EXPECT_EQ(receipt.adus_delivered(), 7u);
  EXPECT_EQ(receipt.adus_owed(), 3u);
  EXPECT_EQ(receipt.amount().amount_minor(), 300u);
  EXPECT_EQ(receipt.amount().currency(), "EUR");
  EXPECT_EQ(AsText(ObjectIdentity(file.note())), receipt.note_identity());
  clock_.Advance(std::chrono::hours(5));
  // Signed anew is the same note.
  v1::NoteFile again = File(Note({}, 1));
  *again.mutable_note() =
      *SignEnvelope(payload_type::kDeliveryNote, file.note().payload(), space_.note_key, {});
  for (const v1::NoteFile& repeat : {file, again}) {
    const auto second = Submit(repeat);
    ASSERT_TRUE(second.ok()) << second.status();
    EXPECT_EQ(Serialise(*second), Serialise(*first));
  }
  const auto payments = ledger_->ClaimPayments(clock_.Now(), std::chrono::seconds(1), 10);
  ASSERT_EQ(payments->size(), 1u);
  EXPECT_EQ((*payments)[0].refund.payer_reference, "payer 7");
  EXPECT_EQ((*payments)[0].refund.amount_minor, 300u);
}

TEST_F(DeskTest, AnotherNoteForTheVoucherIsAConflictThatNamesTheFirst) {
  const v1::SignedEnvelope voucher = Voucher(9, 1000);
  const v1::NoteFile first = File(Note({voucher}, 7));
  ASSERT_TRUE(Submit(first).ok());
  // The other voucher of the second note is decided by itself.
  const auto second = Submit(File(Note({voucher, Voucher(9, 500)}, 1)));
  ASSERT_TRUE(second.ok()) << second.status();
  const v1::RefundReceipt conflict = Open(second->receipts(0));
  EXPECT_EQ(conflict.status(), v1::REFUND_STATUS_CONFLICT);
  EXPECT_EQ(conflict.first_note_identity(), AsText(ObjectIdentity(first.note())));
  EXPECT_EQ(conflict.amount().amount_minor(), 0u);
  EXPECT_EQ(conflict.reason(), "CONFLICT");
  ASSERT_EQ(second->first_notes_size(), 1);
  EXPECT_EQ(Serialise(second->first_notes(0)), Serialise(first.note()));
  EXPECT_EQ(Open(second->receipts(1)).amount().amount_minor(), 450u);
  EXPECT_EQ(ledger_->Outbox()->pending, 2u);
}

TEST_F(DeskTest, SaysInTheReceiptWhyNothingIsPaid) {
  const auto reason = [&](uint64_t price, uint64_t delivered) {
    const auto answer = Submit(File(Note({Voucher(9, price)}, delivered)));
    if (!answer.ok()) return answer.status().ToString();
    EXPECT_EQ(Open(answer->receipts(0)).status(), v1::REFUND_STATUS_REFUSED);
    return Open(answer->receipts(0)).reason();
  };
  EXPECT_EQ(reason(100, 10), "NOTHING_OWED");
  EXPECT_EQ(reason(1, 9), "BELOW_MINIMUM");
  EXPECT_EQ(reason(0, 1), "NO_PRICE");
}

// Fields that nothing signs and that this version does not know.
void Pad(google::protobuf::Message& message, size_t bytes) {
  message.GetReflection()->MutableUnknownFields(&message)->AddLengthDelimited(
      999, std::string(bytes, 'p'));
}

TEST_F(DeskTest, UnknownFieldsMakeNoOtherObjectAndAreNotKept) {
  const v1::NoteFile file = File(Note({Voucher(9, 1000)}, 7));
  for (size_t bytes = 1; bytes <= 20; ++bytes) {
    v1::NoteFile padded = file;
    Pad(padded, bytes);
    Pad(*padded.mutable_note(), bytes);
    Pad(*padded.mutable_session_descriptor(), bytes);
    ASSERT_TRUE(Submit(padded).ok());
  }
  EXPECT_EQ(desk_->known_sessions(), 1u);
  v1::GetRefundRequest request;
  request.set_provider(ToText(provider_.id()));
  request.set_voucher_id(Open(Submit(file)->receipts(0)).voucher_id());
  EXPECT_EQ(Serialise(desk_->Find(request)->note()), Serialise(file.note()));
}

TEST_F(DeskTest, FindsWhatWasAnswered) {
  const v1::NoteFile file = File(Note({Voucher(9, 1000)}, 7));
  v1::GetRefundRequest request;
  request.set_provider(ToText(provider_.id()));
  request.set_voucher_id(std::string(16, 'x'));
  EXPECT_EQ(ReasonOf(desk_->Find(request).status()), "REFUND_NOT_FOUND");
  const auto answer = Submit(file);
  request.set_voucher_id(Open(answer->receipts(0)).voucher_id());
  const auto found = desk_->Find(request);
  ASSERT_TRUE(found.ok()) << found.status();
  EXPECT_EQ(Serialise(found->receipt()), Serialise(answer->receipts(0)));
  EXPECT_EQ(Serialise(found->note()), Serialise(file.note()));
  request.set_provider("short");
  EXPECT_EQ(ReasonOf(desk_->Find(request).status()), "MALFORMED");
}

TEST_F(DeskTest, RefusesWithItsReason) {
  const v1::DeliveryNote note = Note({Voucher(9, 1000)}, 7);
  v1::NoteFile file = File(note);
  file.clear_session_descriptor();
  ExpectRefused(file, absl::StatusCode::kInvalidArgument, "NOTE_MALFORMED");
  file = File(note);
  file.mutable_session_descriptor()->mutable_signature()->front() ^= 1;
  ExpectRefused(file, absl::StatusCode::kUnauthenticated, "DESCRIPTOR");
  // Also where the good one is known by now.
  EXPECT_TRUE(Submit(File(Note({Voucher(9, 1)}, 7))).ok());
  ExpectRefused(file, absl::StatusCode::kUnauthenticated, "DESCRIPTOR");
  file = File(note);
  TestProvider other(kTestTime, 2);
  *file.mutable_session_descriptor() = other.MakeSession().descriptor();
  ExpectRefused(file, absl::StatusCode::kPermissionDenied, "OTHER_PROVIDER");
  file = File(note);
  file.set_secure_space_certificates(0, ToText(other.MakeSecureSpace().certificate.der()));
  ExpectRefused(file, absl::StatusCode::kUnauthenticated, "SECURE_SPACE_UNTRUSTED");
  file = File(note);
  file.mutable_note()->mutable_signature()->front() ^= 1;
  ExpectRefused(file, absl::StatusCode::kUnauthenticated, "NOTE_SIGNATURE");
  v1::DeliveryNote interim = note;
  interim.set_status(v1::NOTE_STATUS_INTERIM);
  ExpectRefused(File(interim), absl::StatusCode::kFailedPrecondition, "NOTE_NOT_FINAL");
  ExpectRefused(File(Note({Voucher(9, 1000)}, 11)), absl::StatusCode::kOutOfRange,
                "NOTE_EXCEEDS_PURCHASE");
  ExpectRefused(File(Note({Voucher(9, uint64_t{1} << 63)}, 1)), absl::StatusCode::kInvalidArgument,
                "NOTE_MALFORMED");
}

// Holds the next `most` that ask for the time until it lets them go.
class HeldClock final : public Clock {
 public:
  Timestamp Now() override {
    if (left_.fetch_sub(1) > 0) {
      held_->DecrementCount();
      let_go_.WaitForNotification();
    }
    return kTestTime;
  }
  void Hold(int most) {
    held_.emplace(most);
    left_ = most;
  }
  void WaitUntilAllAreHeld() { held_->Wait(); }
  void LetGo() { let_go_.Notify(); }

 private:
  std::atomic<int> left_ = 0;
  std::optional<absl::BlockingCounter> held_;
  absl::Notification let_go_;
};

TEST_F(DeskTest, JudgesFewLargeNotesAtOnce) {
  HeldClock clock;
  const auto desk = MakeDesk({}, clock);
  v1::NoteFile large = File(Note({Voucher(9, 1000)}, 7));
  large.mutable_note()->set_payload(std::string(kMaxPayloadBytes, 'x'));
  std::vector<std::thread> submitters;
  constexpr int kFit = Desk::kMostRangesInWork / kMaxNoteRanges;
  clock.Hold(kFit);
  for (int i = 0; i < kFit; ++i) {
    submitters.emplace_back(
        [&] { EXPECT_EQ(ReasonOf(Submit(*desk, large).status()), "NOTE_SIGNATURE"); });
  }
  clock.WaitUntilAllAreHeld();
  const absl::Status busy = Submit(*desk, large).status();
  EXPECT_EQ(busy.code(), absl::StatusCode::kResourceExhausted);
  EXPECT_EQ(ReasonOf(busy), "DESK_BUSY");
  // Whoever keeps large ones coming keeps nobody's small one out.
  const auto small = Submit(*desk, File(Note({Voucher(9, 1000)}, 7)));
  EXPECT_TRUE(small.ok()) << small.status();
  EXPECT_GT(RetryAfterSeconds(busy), 0);
  clock.LetGo();
  for (std::thread& submitter : submitters) submitter.join();
  EXPECT_TRUE(Submit(*desk, File(Note({Voucher(9, 1000)}, 7))).ok());
}

TEST_F(DeskTest, APurchaseStaysRefundableAfterTheTillExpired) {
  const v1::NoteFile file = File(Note({Voucher(9, 1000)}, 7));
  clock_.Advance(provider_.till.certificate.not_after() - kTestTime + std::chrono::hours(1));
  const auto paid = Submit(file);
  ASSERT_TRUE(paid.ok()) << paid.status();
  const auto receipt = PayloadOf<v1::RefundReceipt>(paid->receipts(0), "receipt");
  EXPECT_EQ(receipt->status(), v1::REFUND_STATUS_PAID);
  // The till sells nothing any more: a voucher of today, or of before its time.
  for (const auto& shift :
       {clock_.Now() - kTestTime, -std::chrono::microseconds(std::chrono::hours(24 * 365))}) {
    v1::Voucher voucher = *PayloadOf<v1::Voucher>(Voucher(9, 1000), "voucher");
    voucher.set_issue_time_us(ToMicros(kTestTime + shift));
    const auto forged = *SignEnvelope(payload_type::kVoucher, Serialise(voucher),
                                      provider_.till.key, {provider_.till.certificate});
    ExpectRefused(File(Note({forged}, 7)), absl::StatusCode::kUnauthenticated, "NOTE_VOUCHER");
  }
}

TEST_F(DeskTest, AnExpiredSecureSpaceIsPaidARevokedOneIsNot) {
  const v1::NoteFile file = File(Note({Voucher(9, 1000)}, 7));
  const auto revoking = MakeDesk({List({space_.certificate.serial_hex()}, std::chrono::hours(9))});
  EXPECT_EQ(ReasonOf(Submit(*revoking, file).status()), "SECURE_SPACE_REVOKED");
  const auto stale = MakeDesk({List({}, std::chrono::hours(0))});
  const absl::Status expired = Submit(*stale, file).status();
  EXPECT_EQ(ReasonOf(expired), "LISTS_EXPIRED");
  EXPECT_GT(RetryAfterSeconds(expired), 0);
  EXPECT_EQ(ReasonOf(stale->CheckLists()), "LISTS_EXPIRED");
  // Roles live as long as a secure space at the most: an old certificate of its own.
  CertificateTemplate old;
  old.common_name = "old";
  old.role = CertificateRole::kSecureSpace;
  old.not_before = kTestTime - std::chrono::minutes(30);
  old.not_after = kTestTime - std::chrono::minutes(10);
  old.secure_space_scope = space_.certificate.secure_space_scope();
  auto certificate = IssueCertificate(old, space_.attestation_key.public_key(),
                                      provider_.issuer.certificate, provider_.issuer.key);
  ASSERT_TRUE(certificate.ok()) << certificate.status();
  v1::NoteFile late = file;
  late.set_secure_space_certificates(0, ToText(certificate->der()));
  const auto paid = Submit(late);
  ASSERT_TRUE(paid.ok()) << paid.status();
  EXPECT_EQ(Open(paid->receipts(0)).status(), v1::REFUND_STATUS_PAID);
}

}  // namespace
}  // namespace nark::refunds
