#include "narkctl/note.h"

#include <functional>

#include "common/base/status.h"
#include "common/object/envelope.h"
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
    for (v1::SignedEnvelope& voucher : vouchers) *note.add_vouchers() = std::move(voucher);
    v1::SenderReceipts* receipts = note.add_receipts();
    receipts->set_sender_id(1);
    AddRange(*receipts->mutable_delivered(), 0, 9);
    AddRange(*receipts->mutable_delivered(), 12, 12);
    AddRange(*receipts->mutable_late(), 10, 11);
    v1::RefusalCount* refusal = note.add_refusals();
    refusal->set_reason(v1::REFUSAL_REASON_LATE);
    refusal->set_count(2);
    note.set_counter(7);
    note.set_status(v1::NOTE_STATUS_FINAL);
    return note;
  }
  static void AddRange(google::protobuf::RepeatedPtrField<v1::AduRange>& ranges, uint64_t first,
                       uint64_t last) {
    v1::AduRange* range = ranges.Add();
    range->set_first(first);
    range->set_last(last);
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
    return AdusBought(*VerifyNote(File(Note(std::move(vouchers))), std::nullopt, kTestTime));
  }

  TestProvider provider_;
  TestSession session_;
  TestSecureSpace space_;
};

TEST_F(NoteTest, ShowsWhatWasDelivered) {
  absl::StatusOr<VerifiedNote> note =
      VerifyNote(File(Note({Voucher(0, 19)})), provider_.issuer.certificate, kTestTime);
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
  EXPECT_EQ(Bought({}), 0u);
  EXPECT_EQ(Bought({Voucher(0, 9), Voucher(5, 14)}), 15u);
  EXPECT_EQ(Bought({Voucher(0, 9), Voucher(10, 19), Voucher(3, 3)}), 20u);
  EXPECT_EQ(Bought({Voucher(0, 99, 5)}), 5u);
  EXPECT_EQ(Bought({Voucher(0, 99, 5), Voucher(0, 99, 6)}), 11u);
  // Only ids outside the range cost of the count, and there are but two.
  EXPECT_EQ(Bought({Voucher(0, 9), Voucher(0, 11, 5)}), 12u);
}

TEST_F(NoteTest, IsRefusedWhereItDoesNotBelong) {
  using Change = std::function<void(v1::DeliveryNote&)>;
  const std::pair<const char*, Change> cases[] = {
      {"another session",
       [](auto& n) { n.mutable_session()->set_session_id(std::string(16, 'x')); }},
      {"another session", [](auto& n) { n.clear_terms_identity(); }},
      {"another secure space", [](auto& n) { n.set_secure_space_id(std::string(32, 'x')); }},
      {"another secure space", [](auto& n) { n.set_assurance(v1::ASSURANCE_CLASS_CARD); }},
      {"sorted", [](auto& n) { n.mutable_receipts(0)->mutable_delivered()->SwapElements(0, 1); }},
      {"sorted", [](auto& n) { n.mutable_receipts(0)->mutable_delivered(0)->set_last(11); }},
      {"twice", [](auto& n) { *n.add_receipts() = n.receipts(0); }},
      {"without a reason", [](auto& n) { n.mutable_refusals(0)->clear_reason(); }},
      {"INTERIM", [](auto& n) { n.clear_status(); }},
  };
  for (const auto& [message, change] : cases) {
    v1::DeliveryNote note = Note({Voucher(0, 19)});
    change(note);
    absl::Status status = VerifyNote(File(note), std::nullopt, kTestTime).status();
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << message << ": " << status;
    EXPECT_THAT(Std(status.message()), HasSubstr(message));
  }
}

TEST_F(NoteTest, IsRefusedUnderAnothersKeyOrIssuer) {
  v1::NoteFile file = File(Note({}));
  TestSecureSpace other = provider_.MakeSecureSpace();
  file.set_secure_space_certificates(0, ToText(other.certificate.der()));
  EXPECT_EQ(VerifyNote(file, std::nullopt, kTestTime).status().code(),
            absl::StatusCode::kUnauthenticated);
  TestProvider stranger(kTestTime, 2);
  EXPECT_EQ(VerifyNote(File(Note({})), stranger.issuer.certificate, kTestTime).status().code(),
            absl::StatusCode::kUnauthenticated);
}

}  // namespace
}  // namespace nark::narkctl
