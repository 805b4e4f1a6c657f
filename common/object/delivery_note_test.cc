#include "common/object/delivery_note.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <ctime>
#include <functional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "common/base/status.h"
#include "common/crypto/random.h"
#include "common/object/envelope.h"
#include "common/object/id_codec.h"
#include "common/object/testing.h"

namespace nark {
namespace {

class DeliveryNoteTest : public testing::Test {
 protected:
  DeliveryNoteTest() : session_(provider_.MakeSession()), space_(provider_.MakeSecureSpace()) {}

  v1::SignedEnvelope Voucher(uint64_t first, uint64_t last, uint64_t count = 0) {
    VoucherOptions options;
    options.secure_space_id = space_.id;
    options.policy.mutable_range()->set_first(first);
    options.policy.mutable_range()->set_last(last);
    options.policy.set_count(count);
    return provider_.MakeVoucher(session_, options);
  }
  static std::string Packed(const std::vector<std::pair<uint64_t, uint64_t>>& ranges) {
    IdSet ids;
    for (const auto& [first, last] : ranges) ids.Insert(first, last);
    return ToText(*PackIds(ids));
  }
  static void Add(v1::DeliveryNote& note, v1::SignedEnvelope voucher, uint64_t spent = 0) {
    v1::NoteVoucher& noted = *note.add_vouchers();
    *noted.mutable_voucher() = std::move(voucher);
    noted.set_granted(true);
    if (spent == 0) return;
    noted.add_spent()->set_sender_id(1);
    noted.mutable_spent(0)->set_spent(spent);
  }
  // Ids 0 to 9 and 12 delivered, 10 and 11 late.
  v1::DeliveryNote Note() {
    v1::DeliveryNote note;
    *note.mutable_session() = session_.name().ToProto();
    note.set_terms_identity(ToText(session_.session().terms_identity()));
    note.set_secure_space_id(ToText(space_.id));
    note.set_assurance(v1::ASSURANCE_CLASS_EMULATED);
    v1::SenderReceipts* receipts = note.add_receipts();
    receipts->set_sender_id(1);
    receipts->set_delivered(Packed({{0, 9}, {12, 12}}));
    receipts->set_late(Packed({{10, 11}}));
    note.set_status(v1::NOTE_STATUS_FINAL);
    return note;
  }
  absl::StatusOr<VerifiedNote> Verify(const v1::DeliveryNote& note) {
    return VerifyNote(
        *SignEnvelope(payload_type::kDeliveryNote, Serialise(note), space_.note_key, {}),
        session_.session(), *NoteSigner::Of(space_.certificate), tills_, kTestTime);
  }
  std::string Reason(const v1::DeliveryNote& note) { return ReasonOf(Verify(note).status()); }

  TestProvider provider_;
  TestSession session_;
  TestSecureSpace space_;
  SignerCache tills_;
};

TEST_F(DeliveryNoteTest, CountsARangeByWhatItCovers) {
  v1::DeliveryNote note = Note();
  Add(note, Voucher(0, 19));
  Add(note, Voucher(5, 12));
  auto verified = Verify(note);
  ASSERT_TRUE(verified.ok()) << verified.status();
  auto first = AccountOf(verified->vouchers[0], *verified);
  auto second = AccountOf(verified->vouchers[1], *verified);
  ASSERT_TRUE(first.ok() && second.ok());
  EXPECT_EQ(first->bought, 20u);
  EXPECT_EQ(first->delivered, 11u);
  EXPECT_EQ(second->bought, 8u);
  EXPECT_EQ(second->delivered, 6u);
}

TEST_F(DeliveryNoteTest, CountsACountByWhatWasSpent) {
  v1::DeliveryNote note = Note();
  Add(note, Voucher(0, 9));
  Add(note, Voucher(0, 99, 5), 1);
  auto verified = Verify(note);
  ASSERT_TRUE(verified.ok()) << verified.status();
  auto count = AccountOf(verified->vouchers[1], *verified);
  ASSERT_TRUE(count.ok());
  EXPECT_EQ(count->bought, 5u);
  EXPECT_EQ(count->delivered, 1u);
}

TEST_F(DeliveryNoteTest, CountsWhatWasNeverGrantedAsUndelivered) {
  v1::DeliveryNote note = Note();
  Add(note, Voucher(0, 19));
  Add(note, Voucher(0, 9));
  note.mutable_vouchers(1)->set_granted(false);
  auto verified = Verify(note);
  ASSERT_TRUE(verified.ok()) << verified.status();
  auto account = AccountOf(verified->vouchers[1], *verified);
  ASSERT_TRUE(account.ok());
  EXPECT_EQ(account->bought, 10u);
  EXPECT_EQ(account->delivered, 0u);
}

// Against a model that looks at each id.
TEST_F(DeliveryNoteTest, CountsAsOneIdAfterTheOtherWould) {
  int accepted = 0;
  for (uint64_t seed = 1; seed <= 60; ++seed) {
    SCOPED_TRACE(testing::Message() << "seed " << seed);
    SeededRandom random(seed);
    v1::DeliveryNote note = Note();
    std::vector<std::pair<uint64_t, uint64_t>> bought;
    for (uint64_t i = 1 + random.Below(4); i > 0; --i) {
      const uint64_t first = random.Below(60);
      bought.emplace_back(first, first + random.Below(60));
      Add(note, Voucher(bought.back().first, bought.back().second));
    }
    std::set<uint64_t> delivered;
    IdSet packed;
    bool exceeds = false;
    for (uint64_t i = random.Below(40); i > 0; --i) {
      // Most of what was bought, seldom anything.
      const auto& [first, last] = bought[random.Below(bought.size())];
      const uint64_t id =
          random.Below(100) == 0 ? random.Below(120) : first + random.Below(last - first + 1);
      delivered.insert(id);
      packed.Insert(id);
    }
    for (const uint64_t id : delivered) {
      exceeds = exceeds || std::none_of(bought.begin(), bought.end(), [&](const auto& range) {
                  return range.first <= id && id <= range.second;
                });
    }
    note.mutable_receipts(0)->set_delivered(ToText(*PackIds(packed)));
    note.mutable_receipts(0)->set_late(Packed({}));
    const auto verified = Verify(note);
    EXPECT_EQ(ReasonOf(verified.status()), exceeds ? "NOTE_EXCEEDS_PURCHASE" : "");
    if (!verified.ok()) continue;
    ++accepted;
    for (size_t i = 0; i < bought.size(); ++i) {
      const auto account = AccountOf(verified->vouchers[i], *verified);
      ASSERT_TRUE(account.ok()) << account.status();
      EXPECT_EQ(account->delivered, static_cast<uint64_t>(std::count_if(
                                        delivered.begin(), delivered.end(), [&](uint64_t id) {
                                          return bought[i].first <= id && id <= bought[i].second;
                                        })));
    }
  }
  EXPECT_GT(accepted, 30);
}

double ThreadSeconds() {
  timespec time{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
  return static_cast<double>(time.tv_sec) + 1e-9 * static_cast<double>(time.tv_nsec);
}

TEST_F(DeliveryNoteTest, CountsManyVouchersOfManyRangesWithoutWalkingThem) {
  constexpr uint64_t kRanges = 100'000;
  constexpr int kVouchers = 64;
  v1::DeliveryNote note = Note();
  IdSet ids;
  for (uint64_t i = 0; i < kRanges; ++i) ids.Insert(2 * i);
  note.mutable_receipts(0)->set_delivered(ToText(*PackIds(ids)));
  note.mutable_receipts(0)->set_late(Packed({}));
  for (int i = 0; i < kVouchers; ++i) Add(note, Voucher(0, 2 * kRanges - 1 + i));
  const auto verified = Verify(note);
  ASSERT_TRUE(verified.ok()) << verified.status();
  double begin = ThreadSeconds();
  for (const NotedVoucher& voucher : verified->vouchers) {
    const auto account = AccountOf(voucher, *verified);
    ASSERT_TRUE(account.ok());
    EXPECT_EQ(account->delivered, kRanges);
  }
  const double counted = ThreadSeconds() - begin;
  begin = ThreadSeconds();
  uint64_t walked_ids = 0;
  for (int i = 0; i < kVouchers; ++i) walked_ids += ids.CountIn(0, 2 * kRanges - 1 + i);
  const double walked = ThreadSeconds() - begin;
  EXPECT_EQ(walked_ids, kVouchers * kRanges);
  EXPECT_LT(20 * counted, walked);
}

TEST_F(DeliveryNoteTest, RefusesMoreThanWasBought) {
  v1::DeliveryNote note = Note();
  Add(note, Voucher(0, 11));  // 12 was delivered
  EXPECT_EQ(Reason(note), "NOTE_EXCEEDS_PURCHASE");
  note = Note();
  Add(note, Voucher(0, 9));
  Add(note, Voucher(0, 99, 5));  // 12 cost nothing
  EXPECT_EQ(Reason(note), "NOTE_EXCEEDS_PURCHASE");
  note = Note();
  Add(note, Voucher(0, 99, 5), 6);
  EXPECT_EQ(Reason(note), "NOTE_EXCEEDS_PURCHASE");
  note = Note();
  Add(note, Voucher(0, 19));
  note.mutable_vouchers(0)->set_granted(false);
  EXPECT_EQ(Reason(note), "NOTE_EXCEEDS_PURCHASE");
  note = Note();
  Add(note, Voucher(0, 19));
  note.mutable_receipts(0)->set_sender_id(2);
  EXPECT_EQ(Reason(note), "NOTE_EXCEEDS_PURCHASE");
}

TEST_F(DeliveryNoteTest, RefusesCountsSpentOnWhatWasNotDelivered) {
  v1::DeliveryNote note = Note();
  Add(note, Voucher(0, 19));
  Add(note, Voucher(12, 30, 5), 1);  // 12 was delivered
  ASSERT_TRUE(Verify(note).ok()) << Verify(note).status();
  note.mutable_vouchers(1)->mutable_spent(0)->set_spent(2);
  EXPECT_EQ(Reason(note), "NOTE_MALFORMED");
  // Each alone might have paid for 12.
  note.mutable_vouchers(1)->mutable_spent(0)->set_spent(1);
  Add(note, Voucher(11, 30, 5), 1);
  EXPECT_EQ(Reason(note), "NOTE_MALFORMED");
  note.mutable_vouchers(2)->mutable_spent(0)->set_sender_id(2);
  EXPECT_EQ(Reason(note), "NOTE_MALFORMED");
}

TEST_F(DeliveryNoteTest, IsBoundedInTheRangesOfAllItsSets) {
  const auto some = [](uint64_t first, uint64_t ranges) {
    IdSet ids;
    for (uint64_t i = 0; i < ranges; ++i) ids.Insert(first + 4 * i);
    return ToText(*PackIds(ids));
  };
  v1::DeliveryNote note = Note();
  Add(note, Voucher(0, 1 << 26));
  note.mutable_receipts(0)->set_delivered(some(0, kMaxNoteRanges - 10));
  note.mutable_receipts(0)->set_late(some(2, 10));
  EXPECT_EQ(Reason(note), "") << Verify(note).status();
  note.mutable_receipts(0)->set_late(some(2, 11));
  const absl::Status refused = Verify(note).status();
  EXPECT_EQ(ReasonOf(refused), "NOTE_MALFORMED");
  EXPECT_NE(refused.message().find("1048576 ranges"), absl::string_view::npos) << refused;
}

TEST_F(DeliveryNoteTest, IsRefusedWhereItDoesNotBelong) {
  using Change = std::function<void(v1::DeliveryNote&)>;
  TestSecureSpace other = provider_.MakeSecureSpace();
  const std::pair<const char*, Change> cases[] = {
      {"NOTE_OTHER_SESSION",
       [](auto& n) { n.mutable_session()->set_session_id(std::string(16, 'x')); }},
      {"NOTE_OTHER_SESSION",
       [](auto& n) { n.mutable_session()->set_provider(std::string(32, 'x')); }},
      {"NOTE_OTHER_SESSION", [](auto& n) { n.clear_terms_identity(); }},
      {"NOTE_OTHER_SECURE_SPACE", [](auto& n) { n.set_secure_space_id(std::string(32, 'x')); }},
      {"NOTE_OTHER_SECURE_SPACE", [](auto& n) { n.set_assurance(v1::ASSURANCE_CLASS_CARD); }},
      {"NOTE_MALFORMED", [](auto& n) { n.clear_session(); }},
      {"NOTE_MALFORMED", [](auto& n) { n.mutable_receipts(0)->clear_delivered(); }},
      {"NOTE_MALFORMED",
       [](auto& n) {
         n.mutable_receipts(0)->set_late(Packed({{9, 10}}));
       }},
      {"NOTE_MALFORMED", [](auto& n) { *n.add_receipts() = n.receipts(0); }},
      {"NOTE_MALFORMED", [](auto& n) { n.add_refusals(); }},
      {"NOTE_MALFORMED", [](auto& n) { n.clear_status(); }},
      {"NOTE_MALFORMED", [](auto& n) { n.clear_vouchers(); }},
      {"NOTE_MALFORMED", [](auto& n) { *n.add_vouchers() = n.vouchers(0); }},
      {"NOTE_MALFORMED", [](auto& n) { n.mutable_vouchers(0)->add_spent()->set_spent(1); }},
      {"NOTE_VOUCHER",
       [](auto& n) { n.mutable_vouchers(0)->mutable_voucher()->mutable_payload()->back() ^= 1; }},
      {"NOTE_VOUCHER",
       [&](auto& n) {
         VoucherOptions options;
         options.secure_space_id = other.id;
         options.policy.mutable_range()->set_last(19);
         *n.mutable_vouchers(0)->mutable_voucher() = provider_.MakeVoucher(session_, options);
       }},
  };
  for (const auto& [reason, change] : cases) {
    v1::DeliveryNote note = Note();
    Add(note, Voucher(0, 19));
    ASSERT_EQ(Reason(note), "") << Verify(note).status();
    change(note);
    EXPECT_EQ(Reason(note), reason) << Verify(note).status();
  }
}

TEST_F(DeliveryNoteTest, IsNothingButANote) {
  v1::DeliveryNote note = Note();
  Add(note, Voucher(0, 19));
  const auto verify = [&](const v1::SignedEnvelope& envelope) {
    return ReasonOf(VerifyNote(envelope, session_.session(), *NoteSigner::Of(space_.certificate),
                               tills_, kTestTime)
                        .status());
  };
  // Signed as evidence, by the key that signs evidence and by the one that signs notes.
  EXPECT_EQ(verify(*SignEnvelope(payload_type::kEvidence, Serialise(note), space_.note_key, {})),
            "NOTE_SIGNATURE");
  auto evidence =
      *SignEnvelope(payload_type::kEvidence, Serialise(note), space_.attestation_key, {});
  EXPECT_EQ(verify(evidence), "NOTE_SIGNATURE");
  evidence.set_payload_type(std::string(payload_type::kDeliveryNote));
  EXPECT_EQ(verify(evidence), "NOTE_SIGNATURE");
  auto signed_note =
      *SignEnvelope(payload_type::kDeliveryNote, Serialise(note), space_.note_key, {});
  EXPECT_EQ(verify(signed_note), "");
  signed_note.mutable_payload()->back() ^= 1;
  EXPECT_EQ(verify(signed_note), "NOTE_SIGNATURE");
}

TEST_F(DeliveryNoteTest, WantsASecureSpacesCertificate) {
  EXPECT_EQ(ReasonOf(NoteSigner::Of(provider_.till.certificate).status()), "NOTE_CERTIFICATE");
}

}  // namespace
}  // namespace nark
