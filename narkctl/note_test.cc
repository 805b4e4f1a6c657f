#include "narkctl/note.h"

#include <string>
#include <utility>
#include <vector>

#include "common/base/status.h"
#include "common/object/envelope.h"
#include "common/object/id_codec.h"
#include "common/object/testing.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace nark::narkctl {
namespace {

using ::testing::HasSubstr;

class NoteTest : public ::testing::Test {
 protected:
  NoteTest() : session_(provider_.MakeSession()), space_(provider_.MakeSecureSpace()) {}

  v1::DeliveryNote Note(std::vector<v1::SignedEnvelope> vouchers) {
    v1::DeliveryNote note;
    *note.mutable_session() = session_.name().ToProto();
    note.set_terms_identity(ToText(session_.session().terms_identity()));
    note.set_secure_space_id(ToText(space_.id));
    note.set_assurance(v1::ASSURANCE_CLASS_EMULATED);
    for (v1::SignedEnvelope& voucher : vouchers) {
      v1::NoteVoucher& noted = *note.add_vouchers();
      *noted.mutable_voucher() = std::move(voucher);
      noted.set_granted(true);
    }
    v1::SenderReceipts* receipts = note.add_receipts();
    receipts->set_sender_id(1);
    receipts->set_delivered(Packed({{0, 9}, {12, 12}}));
    receipts->set_late(Packed({{10, 11}}));
    v1::RefusalCount* refusal = note.add_refusals();
    refusal->set_reason(v1::REFUSAL_REASON_LATE);
    refusal->set_count(2);
    note.set_counter(7);
    note.set_status(v1::NOTE_STATUS_FINAL);
    return note;
  }
  static std::string Packed(const std::vector<std::pair<uint64_t, uint64_t>>& ranges) {
    IdSet ids;
    for (const auto& [first, last] : ranges) ids.Insert(first, last);
    return ToText(*PackIds(ids));
  }
  v1::NoteFile File(const v1::DeliveryNote& note) {
    v1::NoteFile file;
    *file.mutable_note() =
        *SignEnvelope(payload_type::kDeliveryNote, Serialise(note), space_.note_key, {});
    file.add_secure_space_certificates(ToText(space_.certificate.der()));
    *file.mutable_session_descriptor() = session_.descriptor();
    return file;
  }
  v1::SignedEnvelope Voucher(uint64_t first, uint64_t last, uint64_t count = 0) {
    VoucherOptions options;
    options.secure_space_id = space_.id;
    options.policy.mutable_range()->set_first(first);
    options.policy.mutable_range()->set_last(last);
    options.policy.set_count(count);
    return provider_.MakeVoucher(session_, options);
  }
  uint64_t Bought(std::vector<v1::SignedEnvelope> vouchers) {
    v1::DeliveryNote note = Note(std::move(vouchers));
    note.clear_receipts();
    absl::StatusOr<CheckedNote> checked = CheckNote(File(note), std::nullopt, kTestTime);
    EXPECT_TRUE(checked.ok()) << checked.status();
    return checked.ok() ? AdusBought(*checked) : 0;
  }

  TestProvider provider_;
  TestSession session_;
  TestSecureSpace space_;
};

TEST_F(NoteTest, ShowsWhatWasDelivered) {
  absl::StatusOr<CheckedNote> note =
      CheckNote(File(Note({Voucher(0, 19)})), provider_.issuer.certificate, kTestTime);
  ASSERT_TRUE(note.ok()) << note.status();
  const auto json = nlohmann::json::parse(ShowNote(*note).ToJson());
  EXPECT_EQ(json["status"], "FINAL");
  EXPECT_EQ(json["bought"], 20);
  EXPECT_EQ(json["delivered"], 11);
  EXPECT_EQ(json["late"], 2);
  EXPECT_EQ(json["missing"], 9);
  EXPECT_EQ(json["refused"], nlohmann::json({{"LATE", 2}}));
  EXPECT_EQ(json["senders"][0]["id"], 1);
  EXPECT_EQ(json["senders"][0]["delivered_ranges"], nlohmann::json({{0, 9}, {12, 12}}));
  EXPECT_EQ(json["issuer_verified"], true);
  EXPECT_THAT(ShowNote(*note).ToText(), HasSubstr("0-9, 12\n"));
}

TEST_F(NoteTest, CountsEachAduBoughtOnce) {
  EXPECT_EQ(Bought({Voucher(0, 9), Voucher(5, 14)}), 15u);
  EXPECT_EQ(Bought({Voucher(0, 9), Voucher(10, 19), Voucher(3, 3)}), 20u);
  EXPECT_EQ(Bought({Voucher(0, 99, 5)}), 5u);
  EXPECT_EQ(Bought({Voucher(0, 99, 5), Voucher(0, 99, 6)}), 11u);
  // Only ids outside the range cost of the count, and there are but two.
  EXPECT_EQ(Bought({Voucher(0, 9), Voucher(0, 11, 5)}), 12u);
}

TEST_F(NoteTest, SaysWhatWasBoughtAndNeverGranted) {
  v1::DeliveryNote note = Note({Voucher(0, 19), Voucher(20, 29)});
  note.mutable_vouchers(1)->set_granted(false);
  absl::StatusOr<CheckedNote> checked = CheckNote(File(note), std::nullopt, kTestTime);
  ASSERT_TRUE(checked.ok()) << checked.status();
  const auto json = nlohmann::json::parse(ShowNote(*checked).ToJson());
  EXPECT_EQ(json["vouchers_not_granted"], 1);
  EXPECT_EQ(json["bought"], 30);
  EXPECT_EQ(json["missing"], 19);
  EXPECT_THAT(ShowNote(*checked).ToText(), HasSubstr("Vouchers not granted"));
}

TEST_F(NoteTest, IsRefusedUnderAnothersKeyOrIssuer) {
  v1::NoteFile file = File(Note({Voucher(0, 19)}));
  TestSecureSpace other = provider_.MakeSecureSpace();
  file.set_secure_space_certificates(0, ToText(other.certificate.der()));
  EXPECT_EQ(ReasonOf(CheckNote(file, std::nullopt, kTestTime).status()), "NOTE_SIGNATURE");
  TestProvider stranger(kTestTime, 2);
  EXPECT_EQ(CheckNote(File(Note({Voucher(0, 19)})), stranger.issuer.certificate, kTestTime)
                .status()
                .code(),
            absl::StatusCode::kUnauthenticated);
}

}  // namespace
}  // namespace nark::narkctl
