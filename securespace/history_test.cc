#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <optional>
#include <set>
#include <vector>

#include "common/base/status.h"
#include "common/object/delivery_note.h"
#include "common/object/envelope.h"
#include "common/object/provider.h"
#include "securespace/receipts.h"
#include "securespace/testing.h"

// Random purchases, ADUs, crashes and restarts against a model that knows the rules of
// docs/architecture.md and nothing of the code. Every note on the way is one that
// VerifyNote accepts, and its accounts are the model's. A failure prints the seed.
namespace nark::securespace {
namespace {

constexpr uint64_t kStart = 1767225600'000000;  // kTestTime
constexpr uint64_t kIds = 40;
constexpr uint32_t kSenders[] = {1, 2, 5};
constexpr uint32_t kSubSessions[] = {0, 3};

using StreamKey = std::pair<uint32_t, uint32_t>;  // (sub-session, sender)

template <typename Ids>
bool EmptyOrHas(const Ids& ids, uint32_t id) {
  return ids.empty() || std::find(ids.begin(), ids.end(), id) != ids.end();
}

// What was released, in order, and which voucher's count it cost.
struct Release {
  StreamKey stream;
  uint64_t id;
  std::optional<size_t> counted;  // voucher by index
};

struct Model {
  std::vector<v1::Policy> bought;
  std::vector<Release> log;
  std::set<std::pair<StreamKey, uint64_t>> late;
  std::map<StreamKey, uint64_t> clock;
  std::map<uint32_t, uint64_t> last_accepted;  // by sender

  static bool Streams(const v1::Policy& policy, const StreamKey& stream) {
    const bool sub = policy.sub_sessions().empty()
                         ? stream.first == 0
                         : EmptyOrHas(policy.sub_sessions(), stream.first);
    return sub && EmptyOrHas(policy.sender_ids(), stream.second);
  }
  static bool InRange(const v1::Policy& policy, uint64_t id) {
    return policy.range().first() <= id && id <= policy.range().last();
  }
  uint64_t Spent(size_t voucher, uint32_t sender) const {
    uint64_t spent = 0;
    for (const Release& release : log) {
      if (release.counted == voucher && release.stream.second == sender) ++spent;
    }
    return spent;
  }
  bool Released(const StreamKey& stream, uint64_t id) const {
    return std::any_of(log.begin(), log.end(), [&](const Release& release) {
      return release.stream == stream && release.id == id;
    });
  }

  // The limits of one purchase in the documented order; 0 where all hold.
  int FirstLimit(size_t voucher, const StreamKey& stream, uint64_t id, uint64_t time) const {
    const v1::Policy& policy = bought[voucher];
    const bool sub = policy.sub_sessions().empty()
                         ? stream.first == 0
                         : EmptyOrHas(policy.sub_sessions(), stream.first);
    if (!sub || !InRange(policy, id)) return 1;
    if (policy.count() != 0 && Spent(voucher, stream.second) >= policy.count()) return 2;
    if (policy.expires_us() != 0 && time > policy.expires_us()) return 3;
    if (!EmptyOrHas(policy.sender_ids(), stream.second)) return 4;
    // The sender's; before its first ADU, whichever sender's is the latest.
    uint64_t since = kStart;
    for (const auto& [sender, accepted] : last_accepted) {
      if (sender == stream.second || !last_accepted.contains(stream.second)) {
        since = std::max(since, accepted);
      }
    }
    if (policy.lease_ms() != 0 && time > since + 1000 * policy.lease_ms()) {
      return 5;
    }
    return 0;
  }

  v1::RefusalReason Ask(const StreamKey& stream, uint64_t id, uint64_t time, uint64_t deadline) {
    if (bought.empty()) return v1::REFUSAL_REASON_NO_GRANT;
    bool leaf = false;
    for (const v1::Policy& policy : bought) {
      leaf = leaf || (Streams(policy, stream) && InRange(policy, id));
    }
    if (!leaf) return v1::REFUSAL_REASON_RANGE;
    clock[stream] = std::max(clock[stream], time);

    constexpr v1::RefusalReason kReasons[] = {
        v1::REFUSAL_REASON_UNSPECIFIED, v1::REFUSAL_REASON_RANGE,  v1::REFUSAL_REASON_COUNT,
        v1::REFUSAL_REASON_EXPIRED,     v1::REFUSAL_REASON_SENDER, v1::REFUSAL_REASON_LEASE};
    int furthest = 0;
    bool free = false;
    std::optional<size_t> counted;
    for (size_t voucher = 0; voucher < bought.size(); ++voucher) {
      const int limit = FirstLimit(voucher, stream, id, time);
      furthest = std::max(furthest, limit);
      if (limit == 0 && bought[voucher].count() == 0) free = true;
      if (limit == 0 && bought[voucher].count() != 0 && !counted) counted = voucher;
    }
    if (free) counted.reset();
    if (!free && !counted) return kReasons[furthest];
    if (Released(stream, id)) return v1::REFUSAL_REASON_RELEASED;
    if (late.contains({stream, id})) return v1::REFUSAL_REASON_LATE;
    if (deadline < clock[stream]) {
      late.insert({stream, id});
      return v1::REFUSAL_REASON_LATE;
    }
    log.push_back({stream, id, counted});
    uint64_t& accepted = last_accepted[stream.second];
    accepted = std::max(accepted, time);
    return v1::REFUSAL_REASON_UNSPECIFIED;
  }
};

SessionOptions Options(v1::ReceiptType type) {
  SessionOptions options;
  options.receipts = type;
  options.senders.clear();
  for (uint32_t sender : kSenders) options.senders.emplace_back().set_sender_id(sender);
  options.sub_sessions.emplace_back().set_id(kSubSessions[1]);
  return options;
}

class HistoryTest : public testing::TestWithParam<std::tuple<v1::ReceiptType, uint64_t>> {
 protected:
  HistoryTest()
      : world_(Options(std::get<0>(GetParam()))),
        random_(100 * static_cast<uint64_t>(std::get<0>(GetParam())) + std::get<1>(GetParam())) {}

  v1::Policy SomePolicy() {
    v1::Policy policy;
    const uint64_t first = random_.Below(kIds);
    policy.mutable_range()->set_first(first);
    policy.mutable_range()->set_last(first + random_.Below(kIds - first));
    if (random_.Below(2) == 0) policy.set_count(1 + random_.Below(6));
    if (random_.Below(3) == 0) {
      for (uint32_t sender : kSenders) {
        if (random_.Below(2) == 0) policy.add_sender_ids(sender);
      }
    }
    if (random_.Below(2) == 0) {
      policy.add_sub_sessions(3);
      if (random_.Below(2) == 0) policy.add_sub_sessions(0);
    }
    if (random_.Below(4) == 0) policy.set_expires_us(kStart + random_.Below(4'000'000));
    if (random_.Below(4) == 0) policy.set_lease_ms(1 + random_.Below(1000));
    return policy;
  }

  void Buy() {
    VoucherOptions options;
    options.secure_space_id = world_.identity.id;
    options.policy = SomePolicy();
    vouchers_.push_back(world_.provider.MakeVoucher(world_.session, options));
    absl::Status joined = world_.Join(vouchers_.back()).status();
    ASSERT_TRUE(joined.ok()) << joined;
    model_.bought.push_back(options.policy);
  }

  // Installing again changes nothing but the counter.
  void JoinAgain() {
    if (vouchers_.empty()) return;
    v1::DeliveryNote before = *world_.Note();
    absl::Status joined = world_.Join(vouchers_[random_.Below(vouchers_.size())]).status();
    ASSERT_TRUE(joined.ok()) << joined;
    v1::DeliveryNote after = *world_.Note();
    before.clear_counter();
    after.clear_counter();
    ASSERT_EQ(Serialise(before), Serialise(after));
  }

  TestAdu SomeAdu(AduOptions& options) {
    now_us_ += random_.Below(60'000);
    options.id = random_.Below(kIds);
    options.sender_id = kSenders[random_.Below(3)];
    options.sub_session = kSubSessions[random_.Below(2)];
    // Some come late, of an earlier time.
    options.signed_time_us = now_us_ - (random_.Below(5) == 0 ? random_.Below(100'000) : 0);
    options.signed_time_us = std::max(options.signed_time_us, kStart);
    options.lifetime_us = random_.Below(80'000);
    options.plaintext_bytes = 16;
    return MakeAdu(world_.session, options);
  }

  void Ask() {
    AduOptions options;
    const TestAdu adu = SomeAdu(options);
    const v1::RefusalReason expected =
        model_.Ask({options.sub_session, options.sender_id}, options.id, options.signed_time_us,
                   options.signed_time_us + options.lifetime_us);
    ASSERT_EQ(world_.Reason(adu, options.sub_session), expected)
        << "ADU " << options.id << " of sender " << options.sender_id << " in "
        << options.sub_session;
  }

  // Power fails while the answer is on its way: all of it happened, or nothing.
  void AskAndCrash() {
    AduOptions options;
    const TestAdu adu = SomeAdu(options);
    Model after = model_;
    after.Ask({options.sub_session, options.sender_id}, options.id, options.signed_time_us,
              options.signed_time_us + options.lifetime_us);
    world_.storage.CrashAt(world_.storage.operations() + random_.Below(3));
    (void)world_.Release(adu, options.sub_session);
    world_.storage.Restart();
    ASSERT_TRUE(world_.Reopen().ok());
    if (model_.bought.empty()) return;
    absl::StatusOr<VerifiedNote> note = Verified(v1::NOTE_STATUS_INTERIM);
    ASSERT_TRUE(note.ok()) << note.status();
    ASSERT_TRUE(SaysTheSame(*note, after) || SaysTheSame(*note, model_));
    if (SaysTheSame(*note, after)) model_ = std::move(after);
  }

  absl::StatusOr<VerifiedNote> Verified(v1::NoteStatus status) {
    v1::GetDeliveryNoteRequest request;
    *request.mutable_session() = world_.session.name().ToProto();
    request.set_status(status);
    ASSIGN_OR_RETURN(v1::GetDeliveryNoteResponse response, world_.space().GetDeliveryNote(request));
    ASSIGN_OR_RETURN(NoteSigner signer, NoteSigner::Of(world_.identity.certificate));
    return VerifyNote(response.note(), world_.session.session(), signer, tills_, kTestTime);
  }

  static bool SaysTheSame(const VerifiedNote& note, const Model& model) {
    std::set<std::pair<StreamKey, uint64_t>> released, late;
    std::map<StreamKey, uint64_t> clock;
    for (const NotedStream& stream : note.streams) {
      const StreamKey key{stream.sub_session, stream.sender_id};
      clock[key] = stream.highest_signed_time_us;
      for (uint64_t id = 0; id < kIds; ++id) {
        if (stream.delivered.Contains(id)) released.insert({key, id});
        if (stream.late.Contains(id)) late.insert({key, id});
      }
    }
    std::set<std::pair<StreamKey, uint64_t>> expected;
    for (const Release& release : model.log) expected.insert({release.stream, release.id});
    return released == expected && late == model.late && clock == model.clock;
  }

  void CheckNote(v1::NoteStatus status) {
    if (vouchers_.empty()) return;
    absl::StatusOr<VerifiedNote> note = Verified(status);
    ASSERT_TRUE(note.ok()) << note.status();
    ASSERT_TRUE(SaysTheSame(*note, model_));
    ASSERT_EQ(note->vouchers.size(), vouchers_.size());
    for (size_t i = 0; i < vouchers_.size(); ++i) {
      const NotedVoucher& voucher = note->vouchers[i];
      ASSERT_EQ(voucher.bought.identity, ObjectIdentity(vouchers_[i]));
      const v1::Policy& policy = model_.bought[i];
      uint64_t delivered = 0;
      for (const Release& release : model_.log) {
        if (policy.count() != 0
                ? release.counted == i
                : Model::Streams(policy, release.stream) && Model::InRange(policy, release.id)) {
          ++delivered;
        }
      }
      auto account = AccountOf(voucher, *note);
      ASSERT_TRUE(account.ok()) << account.status();
      ASSERT_EQ(account->delivered, delivered) << "voucher " << i;
    }
  }

  TestWorld world_;
  SeededRandom random_;
  SignerCache tills_;
  Model model_;
  std::vector<v1::SignedEnvelope> vouchers_;
  uint64_t now_us_ = kStart;
};

TEST_P(HistoryTest, IsWhatTheRulesSay) {
  for (int step = 0; step < 150 && !HasFatalFailure(); ++step) {
    SCOPED_TRACE(testing::Message() << "seed " << std::get<1>(GetParam()) << ", step " << step);
    const uint64_t what = random_.Below(40);
    if (what < 2 && vouchers_.size() < 6) {
      Buy();
    } else if (what == 2) {
      JoinAgain();
    } else if (what == 3) {
      ASSERT_TRUE(world_.Reopen().ok());
    } else if (what == 4) {
      CheckNote(v1::NOTE_STATUS_INTERIM);
    } else if (what == 5) {
      AskAndCrash();
    } else {
      Ask();
    }
  }
  if (!HasFatalFailure()) CheckNote(v1::NOTE_STATUS_FINAL);
}

INSTANTIATE_TEST_SUITE_P(Receipts, HistoryTest,
                         testing::Combine(testing::ValuesIn(ReceiptTypes()),
                                          testing::Range<uint64_t>(0, 12)));

}  // namespace
}  // namespace nark::securespace
