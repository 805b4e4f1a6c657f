#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "common/base/status.h"
#include "common/object/envelope.h"
#include "securespace/testing.h"

namespace nark::securespace {
namespace {

v1::GetDeliveryNoteRequest Ask(const TestWorld& world, v1::NoteStatus status) {
  v1::GetDeliveryNoteRequest request;
  *request.mutable_session() = world.session.name().ToProto();
  request.set_status(status);
  return request;
}

TEST(DeliveryNoteTest, SaysExactlyWhatWasReleased) {
  TestWorld world;
  v1::SignedEnvelope voucher = world.Voucher(0, 99);
  ASSERT_TRUE(world.Join(voucher).ok());
  for (uint64_t id : {3, 4, 5, 9}) ASSERT_EQ(world.Reason(id), v1::REFUSAL_REASON_UNSPECIFIED);
  absl::StatusOr<v1::DeliveryNote> note = world.Note();
  ASSERT_TRUE(note.ok()) << note.status();
  EXPECT_EQ(Serialise(note->session()), Serialise(world.session.name().ToProto()));
  EXPECT_EQ(note->terms_identity(), ToText(world.session.session().terms_identity()));
  EXPECT_EQ(note->secure_space_id(), ToText(world.identity.id));
  EXPECT_EQ(note->assurance(), v1::ASSURANCE_CLASS_EMULATED);
  EXPECT_EQ(note->status(), v1::NOTE_STATUS_INTERIM);
  ASSERT_EQ(note->vouchers_size(), 1);
  EXPECT_EQ(Serialise(note->vouchers(0).voucher()), Serialise(voucher));
  ASSERT_EQ(note->receipts_size(), 1);
  const v1::SenderReceipts& receipts = note->receipts(0);
  EXPECT_EQ(receipts.sender_id(), 1u);
  EXPECT_EQ(receipts.highest_signed_time_us(), ToMicros(kTestTime));
  EXPECT_THAT(RangesOf(receipts.delivered()),
              testing::ElementsAre(testing::Pair(3, 5), testing::Pair(9, 9)));
}

TEST(DeliveryNoteTest, IsSignedByTheNoteKeyAndNoOther) {
  TestWorld world;
  ASSERT_TRUE(world.Join(world.Voucher(0, 9)).ok());
  auto response = world.space().GetDeliveryNote(Ask(world, v1::NOTE_STATUS_INTERIM));
  ASSERT_TRUE(response.ok());
  EXPECT_TRUE(VerifyEnvelope(response->note(), payload_type::kDeliveryNote,
                             world.identity.note_key.public_key())
                  .ok());
  EXPECT_FALSE(VerifyEnvelope(response->note(), payload_type::kDeliveryNote,
                              world.identity.attestation_key.public_key())
                   .ok());
  EXPECT_EQ(response->secure_space_certificates_size(), 1);
}

TEST(DeliveryNoteTest, TheFinalNoteIsFrozen) {
  TestWorld world;
  ASSERT_TRUE(world.Join(world.Voucher(0, 9)).ok());
  ASSERT_EQ(world.Reason(1), v1::REFUSAL_REASON_UNSPECIFIED);
  auto first = world.space().GetDeliveryNote(Ask(world, v1::NOTE_STATUS_FINAL));
  ASSERT_TRUE(first.ok()) << first.status();
  EXPECT_EQ(world.Reason(2), v1::REFUSAL_REASON_CLOSED);
  ASSERT_TRUE(world.Reopen().ok());
  auto second = world.space().GetDeliveryNote(Ask(world, v1::NOTE_STATUS_FINAL));
  ASSERT_TRUE(second.ok());
  EXPECT_EQ(Serialise(*first), Serialise(*second));
  absl::Status interim =
      world.space().GetDeliveryNote(Ask(world, v1::NOTE_STATUS_INTERIM)).status();
  EXPECT_EQ(interim.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_EQ(ReasonOf(interim), "SESSION_CLOSED");
}

TEST(DeliveryNoteTest, NeedsASessionAndAStatus) {
  TestWorld world;
  absl::Status none = world.space().GetDeliveryNote(Ask(world, v1::NOTE_STATUS_INTERIM)).status();
  EXPECT_EQ(none.code(), absl::StatusCode::kNotFound);
  EXPECT_EQ(ReasonOf(none), "NO_GRANT");
  EXPECT_TRUE(absl::IsInvalidArgument(
      world.space().GetDeliveryNote(Ask(world, v1::NOTE_STATUS_UNSPECIFIED)).status()));
  EXPECT_TRUE(absl::IsInvalidArgument(
      world.space().GetDeliveryNote(v1::GetDeliveryNoteRequest()).status()));
}

}  // namespace
}  // namespace nark::securespace
