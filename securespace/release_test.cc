#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <thread>

#include "common/base/status.h"
#include "common/object/id_codec.h"
#include "common/wire/cipher.h"
#include "securespace/testing.h"

// Steps 1 to 8 of a release (docs/architecture.md, "When a key is released").
namespace nark::securespace {
namespace {

constexpr uint64_t kStart = 1767225600'000000;  // kTestTime

SessionOptions WithoutDeadlines() {
  SessionOptions options;
  options.timeliness = v1::TIMELINESS_NONE;
  return options;
}

SessionOptions WithControl() {
  SessionOptions options;
  options.senders[0].set_may_control(true);
  v1::PermittedSender& second = options.senders.emplace_back();
  second.set_sender_id(2);
  return options;
}

VoucherOptions Buy(const TestWorld& world, uint64_t first, uint64_t last) {
  VoucherOptions options;
  options.secure_space_id = world.identity.id;
  options.policy.mutable_range()->set_first(first);
  options.policy.mutable_range()->set_last(last);
  return options;
}

void MustJoin(TestWorld& world, const VoucherOptions& options, const GrantOptions& grant = {}) {
  absl::StatusOr<v1::InstallGrantResponse> joined =
      world.Join(world.provider.MakeVoucher(world.session, options), grant);
  ASSERT_TRUE(joined.ok()) << joined.status();
}

TEST(ReleaseTest, ReleasesTheKeyOfAnAduThatWasBought) {
  TestWorld world;
  MustJoin(world, Buy(world, 5, 9));
  TestAdu adu = MakeAdu(world.session, 5);
  absl::StatusOr<KeyDecision> decision = world.Release(adu);
  ASSERT_TRUE(decision.ok()) << decision.status();
  EXPECT_EQ(decision->refusal, v1::REFUSAL_REASON_UNSPECIFIED);
  EXPECT_TRUE(decision->data_key == adu.data_key);
}

TEST(ReleaseTest, RefusesWithoutAGrant) {
  TestWorld world;
  EXPECT_EQ(world.Reason(1), v1::REFUSAL_REASON_NO_GRANT);
}

TEST(ReleaseTest, RefusesAClosedSession) {
  TestWorld world;
  MustJoin(world, Buy(world, 0, 9));
  ASSERT_TRUE(world.Note(v1::NOTE_STATUS_FINAL).ok());
  EXPECT_EQ(world.Reason(1), v1::REFUSAL_REASON_CLOSED);
  ASSERT_TRUE(world.Reopen().ok());
  EXPECT_EQ(world.Reason(1), v1::REFUSAL_REASON_CLOSED);
}

TEST(ReleaseTest, RefusesHeadersThatContradictTheTerms) {
  TestWorld world;
  MustJoin(world, Buy(world, 0, 9));
  AduOptions options;
  options.spoil = [](wire::Header& header) { ++header.session_tag; };
  EXPECT_EQ(world.Reason(MakeAdu(world.session, options)), v1::REFUSAL_REASON_MALFORMED);
  options.spoil = [](wire::Header& header) { header.cipher = 2; };
  EXPECT_EQ(world.Reason(MakeAdu(world.session, options)), v1::REFUSAL_REASON_MALFORMED);
  options.spoil = [](wire::Header& header) { header.control_block.push_back(0); };
  EXPECT_EQ(world.Reason(MakeAdu(world.session, options)), v1::REFUSAL_REASON_MALFORMED);
  options.spoil = [](wire::Header& header) { header.deadline_us = 0; };
  EXPECT_EQ(world.Reason(MakeAdu(world.session, options)), v1::REFUSAL_REASON_MALFORMED);
  EXPECT_EQ(world.Reason(MakeAdu(world.session, 1), 4), v1::REFUSAL_REASON_MALFORMED);
  EXPECT_EQ(world.Reason(TestAdu{}), v1::REFUSAL_REASON_MALFORMED);
}

TEST(ReleaseTest, RefusesDeadlinesWhereTheSessionHasNone) {
  TestWorld world(WithoutDeadlines());
  MustJoin(world, Buy(world, 0, 9));
  AduOptions options;
  options.spoil = [](wire::Header& header) { header.deadline_us = header.signed_time_us; };
  EXPECT_EQ(world.Reason(MakeAdu(world.session, options)), v1::REFUSAL_REASON_MALFORMED);
  EXPECT_EQ(world.Reason(1), v1::REFUSAL_REASON_UNSPECIFIED);
}

TEST(ReleaseTest, RefusesEveryFlippedBitOfAHeader) {
  TestWorld world;
  MustJoin(world, Buy(world, 0, 9));
  TestAdu adu = MakeAdu(world.session, 1);
  for (size_t bit = 0; bit < 8 * adu.header.size(); ++bit) {
    TestAdu flipped{adu.header, {}, {}, {}};
    flipped.header[bit / 8] ^= static_cast<uint8_t>(1 << bit % 8);
    v1::RefusalReason reason = world.Reason(flipped);
    ASSERT_TRUE(reason == v1::REFUSAL_REASON_MALFORMED || reason == v1::REFUSAL_REASON_SIGNATURE)
        << "bit " << bit << ": " << v1::RefusalReason_Name(reason);
  }
  for (size_t size = 0; size < adu.header.size(); ++size) {
    TestAdu cut{adu.header, {}, {}, {}};
    cut.header.resize(size);
    ASSERT_EQ(world.Reason(cut), v1::REFUSAL_REASON_MALFORMED) << size;
  }
  EXPECT_EQ(world.Reason(adu), v1::REFUSAL_REASON_UNSPECIFIED);
}

TEST(ReleaseTest, RefusesAHeaderOfASenderThatIsNotCertified) {
  TestWorld world;
  MustJoin(world, Buy(world, 0, 9));
  AduOptions options;
  options.spoil = [](wire::Header& header) { header.sender_id = 9; };
  EXPECT_EQ(world.Reason(MakeAdu(world.session, options)), v1::REFUSAL_REASON_SIGNATURE);
}

TEST(ReleaseTest, RefusesIdsBeyondTheRangeGranted) {
  TestWorld world;
  MustJoin(world, Buy(world, 5, 9));
  EXPECT_EQ(world.Reason(4), v1::REFUSAL_REASON_RANGE);
  EXPECT_EQ(world.Reason(10), v1::REFUSAL_REASON_RANGE);
  EXPECT_EQ(world.Reason(5), v1::REFUSAL_REASON_UNSPECIFIED);
  EXPECT_EQ(world.Reason(9), v1::REFUSAL_REASON_UNSPECIFIED);
}

TEST(ReleaseTest, KeepsToTheRangeWhereTheGeneratorCannot) {
  SessionOptions session;
  session.generator = "hkdf";
  TestWorld world(session);
  MustJoin(world, Buy(world, 5, 9));
  EXPECT_EQ(world.Reason(4), v1::REFUSAL_REASON_RANGE);
  EXPECT_EQ(world.Reason(10), v1::REFUSAL_REASON_RANGE);
  EXPECT_EQ(world.Reason(5), v1::REFUSAL_REASON_UNSPECIFIED);
}

TEST(ReleaseTest, RefusesASenderThatClaimsAnothersId) {
  TestWorld world(WithControl());
  MustJoin(world, Buy(world, 0, 9));
  AduOptions options;
  // Signed with the key of sender 1, and both are certified.
  options.spoil = [](wire::Header& header) { header.sender_id = 2; };
  EXPECT_EQ(world.Reason(MakeAdu(world.session, options)), v1::REFUSAL_REASON_SIGNATURE);
  AduOptions honest;
  honest.sender_id = 2;
  EXPECT_EQ(world.Reason(MakeAdu(world.session, honest)), v1::REFUSAL_REASON_UNSPECIFIED);
}

TEST(ReleaseTest, RefusesSendersThatWereNotBought) {
  TestWorld world(WithControl());
  VoucherOptions options = Buy(world, 0, 9);
  options.policy.add_sender_ids(1);
  MustJoin(world, options);
  AduOptions adu;
  adu.sender_id = 2;
  // No leaf was granted for it, which comes before the policy.
  EXPECT_EQ(world.Reason(MakeAdu(world.session, adu)), v1::REFUSAL_REASON_RANGE);
}

TEST(ReleaseTest, RefusesAControlBlockThatDoesNotOpen) {
  TestWorld world;
  MustJoin(world, Buy(world, 0, 9));
  AduOptions options;
  options.spoil = [](wire::Header& header) { header.control_block[3] ^= 1; };
  EXPECT_EQ(world.Reason(MakeAdu(world.session, options)), v1::REFUSAL_REASON_CONTROL);
}

TEST(ReleaseTest, StopKillsGrantsWhoseVoucherWasIssuedBefore) {
  TestWorld world(WithControl());
  MustJoin(world, Buy(world, 0, 99));
  AduOptions options;
  options.id = 3;
  options.control = {{1, kStart - 1, ToBytes(world.identity.id)}};  // before the voucher
  EXPECT_EQ(world.Reason(MakeAdu(world.session, options)), v1::REFUSAL_REASON_UNSPECIFIED);
  options.id = 4;
  options.control = {{1, kStart + 5, Bytes(32, 1)}};  // somebody else
  EXPECT_EQ(world.Reason(MakeAdu(world.session, options)), v1::REFUSAL_REASON_UNSPECIFIED);
  options.control = {{1, kStart + 5, ToBytes(world.identity.id)}};
  options.sender_id = 2;  // may not control
  EXPECT_EQ(world.Reason(MakeAdu(world.session, options)), v1::REFUSAL_REASON_UNSPECIFIED);
  options.sender_id = 1;
  options.id = 5;
  EXPECT_EQ(world.Reason(MakeAdu(world.session, options)), v1::REFUSAL_REASON_STOPPED);
  EXPECT_EQ(world.Reason(6), v1::REFUSAL_REASON_STOPPED);
  ASSERT_TRUE(world.Reopen().ok());
  EXPECT_EQ(world.Reason(6), v1::REFUSAL_REASON_STOPPED);
  EXPECT_EQ(world.Note()->stop_issue_time_us(), kStart + 5);
}

TEST(ReleaseTest, ALaterVoucherReadmitsAndAnOldPillDoesNotHurtIt) {
  TestWorld world(WithControl());
  MustJoin(world, Buy(world, 0, 99));
  AduOptions options;
  options.control = {{1, kStart + 5, ToBytes(world.identity.id)}};
  EXPECT_EQ(world.Reason(MakeAdu(world.session, options)), v1::REFUSAL_REASON_STOPPED);
  // Another voucher of the same time is as dead.
  absl::Status early = world.Join(world.Voucher(50, 60)).status();
  EXPECT_EQ(early.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_EQ(ReasonOf(early), "STOPPED");

  absl::StatusOr<v1::SignedEnvelope> later =
      MakeVoucher(Buy(world, 0, 99), world.session.session(), world.provider.till,
                  kTestTime + std::chrono::microseconds(6), world.random);
  ASSERT_TRUE(later.ok());
  ASSERT_TRUE(world.Join(*later).ok());
  EXPECT_EQ(world.Reason(MakeAdu(world.session, options)), v1::REFUSAL_REASON_UNSPECIFIED);
}

TEST(ReleaseTest, StopReachesTheMembersOfAGroup) {
  TestWorld world(WithControl());
  VoucherOptions bought = Buy(world, 0, 99);
  bought.group_ids = {Bytes(16, 0xAB)};
  MustJoin(world, bought);
  AduOptions options;
  options.control = {{1, kStart + 5, Bytes(16, 0xAC)}};
  EXPECT_EQ(world.Reason(MakeAdu(world.session, options)), v1::REFUSAL_REASON_UNSPECIFIED);
  options.control = {{1, kStart + 5, Bytes(16, 0xAB)}};
  options.id = 1;
  EXPECT_EQ(world.Reason(MakeAdu(world.session, options)), v1::REFUSAL_REASON_STOPPED);
}

// Who joins a group after it was stopped was not meant, nor is what he bought before.
TEST(ReleaseTest, AnOldOrderAboutAGroupDoesNotHurtWhoJoinsItLater) {
  TestWorld world(WithControl());
  MustJoin(world, Buy(world, 0, 49));
  VoucherOptions later = Buy(world, 50, 99);
  later.group_ids = {Bytes(16, 0xAB)};
  const absl::StatusOr<v1::SignedEnvelope> voucher =
      MakeVoucher(later, world.session.session(), world.provider.till,
                  kTestTime + std::chrono::microseconds(6), world.random);
  ASSERT_TRUE(voucher.ok());
  ASSERT_TRUE(world.Join(*voucher).ok());
  AduOptions options;
  options.control = {{1, kStart + 5, Bytes(16, 0xAB)}};
  EXPECT_EQ(world.Reason(MakeAdu(world.session, options)), v1::REFUSAL_REASON_UNSPECIFIED);
  EXPECT_EQ(world.Reason(1), v1::REFUSAL_REASON_UNSPECIFIED);
  options.control = {{1, kStart + 6, Bytes(16, 0xAB)}};
  options.id = 2;
  EXPECT_EQ(world.Reason(MakeAdu(world.session, options)), v1::REFUSAL_REASON_STOPPED);
}

TEST(ReleaseTest, ContactSuspendsUntilAGrantEchoesIt) {
  TestWorld world(WithControl());
  v1::SignedEnvelope voucher = world.Voucher(0, 99);
  ASSERT_TRUE(world.Join(voucher).ok());
  AduOptions options;
  options.control = {{2, 1, ToBytes(world.identity.id)}};
  EXPECT_EQ(world.Reason(MakeAdu(world.session, options)), v1::REFUSAL_REASON_CONTACT);
  EXPECT_EQ(world.Reason(7), v1::REFUSAL_REASON_CONTACT);
  ASSERT_TRUE(world.Reopen().ok());
  EXPECT_EQ(world.Reason(7), v1::REFUSAL_REASON_CONTACT);
  ASSERT_TRUE(world.Join(voucher).ok());
  EXPECT_EQ(world.Reason(7), v1::REFUSAL_REASON_UNSPECIFIED);
  // The order still rotates, and was obeyed.
  EXPECT_EQ(world.Reason(MakeAdu(world.session, options)), v1::REFUSAL_REASON_UNSPECIFIED);
  options.id = 8;
  options.control[0].number = 2;
  EXPECT_EQ(world.Reason(MakeAdu(world.session, options)), v1::REFUSAL_REASON_CONTACT);
}

TEST(ReleaseTest, SpendsACountOnceAnAdu) {
  TestWorld world;
  VoucherOptions options = Buy(world, 0, 99);
  options.policy.set_count(2);
  MustJoin(world, options);
  EXPECT_EQ(world.Reason(1), v1::REFUSAL_REASON_UNSPECIFIED);
  EXPECT_EQ(world.Reason(1), v1::REFUSAL_REASON_RELEASED);
  EXPECT_EQ(world.Reason(2), v1::REFUSAL_REASON_UNSPECIFIED);
  EXPECT_EQ(world.Reason(3), v1::REFUSAL_REASON_COUNT);
  ASSERT_TRUE(world.Reopen().ok());
  EXPECT_EQ(world.Reason(3), v1::REFUSAL_REASON_COUNT);
}

TEST(ReleaseTest, AnAmendmentSpendsTheCountOnlyWhereNoRangeCovers) {
  TestWorld world;
  VoucherOptions count = Buy(world, 0, 99);
  count.policy.set_count(1);
  MustJoin(world, count);
  MustJoin(world, Buy(world, 10, 19));
  EXPECT_EQ(world.Reason(10), v1::REFUSAL_REASON_UNSPECIFIED);
  EXPECT_EQ(world.Reason(11), v1::REFUSAL_REASON_UNSPECIFIED);
  EXPECT_EQ(world.Reason(30), v1::REFUSAL_REASON_UNSPECIFIED);
  EXPECT_EQ(world.Reason(31), v1::REFUSAL_REASON_COUNT);
  EXPECT_EQ(world.Reason(12), v1::REFUSAL_REASON_UNSPECIFIED);
  EXPECT_EQ(world.Note()->vouchers_size(), 2);
}

TEST(ReleaseTest, RefusesAdusSignedAfterThePolicyExpired) {
  TestWorld world;
  VoucherOptions options = Buy(world, 0, 99);
  options.policy.set_expires_us(kStart + 10);
  MustJoin(world, options);
  AduOptions adu;
  adu.signed_time_us = kStart + 10;
  EXPECT_EQ(world.Reason(MakeAdu(world.session, adu)), v1::REFUSAL_REASON_UNSPECIFIED);
  adu.id = 1;
  adu.signed_time_us = kStart + 11;
  EXPECT_EQ(world.Reason(MakeAdu(world.session, adu)), v1::REFUSAL_REASON_EXPIRED);
}

TEST(ReleaseTest, ALeaseThatRanOutIsRenewedByContact) {
  TestWorld world;
  VoucherOptions options = Buy(world, 0, 99);
  options.policy.set_lease_ms(1000);
  v1::SignedEnvelope voucher = world.provider.MakeVoucher(world.session, options);
  ASSERT_TRUE(world.Join(voucher).ok());
  AduOptions adu;
  adu.signed_time_us = kStart + 1'000'000;
  EXPECT_EQ(world.Reason(MakeAdu(world.session, adu)), v1::REFUSAL_REASON_UNSPECIFIED);
  adu.id = 1;
  adu.signed_time_us = kStart + 2'000'001;
  EXPECT_EQ(world.Reason(MakeAdu(world.session, adu)), v1::REFUSAL_REASON_LEASE);
  GrantOptions later;
  later.spoil_grant = [](v1::Grant& grant) { grant.set_issue_time_us(kStart + 1'500'000); };
  ASSERT_TRUE(world.Join(voucher, later).ok());
  EXPECT_EQ(world.Reason(MakeAdu(world.session, adu)), v1::REFUSAL_REASON_UNSPECIFIED);
}

TEST(ReleaseTest, RefusesASecondKeyForTheSameAdu) {
  TestWorld world;
  MustJoin(world, Buy(world, 0, 9));
  TestAdu adu = MakeAdu(world.session, 1);
  EXPECT_EQ(world.Reason(adu), v1::REFUSAL_REASON_UNSPECIFIED);
  EXPECT_EQ(world.Reason(adu), v1::REFUSAL_REASON_RELEASED);
  // Nor for another ADU under its id.
  AduOptions other;
  other.id = 1;
  other.plaintext_bytes = 50;
  EXPECT_EQ(world.Reason(MakeAdu(world.session, other)), v1::REFUSAL_REASON_RELEASED);
  ASSERT_TRUE(world.Reopen().ok());
  EXPECT_EQ(world.Reason(adu), v1::REFUSAL_REASON_RELEASED);
}

TEST(ReleaseTest, RefusesTheSameAduTwiceInOneList) {
  TestWorld world;
  MustJoin(world, Buy(world, 0, 9));
  TestAdu adu = MakeAdu(world.session, 1);
  auto decisions = world.space().ReleaseKeys({world.session.name(), 0, {adu.header, adu.header}});
  ASSERT_TRUE(decisions.ok());
  EXPECT_EQ((*decisions)[0].refusal, v1::REFUSAL_REASON_UNSPECIFIED);
  EXPECT_EQ((*decisions)[1].refusal, v1::REFUSAL_REASON_RELEASED);
  EXPECT_TRUE((*decisions)[1].data_key.empty());
}

TEST(ReleaseTest, SendersHaveIdsOfTheirOwn) {
  TestWorld world(WithControl());
  MustJoin(world, Buy(world, 0, 9));
  AduOptions adu;
  adu.id = 3;
  EXPECT_EQ(world.Reason(MakeAdu(world.session, adu)), v1::REFUSAL_REASON_UNSPECIFIED);
  adu.sender_id = 2;
  EXPECT_EQ(world.Reason(MakeAdu(world.session, adu)), v1::REFUSAL_REASON_UNSPECIFIED);
  EXPECT_EQ(world.Reason(MakeAdu(world.session, adu)), v1::REFUSAL_REASON_RELEASED);
}

TEST(ReleaseTest, SubSessionsHaveIdsOfTheirOwn) {
  SessionOptions options;
  options.sub_sessions.emplace_back().set_id(3);
  TestWorld world(options);
  VoucherOptions bought = Buy(world, 0, 9);
  bought.policy.add_sub_sessions(0);
  bought.policy.add_sub_sessions(3);
  MustJoin(world, bought);
  AduOptions adu;
  EXPECT_EQ(world.Reason(MakeAdu(world.session, adu)), v1::REFUSAL_REASON_UNSPECIFIED);
  adu.sub_session = 3;
  EXPECT_EQ(world.Reason(MakeAdu(world.session, adu), 3), v1::REFUSAL_REASON_UNSPECIFIED);
  EXPECT_EQ(world.Reason(MakeAdu(world.session, adu), 0), v1::REFUSAL_REASON_MALFORMED);
}

TEST(ReleaseTest, RefusesWhatIsPastItsDeadlineBySendersClock) {
  TestWorld world;
  MustJoin(world, Buy(world, 0, 9));
  AduOptions late;
  late.id = 1;
  late.lifetime_us = 1000;
  AduOptions now;
  now.id = 2;
  now.signed_time_us = kStart + 1000;
  EXPECT_EQ(world.Reason(MakeAdu(world.session, now)), v1::REFUSAL_REASON_UNSPECIFIED);
  EXPECT_EQ(world.Reason(MakeAdu(world.session, late)), v1::REFUSAL_REASON_UNSPECIFIED);
  now.id = 3;
  now.signed_time_us = kStart + 1001;
  EXPECT_EQ(world.Reason(MakeAdu(world.session, now)), v1::REFUSAL_REASON_UNSPECIFIED);
  late.id = 4;
  EXPECT_EQ(world.Reason(MakeAdu(world.session, late)), v1::REFUSAL_REASON_LATE);
  // Late stays late, even under a younger header.
  late.signed_time_us = kStart + 2000;
  late.lifetime_us = 10'000'000;
  EXPECT_EQ(world.Reason(MakeAdu(world.session, late)), v1::REFUSAL_REASON_LATE);
  ASSERT_TRUE(world.Reopen().ok());
  EXPECT_EQ(world.Reason(MakeAdu(world.session, late)), v1::REFUSAL_REASON_LATE);

  absl::StatusOr<v1::DeliveryNote> note = world.Note();
  ASSERT_TRUE(note.ok());
  ASSERT_EQ(note->receipts_size(), 1);
  IdSet expected;
  expected.Insert(4);
  EXPECT_EQ(note->receipts(0).late(), ToText(*PackIds(expected)));
}

TEST(ReleaseTest, TheSendersClockSurvivesARestart) {
  TestWorld world;
  MustJoin(world, Buy(world, 0, 9));
  AduOptions now;
  now.id = 2;
  now.signed_time_us = kStart + 1001;
  EXPECT_EQ(world.Reason(MakeAdu(world.session, now)), v1::REFUSAL_REASON_UNSPECIFIED);
  ASSERT_TRUE(world.Reopen().ok());
  AduOptions late;
  late.lifetime_us = 1000;
  EXPECT_EQ(world.Reason(MakeAdu(world.session, late)), v1::REFUSAL_REASON_LATE);
}

TEST(ReleaseTest, OneSendersClockKeepsNoLeaseOfAnother) {
  TestWorld world(WithControl());
  VoucherOptions options = Buy(world, 0, 9);
  options.policy.set_lease_ms(10);
  MustJoin(world, options);
  // In steps below the lease, far into the future.
  AduOptions ahead;
  ahead.sender_id = 2;
  for (ahead.id = 0; ahead.id < 5; ++ahead.id) {
    ahead.signed_time_us = kStart + (ahead.id + 1) * 9'000;
    ASSERT_EQ(world.Reason(MakeAdu(world.session, ahead)), v1::REFUSAL_REASON_UNSPECIFIED);
  }
  AduOptions adu;
  adu.signed_time_us = kStart + 10'000;
  EXPECT_EQ(world.Reason(MakeAdu(world.session, adu)), v1::REFUSAL_REASON_UNSPECIFIED);
  ASSERT_TRUE(world.Reopen().ok());
  adu.id = 1;
  adu.signed_time_us = kStart + 20'001;
  EXPECT_EQ(world.Reason(MakeAdu(world.session, adu)), v1::REFUSAL_REASON_LEASE);
}

TEST(ReleaseTest, ALeaseRunsForASenderWhateverItsStreams) {
  SessionOptions session = WithControl();
  session.sub_sessions.emplace_back().set_id(3);
  TestWorld world(session);
  VoucherOptions options = Buy(world, 0, 9);
  options.policy.set_lease_ms(10);
  options.policy.add_sub_sessions(0);
  options.policy.add_sub_sessions(3);
  MustJoin(world, options);
  AduOptions adu;
  for (adu.id = 0; adu.id < 5; ++adu.id) {
    adu.signed_time_us = kStart + (adu.id + 1) * 6'000;
    ASSERT_EQ(world.Reason(MakeAdu(world.session, adu)), v1::REFUSAL_REASON_UNSPECIFIED);
  }
  ASSERT_TRUE(world.Reopen().ok());
  // Streams that begin long after the grant: of this sender, and of one not heard before.
  adu.sub_session = 3;
  EXPECT_EQ(world.Reason(MakeAdu(world.session, adu), 3), v1::REFUSAL_REASON_UNSPECIFIED);
  adu.sender_id = 2;
  EXPECT_EQ(world.Reason(MakeAdu(world.session, adu), 3), v1::REFUSAL_REASON_UNSPECIFIED);
  // A pause of it for longer than the lease, though the other goes on.
  adu.sender_id = 1;
  adu.signed_time_us += 10'000;
  ++adu.id;
  ASSERT_EQ(world.Reason(MakeAdu(world.session, adu), 3), v1::REFUSAL_REASON_UNSPECIFIED);
  adu.sender_id = 2;
  adu.signed_time_us += 1;
  EXPECT_EQ(world.Reason(MakeAdu(world.session, adu), 3), v1::REFUSAL_REASON_LEASE);
}

TEST(ReleaseTest, AHeaderThatFailsMovesNoClock) {
  TestWorld world;
  MustJoin(world, Buy(world, 0, 9));
  AduOptions beyond;
  beyond.id = 10;
  beyond.signed_time_us = kStart + 1'000'000;
  EXPECT_EQ(world.Reason(MakeAdu(world.session, beyond)), v1::REFUSAL_REASON_RANGE);
  beyond.id = 1;
  beyond.spoil = [](wire::Header& header) { header.control_block[0] ^= 1; };
  EXPECT_EQ(world.Reason(MakeAdu(world.session, beyond)), v1::REFUSAL_REASON_CONTROL);
  AduOptions timely;
  timely.lifetime_us = 1;
  EXPECT_EQ(world.Reason(MakeAdu(world.session, timely)), v1::REFUSAL_REASON_UNSPECIFIED);
}

TEST(ReleaseTest, KeysOfAnOnCardSessionNeverLeave) {
  SessionOptions options;
  options.release = v1::RELEASE_MODE_PLAINTEXT;
  TestWorld world(options);
  MustJoin(world, Buy(world, 0, 9));
  EXPECT_EQ(world.Reason(1), v1::REFUSAL_REASON_MODE);
}

TEST(ReleaseTest, OpensAdusWhereTheKeyMustNotLeave) {
  SessionOptions options;
  options.release = v1::RELEASE_MODE_PLAINTEXT;
  TestWorld world(options);
  MustJoin(world, Buy(world, 0, 9));
  TestAdu adu = MakeAdu(world.session, 1);
  AduOptions large;
  large.id = 2;
  large.plaintext_bytes = 200'000;  // two levels of hashes
  TestAdu two_levels = MakeAdu(world.session, large);
  Bytes damaged = adu.ciphertext;
  damaged[20] ^= 1;
  Bytes damaged_large = two_levels.ciphertext;
  damaged_large[100'000] ^= 1;
  Bytes cut(adu.ciphertext.begin(), adu.ciphertext.end() - 1);
  auto decisions = world.space().OpenAdus({world.session.name(),
                                           0,
                                           {{adu.header, damaged},
                                            {adu.header, cut},
                                            {two_levels.header, damaged_large},
                                            {adu.header, adu.ciphertext},
                                            {two_levels.header, two_levels.ciphertext},
                                            {adu.header, adu.ciphertext}}});
  ASSERT_TRUE(decisions.ok()) << decisions.status();
  EXPECT_EQ((*decisions)[0].refusal, v1::REFUSAL_REASON_CIPHERTEXT);
  EXPECT_TRUE((*decisions)[0].plaintext.empty());
  EXPECT_EQ((*decisions)[1].refusal, v1::REFUSAL_REASON_CIPHERTEXT);
  EXPECT_EQ((*decisions)[2].refusal, v1::REFUSAL_REASON_CIPHERTEXT);
  EXPECT_EQ((*decisions)[3].refusal, v1::REFUSAL_REASON_UNSPECIFIED);
  EXPECT_EQ((*decisions)[3].plaintext, adu.plaintext);
  EXPECT_EQ((*decisions)[4].plaintext, two_levels.plaintext);
  EXPECT_EQ((*decisions)[5].refusal, v1::REFUSAL_REASON_RELEASED);
}

// Parity is not handed in, and pages of hashes mix it with the source.
TEST(ReleaseTest, OpensAdusThatHaveParity) {
  SessionOptions session;
  session.release = v1::RELEASE_MODE_PLAINTEXT;
  TestWorld world(session);
  MustJoin(world, Buy(world, 0, 9));
  AduOptions options;
  for (const auto& [plaintext_bytes, parity] :
       std::vector<std::pair<size_t, uint16_t>>{{40'000, 5}, {200'000, 40}, {900'000, 200}}) {
    ++options.id;
    options.plaintext_bytes = plaintext_bytes;
    options.parity_fragments = parity;
    const TestAdu adu = MakeAdu(world.session, options);
    Bytes damaged = adu.ciphertext;
    damaged[plaintext_bytes / 2] ^= 1;
    for (const auto& [ciphertext, refusal] :
         {std::pair(damaged, v1::REFUSAL_REASON_CIPHERTEXT),
          std::pair(adu.ciphertext, v1::REFUSAL_REASON_UNSPECIFIED)}) {
      const auto opened =
          world.space().OpenAdus({world.session.name(), 0, {{adu.header, ciphertext}}});
      ASSERT_TRUE(opened.ok()) << opened.status();
      EXPECT_EQ(opened->front().refusal, refusal) << plaintext_bytes;
    }
  }
}

TEST(ReleaseTest, OpeningLetsNoKeyOutAndBillsOnlyWhatOpened) {
  SessionOptions session;
  session.release = v1::RELEASE_MODE_PLAINTEXT;
  TestWorld world(session);
  VoucherOptions bought = Buy(world, 0, 9);
  bought.policy.set_count(2);
  MustJoin(world, bought);
  TestAdu small = MakeAdu(world.session, 1);
  AduOptions large;
  large.id = 2;
  large.plaintext_bytes = 600'000;  // three levels of hashes
  TestAdu paged = MakeAdu(world.session, large);

  // What fails to open costs nothing, however often.
  Bytes damaged = paged.ciphertext;
  damaged.back() ^= 1;
  for (int i = 0; i < 3; ++i) {
    auto refused = world.space().OpenAdus(
        {world.session.name(), 0, {{paged.header, damaged}, {small.header, damaged}}});
    ASSERT_TRUE(refused.ok()) << refused.status();
    for (const OpenDecision& decision : *refused) {
      EXPECT_EQ(decision.refusal, v1::REFUSAL_REASON_CIPHERTEXT);
      EXPECT_TRUE(decision.plaintext.empty());
    }
  }
  auto opened = world.space().OpenAdus(
      {world.session.name(),
       0,
       {{paged.header, paged.ciphertext}, {small.header, small.ciphertext}}});
  ASSERT_TRUE(opened.ok()) << opened.status();
  EXPECT_EQ((*opened)[0].plaintext, paged.plaintext);
  EXPECT_EQ((*opened)[1].plaintext, small.plaintext);
  absl::StatusOr<v1::DeliveryNote> note = world.Note();
  ASSERT_TRUE(note.ok());
  IdSet expected;
  expected.Insert(1, 2);
  EXPECT_EQ(note->receipts(0).delivered(), ToText(*PackIds(expected)));
  EXPECT_EQ(note->vouchers(0).spent(0).spent(), 2u);

  // No answer held a key, nor does the key call give one.
  for (const TestAdu* adu : {&small, &paged}) {
    const ByteView key = adu->data_key.Reveal();
    for (const OpenDecision& decision : *opened) {
      EXPECT_EQ(
          std::search(decision.plaintext.begin(), decision.plaintext.end(), key.begin(), key.end()),
          decision.plaintext.end());
    }
    absl::StatusOr<KeyDecision> decision = world.Release(*adu);
    ASSERT_TRUE(decision.ok());
    EXPECT_EQ(decision->refusal, v1::REFUSAL_REASON_MODE);
    EXPECT_TRUE(decision->data_key.empty());
  }
}

TEST(ReleaseTest, OpensNothingWhereTheTermsReleaseKeys) {
  TestWorld world;
  MustJoin(world, Buy(world, 0, 9));
  TestAdu adu = MakeAdu(world.session, 1);
  auto decisions =
      world.space().OpenAdus({world.session.name(), 0, {{adu.header, adu.ciphertext}}});
  ASSERT_TRUE(decisions.ok());
  EXPECT_EQ((*decisions)[0].refusal, v1::REFUSAL_REASON_MODE);
}

TEST(ReleaseTest, RefusesListsThatAreTooLong) {
  TestWorld world;
  ReleaseRequest keys{world.session.name(), 0, std::vector<ByteView>(1025)};
  EXPECT_TRUE(absl::IsInvalidArgument(world.space().ReleaseKeys(keys).status()));
  OpenRequest adus{world.session.name(), 0, std::vector<SealedAdu>(65)};
  EXPECT_TRUE(absl::IsInvalidArgument(world.space().OpenAdus(adus).status()));
}

TEST(ReleaseTest, WritesOnceForAList) {
  TestWorld world;
  MustJoin(world, Buy(world, 0, 99));
  std::vector<TestAdu> adus;
  ReleaseRequest request{world.session.name(), 0, {}};
  for (uint64_t id = 0; id < 50; ++id) adus.push_back(MakeAdu(world.session, id));
  for (const TestAdu& adu : adus) request.headers.push_back(adu.header);
  uint64_t before = world.storage.operations();
  ASSERT_TRUE(world.space().ReleaseKeys(request).ok());
  EXPECT_EQ(world.storage.operations(), before + 2);  // append and sync
  ASSERT_TRUE(world.space().ReleaseKeys(request).ok());
  EXPECT_EQ(world.storage.operations(), before + 2);  // nothing changed
}

TEST(ReleaseTest, ReleasesNothingOnceTheStorageFailed) {
  TestWorld world;
  MustJoin(world, Buy(world, 0, 9));
  EXPECT_EQ(world.Reason(1), v1::REFUSAL_REASON_UNSPECIFIED);
  world.storage.CrashAt(world.storage.operations());
  EXPECT_TRUE(absl::IsUnavailable(world.Release(MakeAdu(world.session, 2)).status()));
  world.storage.Restart();
  EXPECT_TRUE(absl::IsUnavailable(world.Release(MakeAdu(world.session, 3)).status()));
  EXPECT_TRUE(absl::IsUnavailable(world.Join(world.Voucher(0, 9)).status()));
  EXPECT_TRUE(absl::IsUnavailable(world.Note().status()));
  ASSERT_TRUE(world.Reopen().ok());
  EXPECT_EQ(world.Reason(3), v1::REFUSAL_REASON_UNSPECIFIED);
}

TEST(ReleaseTest, GivesEachKeyToOneOfManyThreads) {
  TestWorld world;
  MustJoin(world, Buy(world, 0, 99));
  std::vector<TestAdu> adus;
  for (uint64_t id = 0; id < 40; ++id) adus.push_back(MakeAdu(world.session, id));
  std::atomic<int> released = 0;
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&] {
      for (const TestAdu& adu : adus) {
        absl::StatusOr<KeyDecision> decision = world.Release(adu);
        if (decision.ok() && decision->refusal == v1::REFUSAL_REASON_UNSPECIFIED) ++released;
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(released, 40);
}

TEST(ReleaseTest, CountsRefusalsByReason) {
  TestWorld world;
  MustJoin(world, Buy(world, 0, 9));
  EXPECT_EQ(world.Reason(1), v1::REFUSAL_REASON_UNSPECIFIED);
  EXPECT_EQ(world.Reason(1), v1::REFUSAL_REASON_RELEASED);
  EXPECT_EQ(world.Reason(50), v1::REFUSAL_REASON_RANGE);
  EXPECT_EQ(world.Reason(51), v1::REFUSAL_REASON_RANGE);
  absl::StatusOr<v1::DeliveryNote> note = world.Note();
  ASSERT_TRUE(note.ok());
  ASSERT_EQ(note->refusals_size(), 2);
  EXPECT_EQ(note->refusals(0).reason(), v1::REFUSAL_REASON_RANGE);
  EXPECT_EQ(note->refusals(0).count(), 2u);
  EXPECT_EQ(note->refusals(1).reason(), v1::REFUSAL_REASON_RELEASED);
  EXPECT_EQ(note->refusals(1).count(), 1u);
}

// Of ranges and of packets, by every cipher: what is clear comes out as it is, and one
// flipped bit of it is no ADU.
TEST(OpenAdusTest, OpensAdusOfWhichPartsAreClear) {
  Bytes packets(3 * 188, 9);
  for (size_t i = 0; i < 3; ++i) {
    packets[188 * i] = 0x47;
    StoreBig16(&packets[188 * i + 1], static_cast<uint16_t>(0x100 + i));
    packets[188 * i + 3] = 0x10;
  }
  for (std::string_view cipher : wire::CipherIds()) {
    if ((*wire::FindCipher(cipher))->properties().marks) continue;
    SCOPED_TRACE(cipher);
    SessionOptions session = WithoutDeadlines();
    session.cipher = cipher;
    session.release = v1::RELEASE_MODE_PLAINTEXT;
    TestWorld world(session);
    world.SetInsecure(InsecureSessions::kAllow);
    ASSERT_TRUE(world.Reopen().ok());
    MustJoin(world, Buy(world, 0, 9));
    uint64_t id = 0;
    for (const wire::ClearMap& clear : {wire::ClearMap(wire::ClearRanges{{1, 100}, {300, 3}}),
                                        wire::ClearMap(wire::PacketRule{0, {0x101}, 184})}) {
      AduOptions options;
      options.id = id++;
      options.plaintext = packets;
      options.clear = clear;
      const TestAdu adu = MakeAdu(world.session, options);
      Bytes flipped = adu.ciphertext;
      flipped[50] ^= 1;
      const auto open = [&](ByteView ciphertext) {
        return (*world.space().OpenAdus({world.session.name(), 0, {{adu.header, ciphertext}}}))[0];
      };
      EXPECT_EQ(open(flipped).refusal, v1::REFUSAL_REASON_CIPHERTEXT);
      EXPECT_TRUE(
          Equal(ByteView(adu.ciphertext).subspan(1, 100), ByteView(packets).subspan(1, 100)));
      const OpenDecision opened = open(adu.ciphertext);
      EXPECT_EQ(opened.refusal, v1::REFUSAL_REASON_UNSPECIFIED);
      EXPECT_EQ(opened.plaintext, packets);
    }
  }
}

// Its key would open nothing, so it is not billed.
TEST(OpenAdusTest, RefusesAnAduWhoseRuleCountsWrongly) {
  SessionOptions session = WithoutDeadlines();
  session.release = v1::RELEASE_MODE_PLAINTEXT;
  TestWorld world(session);
  MustJoin(world, Buy(world, 0, 9));
  AduOptions options;
  options.spoil = [](wire::Header& header) { header.clear_map = wire::PacketRule{0, {0x100}, 9}; };
  const TestAdu adu = MakeAdu(world.session, options);
  const auto decisions =
      world.space().OpenAdus({world.session.name(), 0, {{adu.header, adu.ciphertext}}});
  ASSERT_TRUE(decisions.ok()) << decisions.status();
  EXPECT_EQ((*decisions)[0].refusal, v1::REFUSAL_REASON_CONTROL) << "keys are bound to the map";
}

}  // namespace
}  // namespace nark::securespace
