// Sub-sessions whose terms demand the digest of the decrypted ADU before the next key.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <vector>

#include "common/base/status.h"
#include "common/object/delivery_note.h"
#include "common/object/envelope.h"
#include "common/object/id_codec.h"
#include "common/object/id_set.h"
#include "common/object/provider.h"
#include "common/object/signer_cache.h"
#include "common/wire/control_block.h"
#include "securespace/testing.h"

namespace nark::securespace {
namespace {

using ::testing::ElementsAre;

constexpr uint32_t kAdverts = 3;
constexpr v1::RefusalReason kReleased = v1::REFUSAL_REASON_UNSPECIFIED;

class DigestTest : public ::testing::TestWithParam<v1::ReleaseMode> {
 protected:
  DigestTest() : world_(Options()) {
    VoucherOptions bought;
    bought.secure_space_id = world_.identity.id;
    bought.policy.mutable_range()->set_last(99);
    bought.policy.add_sub_sessions(0);
    bought.policy.add_sub_sessions(kAdverts);
    voucher_ = world_.provider.MakeVoucher(world_.session, bought);
    EXPECT_TRUE(world_.Join(voucher_).ok());
  }
  static SessionOptions Options() {
    SessionOptions options;
    options.release = GetParam();
    v1::SubSession& adverts = options.sub_sessions.emplace_back();
    adverts.set_id(kAdverts);
    adverts.set_demands_digest(true);
    v1::PermittedSender& second = options.senders.emplace_back();
    second.set_sender_id(2);
    return options;
  }
  TestAdu Advert(uint64_t id, uint32_t sender = 1,
                 AduOptions::Digest digest = AduOptions::Digest::kAsDemanded) {
    AduOptions options;
    options.id = id;
    options.sender_id = sender;
    options.sub_session = kAdverts;
    options.digest = digest;
    return MakeAdu(world_.session, options);
  }
  // What one call says of the ADUs, with the claims that go along.
  std::vector<v1::RefusalReason> Ask(const std::vector<const TestAdu*>& adus,
                                     std::vector<DigestClaim> claims, uint32_t sub = kAdverts) {
    std::vector<v1::RefusalReason> reasons;
    if (GetParam() == v1::RELEASE_MODE_KEY) {
      ReleaseRequest request{world_.session.name(), sub, {}, std::move(claims)};
      for (const TestAdu* adu : adus) request.headers.push_back(adu->header);
      const auto decisions = world_.space().ReleaseKeys(request);
      EXPECT_TRUE(decisions.ok()) << decisions.status();
      for (size_t i = 0; i < adus.size(); ++i) {
        reasons.push_back((*decisions)[i].refusal);
        EXPECT_EQ((*decisions)[i].data_key.empty(), reasons.back() != kReleased);
      }
      return reasons;
    }
    OpenRequest request{world_.session.name(), sub, {}, std::move(claims)};
    for (const TestAdu* adu : adus) request.adus.push_back({adu->header, adu->ciphertext});
    const auto decisions = world_.space().OpenAdus(request);
    EXPECT_TRUE(decisions.ok()) << decisions.status();
    for (const OpenDecision& decision : *decisions) reasons.push_back(decision.refusal);
    return reasons;
  }
  v1::RefusalReason AskOne(const TestAdu& adu, std::vector<DigestClaim> claims = {},
                           uint32_t sub = kAdverts) {
    return Ask({&adu}, std::move(claims), sub).front();
  }
  // By the note: ids whose digest was given, of sender 1 in the sub-session.
  std::vector<uint64_t> Proved() {
    const auto note = world_.Note();
    EXPECT_TRUE(note.ok()) << note.status();
    for (const v1::SenderReceipts& receipts : note->receipts()) {
      if (receipts.sub_session() != kAdverts) {
        EXPECT_EQ(receipts.proved(), "");
        continue;
      }
      if (receipts.sender_id() != 1) continue;
      std::vector<uint64_t> ids;
      const IdSet proved = *UnpackIds(AsBytes(receipts.proved()));
      for (const auto& [first, last] : proved.ranges()) {
        for (uint64_t id = first; id <= last; ++id) ids.push_back(id);
      }
      return ids;
    }
    return {};
  }

  TestWorld world_;
  v1::SignedEnvelope voucher_;
};

TEST_P(DigestTest, IsDemandedBeforeTheNextKey) {
  const TestAdu one = Advert(1), two = Advert(2), three = Advert(3);
  EXPECT_EQ(AskOne(one), kReleased);
  EXPECT_EQ(AskOne(two), v1::REFUSAL_REASON_DIGEST);
  EXPECT_EQ(AskOne(two, {one.claim}), kReleased);
  EXPECT_THAT(Proved(), ElementsAre(1));
  // Given once is given; the one now wanted is that of two.
  EXPECT_EQ(AskOne(three, {one.claim}), v1::REFUSAL_REASON_DIGEST);
  EXPECT_EQ(AskOne(three, {two.claim}), kReleased);
  // The last waits for no other ADU.
  EXPECT_THAT(Ask({}, {three.claim}), ElementsAre());
  EXPECT_THAT(Proved(), ElementsAre(1, 2, 3));
}

TEST_P(DigestTest, IsDemandedWithinAList) {
  const TestAdu one = Advert(1), two = Advert(2);
  EXPECT_THAT(Ask({&one, &two}, {}), ElementsAre(kReleased, v1::REFUSAL_REASON_DIGEST));
  // Claims count before the list, not between its items.
  const TestAdu three = Advert(3);
  EXPECT_THAT(Ask({&two, &three}, {one.claim, two.claim}),
              ElementsAre(kReleased, v1::REFUSAL_REASON_DIGEST));
}

TEST_P(DigestTest, WhatIsNotTheDigestProvesNothing) {
  const TestAdu one = Advert(1), two = Advert(2);
  EXPECT_EQ(AskOne(one), kReleased);
  DigestClaim wrong = one.claim;
  wrong.digest[31] ^= 1;
  EXPECT_EQ(AskOne(two, {wrong}), v1::REFUSAL_REASON_DIGEST);
  DigestClaim others = one.claim;
  others.sender_id = 2;
  EXPECT_EQ(AskOne(two, {others}), v1::REFUSAL_REASON_DIGEST);
  DigestClaim of_two = two.claim;
  of_two.adu_id = 1;
  EXPECT_EQ(AskOne(two, {of_two}), v1::REFUSAL_REASON_DIGEST);
  // Nor does a claim without a session, stream or anything outstanding.
  EXPECT_THAT(Ask({}, {two.claim}, 0), ElementsAre());
  EXPECT_THAT(Proved(), ElementsAre());
  EXPECT_EQ(AskOne(two, {one.claim}), kReleased);
}

TEST_P(DigestTest, EachSenderOwesItsOwnAndTheProgrammeNone) {
  const TestAdu one = Advert(1), other = Advert(1, 2);
  EXPECT_EQ(AskOne(one), kReleased);
  EXPECT_EQ(AskOne(other), kReleased);
  for (uint64_t id = 1; id <= 3; ++id) {
    EXPECT_EQ(AskOne(MakeAdu(world_.session, id), {}, 0), kReleased);
  }
  EXPECT_EQ(AskOne(Advert(2, 2), {one.claim}), v1::REFUSAL_REASON_DIGEST);
  EXPECT_EQ(AskOne(Advert(2, 1)), kReleased);
}

TEST_P(DigestTest, AnAduWithoutAReferenceIsRefused) {
  EXPECT_EQ(AskOne(Advert(1, 1, AduOptions::Digest::kAbsent)), v1::REFUSAL_REASON_CONTROL);
  AduOptions of_another;
  of_another.id = 1;
  of_another.sub_session = kAdverts;
  of_another.digest = AduOptions::Digest::kAbsent;
  of_another.control = {{wire::kControlDigest, 2, Bytes(32, 1)}};
  EXPECT_EQ(AskOne(MakeAdu(world_.session, of_another)), v1::REFUSAL_REASON_CONTROL);
}

// Nobody can tell whether the host got the key.
TEST_P(DigestTest, WhatWasOutstandingInACrashIsExemptAndShown) {
  const TestAdu one = Advert(1), two = Advert(2), three = Advert(3);
  EXPECT_EQ(AskOne(one), kReleased);
  EXPECT_EQ(AskOne(two, {one.claim}), kReleased);
  ASSERT_TRUE(world_.Reopen().ok());
  EXPECT_EQ(AskOne(three), kReleased);
  EXPECT_THAT(Ask({}, {two.claim}), ElementsAre());
  EXPECT_THAT(Ask({}, {three.claim}), ElementsAre());
  EXPECT_THAT(Proved(), ElementsAre(1, 3));
}

TEST_P(DigestTest, AHostThatLostItsPlaintextGoesOnWithTheNextGrant) {
  const TestAdu one = Advert(1), two = Advert(2);
  EXPECT_EQ(AskOne(one), kReleased);
  EXPECT_EQ(AskOne(two), v1::REFUSAL_REASON_DIGEST);
  ASSERT_TRUE(world_.Join(voucher_).ok());
  EXPECT_EQ(AskOne(two), kReleased);
  EXPECT_THAT(Ask({}, {two.claim}), ElementsAre());
  EXPECT_THAT(Proved(), ElementsAre(2));
}

// An answer that was lost is asked for again, and no key manager has part in that.
TEST_P(DigestTest, TheSameGrantOnceMoreEndsNoDemand) {
  const v1::AttestRequest request = AttestRequestFor(world_.session.descriptor(), voucher_);
  const auto evidence = world_.space().Attest(request);
  ASSERT_TRUE(evidence.ok()) << evidence.status();
  v1::InstallGrantRequest install;
  *install.mutable_session() = world_.session.name().ToProto();
  *install.mutable_grant() =
      *MakeGrant(world_.provider, world_.session, voucher_, request, *evidence);
  const TestAdu one = Advert(1), two = Advert(2), three = Advert(3);
  EXPECT_EQ(AskOne(one), kReleased);
  const auto first = world_.space().InstallGrant(install);
  ASSERT_TRUE(first.ok()) << first.status();
  EXPECT_EQ(AskOne(two), kReleased);
  for (int i = 0; i < 2; ++i) {
    const auto again = world_.space().InstallGrant(install);
    ASSERT_TRUE(again.ok()) << again.status();
    EXPECT_EQ(Serialise(*again), Serialise(*first));
    EXPECT_EQ(AskOne(three), v1::REFUSAL_REASON_DIGEST);
  }
  EXPECT_EQ(AskOne(three, {two.claim}), kReleased);
}

TEST_P(DigestTest, ANoteThatProvesTooMuchIsRefused) {
  const TestAdu one = Advert(1);
  EXPECT_EQ(AskOne(one), kReleased);
  EXPECT_THAT(Ask({}, {one.claim}), ElementsAre());
  v1::DeliveryNote note = *world_.Note();
  const NoteSigner signer = *NoteSigner::Of(world_.identity.certificate);
  const auto verify = [&] {
    SignerCache tills;
    return VerifyNote(
        *SignEnvelope(payload_type::kDeliveryNote, Serialise(note), world_.identity.note_key, {}),
        world_.session.session(), signer, tills, kTestTime);
  };
  const auto verified = verify();
  ASSERT_TRUE(verified.ok()) << verified.status();
  EXPECT_EQ(verified->streams.at(0).proved.size(), 1u);
  IdSet more;
  more.Insert(1, 2);
  const std::string honest = note.receipts(0).proved();
  for (const std::string& proved : {ToText(*PackIds(more)), std::string(), std::string("x")}) {
    note.mutable_receipts(0)->set_proved(proved);
    EXPECT_EQ(ReasonOf(verify().status()), "NOTE_MALFORMED");
  }
  note.mutable_receipts(0)->set_proved(honest);
  EXPECT_TRUE(verify().ok());
}

// A voucher that names no sender is for those that the terms name.
TEST(AddedSenderTest, IsCountedByTheVoucherThatNamesItAlone) {
  SessionOptions options;
  options.open_to_senders = OpenToSenders::kYes;
  TestWorld world(options);
  const NewSession later = *AddSender(world.session.session(), world.session.secrets(), 7,
                                      world.provider.signers(), kTestTime);
  ASSERT_TRUE(world.Join(world.Voucher(0, 99)).ok());
  VoucherOptions two;
  two.secure_space_id = world.identity.id;
  two.policy.mutable_range()->set_last(99);
  two.policy.add_sender_ids(7);
  two.policy.set_count(2);
  world.session.made.descriptor = later.descriptor;
  world.session.made.session = later.session;
  for (auto& [id, sender] : later.senders) {
    world.session.made.senders.emplace(
        id, SigningIdentity{*PrivateKey::FromPkcs8(*sender.key.ToPkcs8()), sender.certificate,
                            sender.issuers});
  }
  ASSERT_TRUE(world.Join(world.provider.MakeVoucher(world.session, two)).ok());
  AduOptions adu;
  adu.sender_id = 7;
  std::vector<v1::RefusalReason> reasons;
  for (adu.id = 0; adu.id < 3; ++adu.id) {
    reasons.push_back(world.Reason(MakeAdu(world.session, adu)));
  }
  EXPECT_THAT(reasons, ElementsAre(kReleased, kReleased, v1::REFUSAL_REASON_SENDER));
  EXPECT_EQ(world.Reason(5), kReleased);
  // And the note that says so is no more than was bought.
  SignerCache tills;
  const auto note = world.Note();
  ASSERT_TRUE(note.ok());
  const auto verified = VerifyNote(
      *SignEnvelope(payload_type::kDeliveryNote, Serialise(*note), world.identity.note_key, {}),
      world.session.session(), *NoteSigner::Of(world.identity.certificate), tills, kTestTime);
  EXPECT_TRUE(verified.ok()) << verified.status();
}

INSTANTIATE_TEST_SUITE_P(Modes, DigestTest,
                         ::testing::Values(v1::RELEASE_MODE_KEY, v1::RELEASE_MODE_PLAINTEXT),
                         [](const auto& info) {
                           return info.param == v1::RELEASE_MODE_KEY ? "ByKey" : "OnCard";
                         });

}  // namespace
}  // namespace nark::securespace
