#include "securespace/state.h"

#include <gtest/gtest.h>

#include <algorithm>

namespace nark::securespace {
namespace {

SessionState SomeState(v1::ReceiptType type = v1::RECEIPT_TYPE_TREE) {
  SessionState state;
  state.receipt_type = type;
  state.descriptor.set_payload("descriptor");
  state.verified_at_us = 1;
  state.counter = 2;
  state.stop_issue_time_us = 4;
  state.contact_obeyed = 6;
  state.contact_echoed = 5;
  state.refusals[v1::REFUSAL_REASON_LATE] = 7;
  Grant grant;
  grant.id[0] = 1;
  grant.voucher_identity[0] = 2;
  grant.voucher.set_payload("voucher");
  grant.voucher_issue_time_us = 8;
  grant.issue_time_us = 9;
  grant.policy.mutable_range()->set_last(99);
  grant.group_ids = {Bytes(16, 3)};
  Seeds seeds{{0, 1}, {}};
  seeds.nodes.push_back({3, 5, SecretBytes(32)});
  grant.seeds.push_back(std::move(seeds));
  grant.spent[1] = 10;
  state.grants.push_back(std::move(grant));
  StreamState& stream = state.Stream({0, 1});
  stream.clock_us = 11;
  stream.last_accepted_us = 3;
  for (uint64_t id = 1; id <= 5; ++id) stream.released->Insert(id);
  stream.late.Insert(7);
  stream.proved.Insert(2, 4);
  state.final_payload = "note";
  state.final_note.set_payload("note");
  return state;
}

Bytes Snapshot(const SessionState& state) {
  Writer writer;
  EXPECT_TRUE(Write(state, writer).ok());
  return ToBytes(writer.bytes());
}

class StateFormTest : public testing::TestWithParam<v1::ReceiptType> {};

TEST_P(StateFormTest, SnapshotsReadBackAsTheyWere) {
  Bytes snapshot = Snapshot(SomeState(GetParam()));
  absl::StatusOr<SessionState> state = ParseState(snapshot);
  ASSERT_TRUE(state.ok()) << state.status();
  EXPECT_EQ(Snapshot(*state), snapshot);
  EXPECT_EQ(state->grants[0].seeds[0].nodes[0].prefix, 5u);
  EXPECT_TRUE(state->streams.at({0, 1}).released->Contains(5));
  EXPECT_TRUE(state->suspended());
  EXPECT_TRUE(state->closed());
}

TEST_P(StateFormTest, RefusesEveryTruncationAndAnythingBehind) {
  Bytes snapshot = Snapshot(SomeState(GetParam()));
  for (size_t size = 0; size < snapshot.size(); ++size) {
    EXPECT_FALSE(ParseState(ByteView(snapshot).first(size)).ok()) << size;
  }
  snapshot.push_back(0);
  EXPECT_FALSE(ParseState(snapshot).ok());
}

// What the journal lets through is authentic; a parser holds anyway.
TEST_P(StateFormTest, SurvivesEveryFlippedBit) {
  Bytes snapshot = Snapshot(SomeState(GetParam()));
  for (size_t bit = 0; bit < 8 * snapshot.size(); ++bit) {
    Bytes flipped = snapshot;
    flipped[bit / 8] ^= static_cast<uint8_t>(1 << bit % 8);
    absl::StatusOr<SessionState> state = ParseState(flipped);
    if (state.ok()) {
      EXPECT_NE(Snapshot(*state), snapshot) << bit;
    }
  }
}

TEST_P(StateFormTest, ReplayingARecordGivesTheStateItWasWrittenIn) {
  SessionState before = *ParseState(Snapshot(SomeState(GetParam())));
  before.stop_issue_time_us = 0;
  SessionState after = *ParseState(Snapshot(before));
  ReleaseRecord record;
  after.counter = 20;
  after.contact_obeyed = 40;
  after.refusals[v1::REFUSAL_REASON_RANGE] = 50;
  after.Stream({0, 2}).released->Insert(3);
  record.ids[{0, 2}].first.Insert(3);
  after.Stream({0, 1}).late.Insert(60, 61);
  record.ids[{0, 1}].second.Insert(60, 61);
  after.Stream({0, 1}).clock_us = 70;
  after.Stream({0, 1}).last_accepted_us = 30;
  record.clocks.insert({0, 1});
  after.grants[0].spent[2] = 80;
  record.spent.emplace(0, 2);

  Writer writer;
  Write(record, after, writer);
  ASSERT_TRUE(Replay(writer.bytes(), before).ok());
  EXPECT_EQ(Snapshot(before), Snapshot(after));
  ASSERT_TRUE(Replay(writer.bytes(), before).ok());
  EXPECT_EQ(Snapshot(before), Snapshot(after));
  for (size_t size = 0; size < writer.bytes().size(); ++size) {
    SessionState state = *ParseState(Snapshot(after));
    EXPECT_FALSE(Replay(writer.bytes().first(size), state).ok()) << size;
  }
}

INSTANTIATE_TEST_SUITE_P(ReceiptTypes, StateFormTest, testing::ValuesIn(ReceiptTypes()));

// The last with one signed time for all streams, in other places.
TEST(StateTest, TheFormatOfBeforeIsRefused) {
  constexpr uint8_t kBefore = 3;
  SessionState state = SomeState();
  Bytes snapshot = Snapshot(state);
  snapshot[0] = kBefore;
  EXPECT_TRUE(absl::IsDataLoss(ParseState(snapshot).status()));
  Writer writer;
  Write(ReleaseRecord{}, state, writer);
  Bytes record = ToBytes(writer.bytes());
  ASSERT_TRUE(Replay(record, state).ok());
  record[0] = kBefore;
  EXPECT_TRUE(absl::IsDataLoss(Replay(record, state)));
}

// The one from before there were marked blocks: nobody loses what was paid for.
TEST(StateTest, ReadsGrantsWithoutKeysOfMarkedBlocks) {
  SessionState state = SomeState();
  ASSERT_FALSE(state.grants.empty());
  const Bytes key(32, 0xB7);
  for (Grant& grant : state.grants) grant.block_key = SecretBytes::CopyOf(key);
  Bytes snapshot = Snapshot(state);
  for (size_t i = 0; i < state.grants.size(); ++i) {
    const auto at = std::search(snapshot.begin(), snapshot.end(), key.begin(), key.end());
    ASSERT_NE(at, snapshot.end());
    snapshot.erase(at - 4, at + static_cast<ptrdiff_t>(key.size()));  // with its size
  }
  snapshot[0] = 4;
  const absl::StatusOr<SessionState> read = ParseState(snapshot);
  ASSERT_TRUE(read.ok()) << read.status();
  for (const Grant& grant : read->grants) EXPECT_TRUE(grant.block_key.empty());
  for (Grant& grant : state.grants) grant.block_key = SecretBytes();
  EXPECT_EQ(Snapshot(*read), Snapshot(state));
}

TEST(StateTest, AStopOrderKillsGrantsOfVouchersUpToItsTime) {
  SessionState state;
  for (uint64_t time : {10, 20, 30}) {
    Grant grant;
    grant.voucher_issue_time_us = time;
    state.grants.push_back(std::move(grant));
  }
  EXPECT_FALSE(StopGrants(state));
  state.stop_issue_time_us = 20;
  EXPECT_TRUE(StopGrants(state));
  EXPECT_TRUE(state.grants[0].stopped);
  EXPECT_TRUE(state.grants[1].stopped);
  EXPECT_FALSE(state.grants[2].stopped);
  EXPECT_FALSE(StopGrants(state));
}

TEST(StateTest, TheListOfSessionsReadsBack) {
  SessionName name;
  name.provider[0] = 1;
  name.session_id[15] = 2;
  Writer writer;
  Write(std::set<SessionName>{name}, writer);
  absl::StatusOr<std::set<SessionName>> names = ParseSessions(writer.bytes());
  ASSERT_TRUE(names.ok());
  EXPECT_EQ(*names, std::set<SessionName>{name});
  EXPECT_FALSE(ParseSessions(writer.bytes().first(writer.bytes().size() - 1)).ok());
}

}  // namespace
}  // namespace nark::securespace
