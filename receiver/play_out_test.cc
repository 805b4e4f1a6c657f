#include "receiver/play_out.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <memory>
#include <optional>
#include <set>

#include "receiver/testing.h"

namespace nark::receiver {
namespace {

using std::chrono::microseconds;
using std::chrono::milliseconds;
using testing::ElementsAre;
using testing::IsEmpty;
using testing::Pair;

class PlayOutTest : public testing::Test {
 protected:
  PlayOutTest() { Use(provider_.MakeSession(), {}); }

  void Use(TestSession session, const PlayOutOptions& options) {
    session_.emplace(std::move(session));
    maker_.emplace(*session_);
    space_.emplace(*session_, *maker_);
    sink_ = RecordingSink();
    auto created = PlayOut::Create(session_->session(), 0, *space_, sink_, options);
    ASSERT_TRUE(created.ok()) << created.status();
    play_out_ = *std::move(created);
  }
  void Restart(const PlayOutOptions& options) { Use(provider_.MakeSession(), options); }
  CompleteAdu Complete(uint64_t id, size_t bytes = 100) {
    const MadeAdu made = maker_->Make(id, maker_->Text(id, bytes));
    return {made.header, made.signed_header, made.ciphertext};
  }
  void Add(uint64_t id) { play_out_->Add(Complete(id), now_); }
  void Run() { ASSERT_TRUE(play_out_->Run(now_).ok()); }
  void RunAfter(microseconds time) {
    now_ += time;
    Run();
  }
  // As a poll loop would: runs at every deadline.
  void RunUntil(Timestamp end) {
    for (auto next = play_out_->NextDeadline(); next && *next <= end;
         next = play_out_->NextDeadline()) {
      now_ = std::max(now_, *next);
      Run();
    }
    now_ = end;
  }
  // Plays ADU 0, so that the next one is 1.
  void Begin() {
    Add(0);
    Run();
    ASSERT_THAT(sink_.ids, ElementsAre(0));
    sink_.ids.clear();
    space_->calls.clear();
  }
  const PlayOutStatistics& numbers() const { return play_out_->statistics(); }

  TestProvider provider_;
  std::optional<TestSession> session_;
  std::optional<AduMaker> maker_;
  std::optional<RecordingSpace> space_;
  RecordingSink sink_;
  std::unique_ptr<PlayOut> play_out_;
  Timestamp now_ = kTestTime;
};

TEST_F(PlayOutTest, WritesTheNextAduAtOnce) {
  Begin();
  Add(1);
  EXPECT_LE(play_out_->NextDeadline(), now_);
  Run();
  EXPECT_THAT(sink_.ids, ElementsAre(1));
  EXPECT_EQ(play_out_->NextDeadline(), std::nullopt);
  EXPECT_EQ(play_out_->queue_bytes(), 0u);
}

TEST_F(PlayOutTest, WritesWhatTheSenderGotInOrder) {
  Bytes expected;
  for (uint64_t id : {3, 1, 0, 2}) Add(id);
  for (uint64_t id : {0, 1, 2, 3}) {
    const Bytes text = maker_->Text(id, 100);
    expected.insert(expected.end(), text.begin(), text.end());
  }
  Run();
  EXPECT_EQ(sink_.written, expected);
  EXPECT_EQ(numbers().delivered, 4u);
  EXPECT_EQ(numbers().delivered_bytes, 400u);
}

TEST_F(PlayOutTest, AsksForAllThatIsDueInOneCall) {
  for (uint64_t id = 0; id < 20; ++id) Add(id);
  Run();
  ASSERT_EQ(space_->calls.size(), 1u);
  EXPECT_EQ(space_->calls[0].size(), 20u);
}

TEST_F(PlayOutTest, AsksForAtMostAThousandAndTwentyFourHeadersInACall) {
  for (uint64_t id = 0; id < 1030; ++id) Add(id);
  Run();
  ASSERT_EQ(space_->calls.size(), 2u);
  EXPECT_EQ(space_->calls[0].size(), 1024u);
  EXPECT_EQ(sink_.ids.size(), 1030u);
}

// In order, once, and nothing behind them is asked for meanwhile.
TEST_F(PlayOutTest, KeepsWhatWantsANewerGrant) {
  play_out_->SetLapsed(PlayOut::Lapsed::kKeep);
  for (uint64_t id = 0; id < 1030; ++id) Add(id);
  for (uint64_t id = 1; id < 1030; ++id) space_->refuse[id] = v1::REFUSAL_REASON_LEASE;
  space_->refuse[2] = v1::REFUSAL_REASON_RANGE;
  Run();
  EXPECT_THAT(sink_.ids, ElementsAre(0));
  EXPECT_EQ(space_->calls.size(), 1u);
  EXPECT_EQ(play_out_->kept(), 1030u - 2);
  EXPECT_THAT(numbers().refused, ElementsAre(Pair(v1::REFUSAL_REASON_RANGE, 1)));
  EXPECT_THAT(numbers().put_off, ElementsAre(Pair(v1::REFUSAL_REASON_LEASE, 1022)));

  space_->refuse = {{500, v1::REFUSAL_REASON_CONTACT}};
  Add(1030);
  Run();
  EXPECT_EQ(play_out_->kept(), 1u + 5);
  space_->refuse.clear();
  ASSERT_TRUE(play_out_->Flush(now_).ok());
  EXPECT_EQ(play_out_->kept(), 0u);
  EXPECT_EQ(numbers().delivered, 1030u);
  EXPECT_EQ(std::set<uint64_t>(sink_.ids.begin(), sink_.ids.end()).size(), 1030u);

  play_out_->SetLapsed(PlayOut::Lapsed::kRefuse);
  space_->refuse[1031] = v1::REFUSAL_REASON_LEASE;
  Add(1031);
  Run();
  EXPECT_EQ(play_out_->kept(), 0u);
  EXPECT_EQ(numbers().refused.at(v1::REFUSAL_REASON_LEASE), 1u);
}

// A refused one moves the clock in the secure space, too.
TEST_F(PlayOutTest, AsksForNoneWhoseTimeMakesThoseBeforeItLate) {
  ASSERT_EQ(session_->session().terms().timeliness(), v1::TIMELINESS_LIVE);
  play_out_->SetLapsed(PlayOut::Lapsed::kKeep);
  for (uint64_t id = 0; id < 25; ++id) {
    maker_->set_signed_time(kTestTime + std::chrono::seconds(id));
    Add(id);
  }
  Run();
  ASSERT_GT(space_->calls.size(), 1u);
  for (const std::vector<uint64_t>& call : space_->calls) {
    EXPECT_LE((call.back() - call.front()) * 1'000'000,
              Complete(0).header.deadline_us - Complete(0).header.signed_time_us);
  }
  EXPECT_EQ(sink_.ids.size(), 25u);
}

TEST_F(PlayOutTest, WaitsForAMissingAduAsLongAsTheDelay) {
  Begin();
  Add(2);
  Run();
  EXPECT_THAT(sink_.ids, IsEmpty());
  EXPECT_EQ(play_out_->NextDeadline(), now_ + milliseconds(500));
  RunAfter(milliseconds(499));
  EXPECT_THAT(sink_.ids, IsEmpty());
  Add(1);
  Run();
  EXPECT_THAT(sink_.ids, ElementsAre(1, 2));
  EXPECT_EQ(numbers().missing, 0u);
}

TEST_F(PlayOutTest, PassesAMissingAduAfterTheDelay) {
  Begin();
  Add(2);
  RunAfter(milliseconds(500));
  EXPECT_THAT(sink_.ids, ElementsAre(2));
  EXPECT_EQ(numbers().missing, 1u);
  EXPECT_EQ(play_out_->floor(1), 3u);
}

TEST_F(PlayOutTest, NeitherAsksForNorWritesAnAduThatComesTooLate) {
  Begin();
  Add(2);
  RunAfter(milliseconds(500));
  Add(1);
  RunAfter(milliseconds(500));
  EXPECT_THAT(sink_.ids, ElementsAre(2));
  EXPECT_THAT(space_->asked(), ElementsAre(2));
  EXPECT_EQ(numbers().behind, 1u);
}

TEST_F(PlayOutTest, WritesEachAduWithinTheDelayWhateverElseIsMissing) {
  Begin();
  Add(9);
  now_ += milliseconds(300);
  Add(5);
  RunAfter(milliseconds(200));
  // 9 has waited long enough; what lies before it can not come later.
  EXPECT_THAT(sink_.ids, ElementsAre(5, 9));
}

TEST_F(PlayOutTest, StartsAnywhere) {
  Add(1'000'001);
  now_ += milliseconds(100);
  Add(1'000'000);
  Run();
  EXPECT_THAT(sink_.ids, IsEmpty());
  RunAfter(milliseconds(400));
  EXPECT_THAT(sink_.ids, ElementsAre(1'000'000, 1'000'001));
  EXPECT_EQ(numbers().missing, 0u);
}

TEST_F(PlayOutTest, GoesOnAfterAJumpAndAMinuteOfSilence) {
  Begin();
  RunAfter(std::chrono::minutes(1));
  Add(1024);
  Run();
  EXPECT_THAT(sink_.ids, IsEmpty());
  RunAfter(milliseconds(500));
  Add(1025);
  Run();
  EXPECT_THAT(sink_.ids, ElementsAre(1024, 1025));
}

TEST_F(PlayOutTest, FlushesWhatIsCompleteWithoutWaiting) {
  Begin();
  Add(4);
  Add(2);
  ASSERT_TRUE(play_out_->Flush(now_).ok());
  EXPECT_THAT(sink_.ids, ElementsAre(2, 4));
}

TEST_F(PlayOutTest, CountsRefusalsAndWritesTheRest) {
  space_->refuse = {
      {1, v1::REFUSAL_REASON_RANGE}, {2, v1::REFUSAL_REASON_RANGE}, {3, v1::REFUSAL_REASON_LATE}};
  for (uint64_t id = 0; id < 6; ++id) Add(id);
  Run();
  EXPECT_THAT(sink_.ids, ElementsAre(0, 4, 5));
  EXPECT_THAT(numbers().refused,
              ElementsAre(Pair(v1::REFUSAL_REASON_RANGE, 2), Pair(v1::REFUSAL_REASON_LATE, 1)));
  EXPECT_EQ(ReasonName(v1::REFUSAL_REASON_RANGE), "RANGE");
}

TEST_F(PlayOutTest, AsksTwiceForNoAdu) {
  Add(0);
  Add(0);
  Run();
  Add(0);
  Run();
  EXPECT_THAT(space_->asked(), ElementsAre(0));
  EXPECT_EQ(numbers().repeated, 1u);
  EXPECT_EQ(numbers().behind, 1u);
}

TEST_F(PlayOutTest, CountsWhatDoesNotDecrypt) {
  CompleteAdu adu = Complete(0);
  adu.ciphertext.back() ^= 1;
  play_out_->Add(std::move(adu), now_);
  Add(1);
  Run();
  EXPECT_THAT(sink_.ids, ElementsAre(1));
  EXPECT_EQ(numbers().damaged, 1u);
}

TEST_F(PlayOutTest, AsksNothingMoreAfterTheSinkFailed) {
  sink_.fail = absl::UnavailableError("gone");
  Add(0);
  EXPECT_EQ(play_out_->Run(now_).code(), absl::StatusCode::kUnavailable);
  Add(1);
  EXPECT_EQ(play_out_->Run(now_).code(), absl::StatusCode::kUnavailable);
  EXPECT_EQ(play_out_->Flush(now_).code(), absl::StatusCode::kUnavailable);
  EXPECT_THAT(space_->asked(), ElementsAre(0));
}

TEST_F(PlayOutTest, AsksNothingMoreAfterTheSecureSpaceFailed) {
  space_->fail = absl::UnavailableError("disk full");
  Add(0);
  EXPECT_EQ(play_out_->Run(now_).code(), absl::StatusCode::kUnavailable);
  space_->fail = absl::OkStatus();
  Add(1);
  EXPECT_EQ(play_out_->Run(now_).code(), absl::StatusCode::kUnavailable);
  EXPECT_THAT(space_->asked(), IsEmpty());
}

TEST_F(PlayOutTest, DoesNotWaitForMoreThanItsMemoryHolds) {
  PlayOutOptions options;
  options.queue_bytes = 50'000;
  Restart(options);
  Begin();
  for (uint64_t id : {10, 20, 30}) play_out_->Add(Complete(id, 20'000), now_);
  Run();
  EXPECT_THAT(sink_.ids, ElementsAre(10));
  EXPECT_LE(play_out_->queue_bytes(), options.queue_bytes);
}

TEST_F(PlayOutTest, GivesUpTheOldestUnaskedWhileItMayNotAsk) {
  PlayOutOptions options;
  options.queue_bytes = 50'000;
  Restart(options);
  for (uint64_t id = 0; id < 5; ++id) play_out_->Add(Complete(id, 20'000), now_);
  play_out_->Trim();
  EXPECT_EQ(numbers().crowded_out, 3u);
  EXPECT_THAT(space_->asked(), IsEmpty());
  Run();
  EXPECT_THAT(sink_.ids, ElementsAre(3, 4));
}

TEST_F(PlayOutTest, OpensAdusOnTheCardWhereTheTermsSaySo) {
  SessionOptions session;
  session.release = v1::RELEASE_MODE_PLAINTEXT;
  Use(provider_.MakeSession(session), {});
  space_->refuse = {{70, v1::REFUSAL_REASON_CIPHERTEXT}};
  for (uint64_t id = 0; id < 100; ++id) Add(id);
  Run();
  EXPECT_EQ(space_->calls.size(), 2u);  // at most 64 ADUs a call
  EXPECT_EQ(sink_.ids.size(), 99u);
  EXPECT_EQ(numbers().refused.at(v1::REFUSAL_REASON_CIPHERTEXT), 1u);
  const Bytes first = maker_->Text(0, 100);
  EXPECT_EQ(Bytes(sink_.written.begin(), sink_.written.begin() + 100), first);
}

TEST_F(PlayOutTest, OrdersEachSenderByItself) {
  SessionOptions options;
  options.senders.emplace_back(options.senders[0]).set_sender_id(2);
  Use(provider_.MakeSession(options), {});
  AduMaker second(*session_, 2);
  const auto add = [&](AduMaker& maker, uint64_t id) {
    const MadeAdu made = maker.Make(id, maker.Text(id, 10));
    play_out_->Add({made.header, made.signed_header, made.ciphertext}, now_);
  };
  add(*maker_, 0);
  add(second, 500);
  Run();
  EXPECT_THAT(sink_.ids, ElementsAre(0));
  EXPECT_EQ(play_out_->floor(1), 1u);
  EXPECT_EQ(play_out_->floor(2), 0u);
  EXPECT_THAT(play_out_->senders(), ElementsAre(1, 2));
}

// Whatever the order and time of arrival: in order, each within the delay, none twice.
TEST_F(PlayOutTest, KeepsItsPromiseForAnyArrivalOrder) {
  for (uint64_t seed = 1; seed <= 30; ++seed) {
    SCOPED_TRACE(testing::Message() << "seed " << seed);
    Restart({});
    SeededRandom random(seed);
    std::map<uint64_t, Timestamp> completed;
    std::vector<uint64_t> ids;
    const uint64_t first = random.Below(2) * 1000;
    for (uint64_t id = first; id < first + 40; ++id) {
      if (random.Below(8) != 0) ids.push_back(id);
    }
    for (size_t i = 0; i + 1 < ids.size(); ++i) {
      std::swap(ids[i], ids[i + random.Below(std::min<size_t>(6, ids.size() - i))]);
    }
    for (uint64_t id : ids) {
      RunUntil(now_ + milliseconds(random.Below(300)));
      completed[id] = now_;
      Add(id);
      Run();
    }
    RunUntil(now_ + milliseconds(500));
    EXPECT_TRUE(std::is_sorted(sink_.ids.begin(), sink_.ids.end()));
    EXPECT_EQ(sink_.ids.size() + numbers().behind, ids.size());
    EXPECT_EQ(space_->asked(), sink_.ids);
    for (uint64_t id : sink_.ids) EXPECT_LE(sink_.times[id] - completed[id], milliseconds(500));
  }
}

class PreviewTest : public PlayOutTest {
 protected:
  PreviewTest() {
    play_out_ = *PlayOut::CreatePreview(session_->session(), 0, sink_, PlayOutOptions());
  }
};

TEST_F(PreviewTest, WritesClearBytesAndZeroesTheOthersInOrderAndAsksForNothing) {
  maker_->set_clear(wire::ClearRanges{{10, 20}, {90, 10}});
  for (uint64_t id : {1, 0}) Add(id);
  Run();
  EXPECT_THAT(sink_.ids, ElementsAre(0, 1));
  Bytes expected(200);
  for (size_t id : {0, 1}) {
    const Bytes text = maker_->Text(id, 100);
    for (const auto& [offset, length] : {std::pair<size_t, size_t>{10, 20}, {90, 10}}) {
      std::copy_n(text.begin() + static_cast<ptrdiff_t>(offset), length,
                  expected.begin() + static_cast<ptrdiff_t>(100 * id + offset));
    }
  }
  EXPECT_EQ(sink_.written, expected);
  EXPECT_THAT(space_->calls, IsEmpty());
  EXPECT_EQ(numbers().delivered, 2u);
}

TEST_F(PreviewTest, ShowsNothingOfAnAduThatIsEncryptedAsAWhole) {
  Add(0);
  Run();
  EXPECT_EQ(sink_.written, Bytes(100));
}

// A sender that counts wrongly gets no preview, and nobody's key.
TEST_F(PreviewTest, LeavesOutAnAduWhoseRuleCountsWrongly) {
  CompleteAdu adu = Complete(0);
  adu.header.clear_map = wire::PacketRule{0, {0x100}, 99};
  play_out_->Add(std::move(adu), now_);
  Add(1);
  Run();
  EXPECT_THAT(sink_.ids, ElementsAre(1));
  EXPECT_EQ(numbers().damaged, 1u);
}

TEST_F(PreviewTest, TheBuyerGetsEveryByteOfThemToo) {
  Use(provider_.MakeSession(), {});
  maker_->set_clear(wire::ClearRanges{{10, 20}, {90, 10}});
  Add(0);
  Run();
  EXPECT_EQ(sink_.written, maker_->Text(0, 100));
}

}  // namespace
}  // namespace nark::receiver
