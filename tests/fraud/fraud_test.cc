// Everybody's tricks against a secure space and a refund desk together: whatever is
// watched is paid for once, and whatever is paid back once was not watched.

#include <gtest/gtest.h>
#include <stdlib.h>

#include <algorithm>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/synchronization/notification.h"
#include "common/base/status.h"
#include "common/object/envelope.h"
#include "common/object/testing.h"
#include "common/object/trust.h"
#include "refunds/desk.h"
#include "refunds/sqlite_ledger.h"
#include "securespace/testing.h"

namespace nark::fraud {
namespace {

using securespace::AduOptions;
using securespace::MakeAdu;
using securespace::TestWorld;

constexpr uint64_t kBought = 10;  // ADUs 0 to 9
constexpr uint64_t kPrice = 50;   // minor units, of all of them

v1::Money Euros(uint64_t amount_minor) {
  v1::Money money;
  money.set_amount_minor(amount_minor);
  money.set_currency("EUR");
  return money;
}

SessionOptions Terms(uint32_t emulated_cap = 100) {
  SessionOptions options;
  options.price_per_adu = Euros(kPrice / kBought);
  options.refund.set_emulated_cap_percent(emulated_cap);
  return options;
}

// An honest viewer's world, and the desk of its provider.
class FraudTest : public testing::Test {
 protected:
  FraudTest() {
    char path[] = "/tmp/nark-fraud-XXXXXX";
    folder_ = mkdtemp(path);
    auto ledger = refunds::OpenSqliteLedger(folder_ + "/ledger.db");
    EXPECT_TRUE(ledger.ok()) << ledger.status();
    ledger_ = *std::move(ledger);
    Begin(100);
  }
  ~FraudTest() override {
    desk_.reset();
    ledger_.reset();
    if (system(("rm -rf " + folder_).c_str()) != 0) ADD_FAILURE() << folder_ << " stays behind";
  }

  void Begin(uint32_t emulated_cap) {
    world_ = std::make_unique<TestWorld>(Terms(emulated_cap));
    voucher_ = world_->Voucher(0, kBought - 1);
    UseDesk(*Trust::Create({world_->provider.issuer.certificate}, {}, std::nullopt));
  }
  void UseDesk(Trust trust) {
    const SigningIdentity& role = world_->provider.refunds;
    auto desk = refunds::Desk::Create(
        {world_->provider.root.certificate,
         {*PrivateKey::FromPem(*role.key.ToPem()), role.certificate, role.issuers}},
        std::move(trust), world_->clock, *ledger_);
    ASSERT_TRUE(desk.ok()) << desk.status();
    desk_ = *std::move(desk);
  }

  // Joins and watches the first `adus`.
  void Watch(uint64_t adus) {
    const auto joined = world_->Join(voucher_);
    ASSERT_TRUE(joined.ok()) << joined.status();
    for (uint64_t id = 0; id < adus; ++id) {
      ASSERT_EQ(world_->Reason(id), v1::REFUSAL_REASON_UNSPECIFIED) << id;
    }
  }

  absl::StatusOr<v1::NoteFile> Note(const VerifiedSession& session, v1::NoteStatus status,
                                    const std::vector<v1::SignedEnvelope>& unserved = {}) {
    v1::GetDeliveryNoteRequest request;
    *request.mutable_session() = session.name().ToProto();
    request.set_status(status);
    if (!unserved.empty()) *request.mutable_session_descriptor() = session.envelope();
    for (const v1::SignedEnvelope& voucher : unserved) *request.add_vouchers() = voucher;
    ASSIGN_OR_RETURN(auto response, world_->space().GetDeliveryNote(request));
    v1::NoteFile file;
    *file.mutable_note() = response.note();
    *file.mutable_secure_space_certificates() = response.secure_space_certificates();
    *file.mutable_session_descriptor() = session.envelope();
    return file;
  }
  v1::NoteFile Final(const std::vector<v1::SignedEnvelope>& unserved = {}) {
    auto file = Note(world_->session.session(), v1::NOTE_STATUS_FINAL, unserved);
    EXPECT_TRUE(file.ok()) << file.status();
    return file.ok() ? *std::move(file) : v1::NoteFile();
  }

  absl::StatusOr<v1::SubmitDeliveryNoteResponse> Submit(const v1::NoteFile& file) {
    absl::StatusOr<v1::SubmitDeliveryNoteResponse> answer = absl::UnknownError("no answer");
    absl::Notification answered;
    desk_->Submit(file, [&](auto given) {
      answer = std::move(given);
      answered.Notify();
    });
    answered.WaitForNotification();
    return answer;
  }
  std::string Reason(const v1::NoteFile& file) { return ReasonOf(Submit(file).status()); }
  // The answer for the only voucher of a note.
  v1::RefundReceipt Answer(const v1::NoteFile& file) {
    const auto answer = Submit(file);
    EXPECT_TRUE(answer.ok()) << answer.status();
    if (!answer.ok() || answer->receipts_size() != 1) return {};
    return *PayloadOf<v1::RefundReceipt>(answer->receipts(0), "the receipt");
  }
  // What left the provider's pocket, whatever was answered.
  uint64_t PaidInAll() {
    const auto summary = ledger_->Summarise(10);
    EXPECT_TRUE(summary.ok()) << summary.status();
    uint64_t sum = 0;
    for (const auto& total : summary->paid) sum += total.amount_minor;
    return sum;
  }

  // A note that no secure space wrote, signed with some key.
  v1::NoteFile Forged(const TestSecureSpace& signer, const Digest& id) {
    v1::DeliveryNote note;
    *note.mutable_session() = world_->session.name().ToProto();
    note.set_terms_identity(ToText(world_->session.session().terms_identity()));
    note.set_secure_space_id(ToText(id));
    note.set_assurance(v1::ASSURANCE_CLASS_EMULATED);
    *note.add_vouchers()->mutable_voucher() = voucher_;
    note.set_status(v1::NOTE_STATUS_FINAL);
    v1::NoteFile file;
    *file.mutable_note() =
        *SignEnvelope(payload_type::kDeliveryNote, Serialise(note), signer.note_key, {});
    file.add_secure_space_certificates(ToText(signer.certificate.der()));
    *file.mutable_session_descriptor() = world_->session.descriptor();
    return file;
  }

  std::string folder_;
  std::unique_ptr<refunds::Ledger> ledger_;
  std::unique_ptr<TestWorld> world_;
  v1::SignedEnvelope voucher_;
  std::unique_ptr<refunds::Desk> desk_;
};

TEST_F(FraudTest, AnHonestNoteIsPaidOnceHoweverOftenItComes) {
  Watch(4);
  const v1::NoteFile note = Final();
  const auto first = Submit(note);
  ASSERT_TRUE(first.ok()) << first.status();
  const v1::RefundReceipt receipt = Answer(note);
  EXPECT_EQ(receipt.status(), v1::REFUND_STATUS_PAID);
  EXPECT_EQ(receipt.adus_owed(), 6u);
  EXPECT_EQ(receipt.amount().amount_minor(), 30u);
  EXPECT_EQ(Submit(note)->receipts(0).SerializeAsString(), first->receipts(0).SerializeAsString());
  EXPECT_EQ(PaidInAll(), 30u);
}

TEST_F(FraudTest, AnInterimNotePaysNothing) {
  Watch(4);
  const auto note = Note(world_->session.session(), v1::NOTE_STATUS_INTERIM);
  ASSERT_TRUE(note.ok());
  EXPECT_EQ(Reason(*note), "NOTE_NOT_FINAL");
  EXPECT_EQ(PaidInAll(), 0u);
}

TEST_F(FraudTest, AnEditedNoteIsRefused) {
  Watch(4);
  const v1::NoteFile good = Final();
  for (size_t at = 0; at < good.note().payload().size(); at += 7) {
    v1::NoteFile file = good;
    (*file.mutable_note()->mutable_payload())[at] ^= 1;
    EXPECT_EQ(Reason(file), "NOTE_SIGNATURE") << at;
  }
  EXPECT_EQ(PaidInAll(), 0u);
}

// Evidence is signed too, about whatever challenge a stranger sends.
TEST_F(FraudTest, EvidenceIsNoNote) {
  Watch(0);
  auto evidence =
      world_->space().Attest(securespace::AttestRequestFor(world_->session.descriptor(), voucher_));
  ASSERT_TRUE(evidence.ok()) << evidence.status();
  v1::NoteFile file = Forged(world_->identity, world_->identity.id);
  *file.mutable_note() = evidence->evidence();
  EXPECT_EQ(Reason(file), "NOTE_SIGNATURE");
  file.mutable_note()->set_payload_type(std::string(payload_type::kDeliveryNote));
  EXPECT_EQ(Reason(file), "NOTE_SIGNATURE");
  EXPECT_EQ(PaidInAll(), 0u);
}

// The cheat founds a provider of its own with the same session id, sells itself the
// session there, never serves it, and takes that note to the real desk.
TEST_F(FraudTest, ASessionOfOnesOwnProviderPaysNothing) {
  Watch(kBought);
  TestProvider mallory(kTestTime, 2);
  const TestSession theirs = mallory.MakeSession(Terms());
  SessionName twin = theirs.name();
  twin.session_id = world_->session.name().session_id;
  v1::Terms terms = theirs.session().terms();
  *terms.mutable_session() = twin.ToProto();
  v1::SessionDescriptor descriptor = theirs.session().descriptor();
  *descriptor.mutable_terms() =
      *SignEnvelope(payload_type::kTerms, Serialise(terms), mallory.descriptor_role.key,
                    mallory.descriptor_role.Chain());
  const SigningIdentity sender =
      *MakeSender(twin, terms.senders(0), mallory.senders_role, kTestTime);
  descriptor.mutable_senders(0)->clear_certificates();
  for (const Certificate& certificate : sender.Chain()) {
    descriptor.mutable_senders(0)->add_certificates(ToText(certificate.der()));
  }
  const auto session = VerifiedSession::Verify(
      *SignEnvelope(payload_type::kSessionDescriptor, Serialise(descriptor),
                    mallory.descriptor_role.key, mallory.descriptor_role.Chain()),
      kTestTime);
  ASSERT_TRUE(session.ok()) << session.status();
  ASSERT_EQ(session->name().session_id, world_->session.name().session_id);
  VoucherOptions options;
  options.secure_space_id = world_->identity.id;
  options.policy.mutable_range()->set_last(kBought - 1);
  options.price = Euros(1'000'000);
  const auto voucher = MakeVoucher(options, *session, mallory.till, kTestTime, mallory.random());
  ASSERT_TRUE(voucher.ok()) << voucher.status();

  const auto note = Note(*session, v1::NOTE_STATUS_FINAL, {*voucher});
  ASSERT_TRUE(note.ok()) << note.status();
  EXPECT_EQ(Reason(*note), "OTHER_PROVIDER");
  v1::NoteFile mixed = *note;
  *mixed.mutable_session_descriptor() = world_->session.descriptor();
  EXPECT_EQ(Reason(mixed), "NOTE_OTHER_SESSION");
  // The real session is where it was, and its note says what was watched.
  const v1::RefundReceipt real = Answer(Final());
  EXPECT_EQ(real.status(), v1::REFUND_STATUS_REFUSED);
  EXPECT_EQ(real.adus_delivered(), kBought);
  EXPECT_EQ(PaidInAll(), 0u);
}

TEST_F(FraudTest, AForgedGrantIsNotInstalled) {
  TestProvider mallory(kTestTime, 2);
  securespace::GrantOptions forged;
  forged.signer = &mallory.key_manager;
  EXPECT_EQ(ReasonOf(world_->Join(voucher_, forged).status()), "GRANT_REFUSED");
  securespace::GrantOptions empty_handed;
  empty_handed.spoil_grant = [](v1::Grant& grant) { grant.clear_seeds(); };
  EXPECT_EQ(ReasonOf(world_->Join(voucher_, empty_handed).status()), "GRANT_REFUSED");
}

// ECDSA: with (r, s) also (r, n - s) is a signature.
TEST_F(FraudTest, AMalleatedVoucherIsTheSamePurchase) {
  Watch(4);
  // The order of P-256 (FIPS 186-5).
  const Bytes order = FromHex("ffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551");
  v1::SignedEnvelope twin = voucher_;
  int borrow = 0;
  for (int i = 31; i >= 0; --i) {
    const int s = static_cast<uint8_t>(twin.signature()[32 + static_cast<size_t>(i)]);
    int difference = order[static_cast<size_t>(i)] - s - borrow;
    borrow = difference < 0 ? 1 : 0;
    (*twin.mutable_signature())[32 + static_cast<size_t>(i)] =
        static_cast<char>(difference + 256 * borrow);
  }
  ASSERT_NE(twin.signature(), voucher_.signature());
  const auto grant = world_->Join(twin);  // it verifies, and is what is installed
  ASSERT_TRUE(grant.ok()) << grant.status();
  EXPECT_EQ(world_->space().GetIdentity()->grants_size(), 1);
  const v1::NoteFile note = Final({twin});
  EXPECT_EQ(Answer(note).adus_owed(), 6u);
  EXPECT_EQ(PaidInAll(), 30u);
}

TEST_F(FraudTest, AnAddedFieldMakesNoSecondPurchase) {
  Watch(4);
  v1::SignedEnvelope padded = voucher_;
  padded.mutable_payload()->append("\xf8\x07\x01", 3);  // field 127, a varint
  EXPECT_FALSE(world_->Join(padded).ok());
  const v1::NoteFile note = Final();
  const v1::RefundReceipt first = Answer(note);
  // Outside of every signature a field changes nothing.
  v1::NoteFile wrapped = note;
  wrapped.GetReflection()->MutableUnknownFields(&wrapped)->AddVarint(127, 1);
  EXPECT_EQ(Answer(wrapped).ledger_id(), first.ledger_id());
  EXPECT_EQ(PaidInAll(), 30u);
}

// A folder that was initialised anew, or a second card, has other keys and so another id.
TEST_F(FraudTest, AnotherSecureSpaceCannotSpeakOfThisPurchase) {
  Watch(kBought);
  const TestSecureSpace second = world_->provider.MakeSecureSpace();
  EXPECT_EQ(Reason(Forged(second, second.id)), "NOTE_VOUCHER");
  EXPECT_EQ(Reason(Forged(second, world_->identity.id)), "NOTE_OTHER_SECURE_SPACE");
  // Its own name, and the victim's certificate beside it.
  v1::NoteFile borrowed = Forged(second, world_->identity.id);
  borrowed.set_secure_space_certificates(0, ToText(world_->identity.certificate.der()));
  EXPECT_EQ(Reason(borrowed), "NOTE_SIGNATURE");
  EXPECT_EQ(PaidInAll(), 0u);
}

TEST_F(FraudTest, ARequestThatClaimsAnothersIdGetsItsOwn) {
  Watch(kBought);
  // The cheat's attestation key beside the victim's note key: it cannot sign for it, and an
  // issuer that was fooled would still name another secure space.
  const PrivateKey attestation = *PrivateKey::Generate();
  const SecureSpaceRequest claim = {
      attestation.public_key(),
      SecureSpaceScope{.note_spki = world_->identity.certificate.secure_space_scope()->note_spki,
                       .assurance = static_cast<uint8_t>(v1::ASSURANCE_CLASS_EMULATED)}};
  const auto fooled = CertifySecureSpace(claim, world_->provider.issuer, kTestTime);
  ASSERT_TRUE(fooled.ok()) << fooled.status();
  v1::NoteFile file = Forged(world_->identity, world_->identity.id);
  file.set_secure_space_certificates(0, ToText(fooled->der()));
  EXPECT_EQ(Reason(file), "NOTE_OTHER_SECURE_SPACE");
  EXPECT_EQ(PaidInAll(), 0u);
}

TEST_F(FraudTest, AnEarlyFinalNoteEndsThePlaying) {
  Watch(3);
  const v1::NoteFile note = Final();
  EXPECT_EQ(Answer(note).adus_owed(), 7u);
  for (uint64_t id = 3; id < kBought; ++id) {
    EXPECT_EQ(world_->Reason(id), v1::REFUSAL_REASON_CLOSED);
  }
  ASSERT_TRUE(world_->Reopen().ok());
  EXPECT_EQ(world_->Reason(5), v1::REFUSAL_REASON_CLOSED);
  EXPECT_EQ(ReasonOf(world_->Join(voucher_).status()), "SESSION_CLOSED");
  EXPECT_EQ(ReasonOf(world_->Join(world_->Voucher(0, 99)).status()), "SESSION_CLOSED");
  // Nor does asking again write another note.
  EXPECT_EQ(Serialise(Final().note()), Serialise(note.note()));
  EXPECT_EQ(PaidInAll(), 35u);
}

TEST_F(FraudTest, WhatWasReleasedIsNotMadeLate) {
  ASSERT_TRUE(world_->Join(voucher_).ok());
  AduOptions early;
  early.id = 5;
  early.lifetime_us = 1000;
  ASSERT_EQ(world_->Reason(MakeAdu(world_->session, early)), v1::REFUSAL_REASON_UNSPECIFIED);
  AduOptions later;
  later.id = 9;
  later.signed_time_us = ToMicros(kTestTime) + 60'000'000;
  ASSERT_EQ(world_->Reason(MakeAdu(world_->session, later)), v1::REFUSAL_REASON_UNSPECIFIED);
  EXPECT_EQ(world_->Reason(MakeAdu(world_->session, early)), v1::REFUSAL_REASON_RELEASED);
  const v1::RefundReceipt receipt = Answer(Final());
  EXPECT_EQ(receipt.adus_delivered(), 2u);
  EXPECT_EQ(receipt.adus_owed(), 8u);
}

// A copy of the folder is closed before it plays, the original plays all of it.
TEST_F(FraudTest, ACopiedFolderIsCappedByTheTerms) {
  Begin(40);
  ASSERT_TRUE(world_->Join(voucher_).ok());
  const auto copy = world_->storage.files();
  const v1::NoteFile unwatched = Final();
  world_->storage.files() = copy;
  ASSERT_TRUE(world_->Reopen().ok());
  for (uint64_t id = 0; id < kBought; ++id) {
    ASSERT_EQ(world_->Reason(id), v1::REFUSAL_REASON_UNSPECIFIED);
  }
  EXPECT_EQ(Answer(unwatched).amount().amount_minor(), kPrice * 40 / 100);
  const v1::RefundReceipt second = Answer(Final());
  EXPECT_EQ(second.status(), v1::REFUND_STATUS_CONFLICT);
  EXPECT_EQ(PaidInAll(), kPrice * 40 / 100);
}

TEST_F(FraudTest, AnUncertifiedOrRevokedSecureSpaceIsPaidNothing) {
  Watch(0);
  const v1::NoteFile note = Final();
  TestProvider stranger(kTestTime, 2);
  UseDesk(*Trust::Create({stranger.issuer.certificate}, {}, std::nullopt));
  EXPECT_EQ(Reason(note), "SECURE_SPACE_UNTRUSTED");
  const auto list =
      IssueRevocationList(world_->provider.issuer.certificate, world_->provider.issuer.key,
                          {world_->identity.certificate.serial_hex()}, kTestTime,
                          kTestTime + std::chrono::hours(24), 1);
  ASSERT_TRUE(list.ok()) << list.status();
  UseDesk(*Trust::Create({world_->provider.issuer.certificate}, {*list}, std::nullopt));
  EXPECT_EQ(Reason(note), "SECURE_SPACE_REVOKED");
  EXPECT_EQ(PaidInAll(), 0u);
}

TEST_F(FraudTest, ANoteOfAnotherSessionIsRefused) {
  Watch(0);
  v1::NoteFile note = Final();
  *note.mutable_session_descriptor() = world_->provider.MakeSession(Terms()).descriptor();
  EXPECT_EQ(Reason(note), "NOTE_OTHER_SESSION");
  EXPECT_EQ(PaidInAll(), 0u);
}

// The provider sells under one set of terms and publishes another.
TEST_F(FraudTest, TermsChangedAfterTheSaleChangeNothing) {
  Watch(4);
  const v1::NoteFile note = Final();
  v1::Terms worse = world_->session.session().terms();
  worse.mutable_refund()->set_cap_percent(0);
  worse.mutable_refund()->set_emulated_cap_percent(0);
  v1::SessionDescriptor descriptor = world_->session.session().descriptor();
  const SigningIdentity& role = world_->provider.descriptor_role;
  *descriptor.mutable_terms() =
      *SignEnvelope(payload_type::kTerms, Serialise(worse), role.key, role.Chain());
  v1::NoteFile changed = note;
  *changed.mutable_session_descriptor() = *SignEnvelope(
      payload_type::kSessionDescriptor, Serialise(descriptor), role.key, role.Chain());
  EXPECT_EQ(Reason(changed), "NOTE_OTHER_SESSION");
  // What was bought under the old terms is owed under them.
  EXPECT_EQ(Answer(note).amount().amount_minor(), 30u);
}

TEST_F(FraudTest, WhatWasSoldAndNeverServedIsPaidBackWhole) {
  const v1::NoteFile note = Final({voucher_});
  const v1::RefundReceipt receipt = Answer(note);
  EXPECT_EQ(receipt.status(), v1::REFUND_STATUS_PAID);
  EXPECT_EQ(receipt.adus_owed(), kBought);
  EXPECT_EQ(receipt.amount().amount_minor(), kPrice);
  EXPECT_EQ(ReasonOf(world_->Join(voucher_).status()), "SESSION_CLOSED");
}

}  // namespace
}  // namespace nark::fraud
