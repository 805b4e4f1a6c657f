#include <gtest/gtest.h>

#include "common/base/status.h"
#include "common/object/delivery_note.h"
#include "common/object/envelope.h"
#include "common/object/id_codec.h"
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
  EXPECT_TRUE(note->vouchers(0).granted());
  ASSERT_EQ(note->receipts_size(), 1);
  const v1::SenderReceipts& receipts = note->receipts(0);
  EXPECT_EQ(receipts.sender_id(), 1u);
  EXPECT_EQ(receipts.highest_signed_time_us(), ToMicros(kTestTime));
  IdSet released;
  released.Insert(3, 5);
  released.Insert(9);
  EXPECT_EQ(receipts.delivered(), ToText(*PackIds(released)));
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

v1::GetDeliveryNoteRequest AskNaming(const TestWorld& world,
                                     const std::vector<v1::SignedEnvelope>& vouchers) {
  v1::GetDeliveryNoteRequest request = Ask(world, v1::NOTE_STATUS_FINAL);
  *request.mutable_session_descriptor() = world.session.descriptor();
  for (const v1::SignedEnvelope& voucher : vouchers) *request.add_vouchers() = voucher;
  return request;
}

// What VerifyNote says of the note for such a request.
absl::StatusOr<VerifiedNote> VerifiedFinal(TestWorld& world,
                                           const v1::GetDeliveryNoteRequest& request) {
  ASSIGN_OR_RETURN(v1::GetDeliveryNoteResponse response, world.space().GetDeliveryNote(request));
  ASSIGN_OR_RETURN(NoteSigner signer, NoteSigner::Of(world.identity.certificate));
  SignerCache tills;
  return VerifyNote(response.note(), world.session.session(), signer, tills, kTestTime);
}

TEST(UnservedVoucherTest, AreNamedByTheFinalNoteBehindThoseGranted) {
  TestWorld world;
  v1::SignedEnvelope granted = world.Voucher(0, 9);
  v1::SignedEnvelope unserved = world.Voucher(10, 19);
  ASSERT_TRUE(world.Join(granted).ok());
  ASSERT_EQ(world.Reason(3), v1::REFUSAL_REASON_UNSPECIFIED);
  auto note = VerifiedFinal(world, AskNaming(world, {unserved, granted, unserved}));
  ASSERT_TRUE(note.ok()) << note.status();
  ASSERT_EQ(note->vouchers.size(), 2u);
  EXPECT_EQ(note->vouchers[0].bought.identity, ObjectIdentity(granted));
  EXPECT_TRUE(note->vouchers[0].granted);
  EXPECT_EQ(note->vouchers[1].bought.identity, ObjectIdentity(unserved));
  EXPECT_FALSE(note->vouchers[1].granted);
}

TEST(UnservedVoucherTest, CloseASessionThatWasNeverJoined) {
  TestWorld world;
  v1::SignedEnvelope voucher = world.Voucher(0, 9);
  auto note = VerifiedFinal(world, AskNaming(world, {voucher}));
  ASSERT_TRUE(note.ok()) << note.status();
  ASSERT_EQ(note->vouchers.size(), 1u);
  EXPECT_FALSE(note->vouchers[0].granted);
  EXPECT_TRUE(note->streams.empty());
  EXPECT_EQ(note->note.status(), v1::NOTE_STATUS_FINAL);
  for (int opening = 0; opening < 2; ++opening) {
    EXPECT_EQ(ReasonOf(world.Join(voucher).status()), "SESSION_CLOSED");
    EXPECT_EQ(ReasonOf(world.Join(world.Voucher(20, 29)).status()), "SESSION_CLOSED");
    EXPECT_EQ(world.Reason(1), v1::REFUSAL_REASON_CLOSED);
    EXPECT_EQ(world.space().GetIdentity()->grants_size(), 0);
    ASSERT_TRUE(world.Reopen().ok());
  }
}

TEST(UnservedVoucherTest, KeepTheGrantOfAnExchangeThatWasPendingOut) {
  TestWorld world;
  v1::SignedEnvelope voucher = world.Voucher(0, 9);
  v1::AttestRequest request = AttestRequestFor(world.session.descriptor(), voucher);
  auto evidence = world.space().Attest(request);
  ASSERT_TRUE(evidence.ok());
  ASSERT_TRUE(VerifiedFinal(world, AskNaming(world, {voucher})).ok());
  v1::InstallGrantRequest install;
  *install.mutable_session() = world.session.name().ToProto();
  *install.mutable_grant() = *MakeGrant(world.provider, world.session, voucher, request, *evidence);
  absl::Status status = world.space().InstallGrant(install).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_EQ(ReasonOf(status), "SESSION_CLOSED");
}

TEST(UnservedVoucherTest, DoNotChangeANoteThatStands) {
  TestWorld world;
  v1::SignedEnvelope voucher = world.Voucher(0, 9);
  auto first = world.space().GetDeliveryNote(AskNaming(world, {voucher}));
  ASSERT_TRUE(first.ok()) << first.status();
  for (const auto& named : std::vector<std::vector<v1::SignedEnvelope>>{
           {}, {voucher}, {world.Voucher(5, 6)}, {voucher, world.Voucher(7, 8)}}) {
    ASSERT_TRUE(world.Reopen().ok());
    auto again = world.space().GetDeliveryNote(AskNaming(world, named));
    ASSERT_TRUE(again.ok()) << again.status();
    EXPECT_EQ(Serialise(*again), Serialise(*first));
  }
}

TEST(UnservedVoucherTest, AreRefusedWhereTheyDoNotBelong) {
  TestWorld world;
  ASSERT_TRUE(world.Join(world.Voucher(0, 9)).ok());
  v1::SignedEnvelope voucher = world.Voucher(10, 19);

  v1::GetDeliveryNoteRequest interim = AskNaming(world, {voucher});
  interim.set_status(v1::NOTE_STATUS_INTERIM);
  EXPECT_TRUE(absl::IsInvalidArgument(world.space().GetDeliveryNote(interim).status()));

  auto many = AskNaming(world, std::vector<v1::SignedEnvelope>(17, voucher));
  EXPECT_TRUE(absl::IsInvalidArgument(world.space().GetDeliveryNote(many).status()));

  TestSecureSpace other = world.provider.MakeSecureSpace();
  auto others = AskNaming(world, {world.provider.MakeVoucher(world.session, other.id, 0, 9)});
  EXPECT_TRUE(absl::IsInvalidArgument(world.space().GetDeliveryNote(others).status()));

  v1::SignedEnvelope forged = voucher;
  (*forged.mutable_signature())[10] ^= 1;
  EXPECT_TRUE(
      absl::IsUnauthenticated(world.space().GetDeliveryNote(AskNaming(world, {forged})).status()));

  TestSession elsewhere = world.provider.MakeSession();
  auto foreign = AskNaming(world, {world.provider.MakeVoucher(elsewhere, world.identity.id, 0, 9)});
  EXPECT_FALSE(world.space().GetDeliveryNote(foreign).ok());
  *foreign.mutable_session_descriptor() = elsewhere.descriptor();
  EXPECT_TRUE(absl::IsInvalidArgument(world.space().GetDeliveryNote(foreign).status()));

  v1::GetDeliveryNoteRequest bare = AskNaming(world, {voucher});
  bare.clear_session_descriptor();
  EXPECT_FALSE(world.space().GetDeliveryNote(bare).ok());

  // Nothing was closed by any of them.
  EXPECT_EQ(world.Reason(1), v1::REFUSAL_REASON_UNSPECIFIED);
}

TEST(UnservedVoucherTest, MustNotShareAnIdWithAnother) {
  TestWorld world;
  VoucherOptions options;
  options.secure_space_id = world.identity.id;
  options.policy.mutable_range()->set_last(9);
  // One id twice: what a till with a broken generator would sell.
  SeededRandom same(5), again(5);
  auto one = MakeVoucher(options, world.session.session(), world.provider.till, kTestTime, same);
  options.policy.mutable_range()->set_last(99);
  auto two = MakeVoucher(options, world.session.session(), world.provider.till, kTestTime, again);
  ASSERT_TRUE(one.ok() && two.ok());
  EXPECT_TRUE(absl::IsInvalidArgument(
      world.space().GetDeliveryNote(AskNaming(world, {*one, *two})).status()));
  ASSERT_TRUE(world.Join(*one).ok());
  EXPECT_EQ(ReasonOf(world.Join(*two).status()), "GRANT_REFUSED");
  EXPECT_TRUE(
      absl::IsInvalidArgument(world.space().GetDeliveryNote(AskNaming(world, {*two})).status()));
}

// Nobody takes a note with fields that are not known, and it can not be signed again.
TEST(DeliveryNoteTest, KeepsNoUnknownFieldsOfVouchers) {
  TestWorld world;
  const auto padded = [&](uint64_t first, uint64_t last) {
    v1::SignedEnvelope voucher = world.Voucher(first, last);
    voucher.GetReflection()->MutableUnknownFields(&voucher)->AddVarint(999, 1);
    return voucher;
  };
  ASSERT_TRUE(world.Join(padded(0, 9)).ok());
  const auto note = VerifiedFinal(world, AskNaming(world, {padded(10, 19)}));
  ASSERT_TRUE(note.ok()) << note.status();
  EXPECT_EQ(note->vouchers.size(), 2u);
}

TEST(UnservedVoucherTest, AreNamedAfterTheirTillExpired) {
  TestWorld world;
  const v1::SignedEnvelope voucher = world.Voucher(0, 9);
  world.clock.Advance(world.provider.till.certificate.not_after() - kTestTime +
                      std::chrono::hours(1));
  const auto note = VerifiedFinal(world, AskNaming(world, {voucher}));
  ASSERT_TRUE(note.ok()) << note.status();
  EXPECT_TRUE(world.Reopen().ok());
}

TEST(UnservedVoucherTest, AreNamedOnceTheClassIsCertifiedOnly) {
  TestWorld world;
  auto bare =
      Emulation::Open(KeysOf(world.identity), {}, {world.storage, world.clock, world.random});
  ASSERT_TRUE(bare.ok());
  EXPECT_EQ((*bare)->GetDeliveryNote(AskNaming(world, {world.Voucher(0, 9)})).status().code(),
            absl::StatusCode::kFailedPrecondition);
}

// Ranges as a listener makes them who takes `present` ids and leaves out some.
template <typename Present, typename Missing>
absl::Status ReleaseRanges(TestWorld& world, size_t ranges, Present present, Missing missing) {
  return world.EditState([&](SessionState& state) {
    Receipts& released = *state.Stream({0, 1}).released;
    uint64_t id = 0;
    for (size_t i = 0; i < ranges; ++i) {
      for (uint64_t n = present(); n > 0; --n) released.Insert(id++);
      id += missing();
    }
  });
}

TEST(LargeNoteTest, HoldsAsManyRangesAsCanBePacked) {
  TestWorld world;
  ASSERT_TRUE(world.Join(world.Voucher(0, uint64_t{1} << 26)).ok());
  const auto one = [] { return uint64_t{1}; };
  ASSERT_TRUE(ReleaseRanges(world, kMaxPackedRanges, one, one).ok());
  auto note = VerifiedFinal(world, Ask(world, v1::NOTE_STATUS_FINAL));
  ASSERT_TRUE(note.ok()) << note.status();
  ASSERT_EQ(note->streams.size(), 1u);
  EXPECT_EQ(note->streams[0].delivered.ranges().size(), kMaxPackedRanges);
}

TEST(LargeNoteTest, LeavesTheSessionOpenWhereThereAreMoreRanges) {
  TestWorld world;
  ASSERT_TRUE(world.Join(world.Voucher(0, uint64_t{1} << 26)).ok());
  const auto one = [] { return uint64_t{1}; };
  ASSERT_TRUE(ReleaseRanges(world, kMaxPackedRanges + 1, one, one).ok());
  absl::Status closed = world.space().GetDeliveryNote(Ask(world, v1::NOTE_STATUS_FINAL)).status();
  EXPECT_TRUE(absl::IsResourceExhausted(closed)) << closed;
  EXPECT_NE(closed.message().find("stays open"), absl::string_view::npos) << closed;
  // Filling one gap makes it fit again.
  EXPECT_EQ(world.Reason(1), v1::REFUSAL_REASON_UNSPECIFIED);
  auto note = VerifiedFinal(world, Ask(world, v1::NOTE_STATUS_FINAL));
  EXPECT_TRUE(note.ok()) << note.status();
}

// What is released and what is late count together, as for whoever verifies it.
TEST(LargeNoteTest, CountsTheRangesOfAllItsSets) {
  TestWorld world;
  ASSERT_TRUE(world.Join(world.Voucher(0, uint64_t{1} << 26)).ok());
  const auto one = [] { return uint64_t{1}; };
  const auto three = [] { return uint64_t{3}; };
  constexpr uint64_t kLate = 1000;
  ASSERT_TRUE(ReleaseRanges(world, kMaxNoteRanges - kLate, one, three).ok());
  const auto late = [&](uint64_t ranges) {
    return world.EditState([&](SessionState& state) {
      for (uint64_t i = 0; i < ranges; ++i) state.Stream({0, 1}).late.Insert(4 * i + 2);
    });
  };
  ASSERT_TRUE(late(kLate + 1).ok());
  absl::Status closed = world.space().GetDeliveryNote(Ask(world, v1::NOTE_STATUS_FINAL)).status();
  EXPECT_TRUE(absl::IsResourceExhausted(closed)) << closed;
  EXPECT_NE(closed.message().find("stays open"), absl::string_view::npos) << closed;
  ASSERT_TRUE(world.EditState([&](SessionState& state) {
                     state.Stream({0, 1}).late.Remove(2);
                   })
                  .ok());
  auto note = VerifiedFinal(world, Ask(world, v1::NOTE_STATUS_FINAL));
  ASSERT_TRUE(note.ok()) << note.status();
  EXPECT_EQ(note->streams[0].delivered.ranges().size() + note->streams[0].late.ranges().size(),
            kMaxNoteRanges);
}

TEST(LargeNoteTest, LeavesTheSessionOpenWhereItCannotBeSigned) {
  TestWorld world;
  ASSERT_TRUE(world.Join(world.Voucher(0, uint64_t{1} << 26)).ok());
  SeededRandom random(3);
  const auto some = [&] { return 1 + random.Below(30); };
  ASSERT_TRUE(ReleaseRanges(world, 900'000, some, some).ok());
  absl::Status closed = world.space().GetDeliveryNote(Ask(world, v1::NOTE_STATUS_FINAL)).status();
  EXPECT_TRUE(absl::IsResourceExhausted(closed)) << closed;
  EXPECT_NE(closed.message().find("stays open"), absl::string_view::npos) << closed;
  EXPECT_EQ(world.Reason(uint64_t{1} << 26), v1::REFUSAL_REASON_UNSPECIFIED);
  ASSERT_TRUE(world.Reopen().ok());
  EXPECT_EQ(world.Reason((uint64_t{1} << 26) - 1), v1::REFUSAL_REASON_UNSPECIFIED);
}

}  // namespace
}  // namespace nark::securespace
