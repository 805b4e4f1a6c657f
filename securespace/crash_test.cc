#include <gtest/gtest.h>

#include <map>
#include <set>
#include <string>

#include "securespace/testing.h"

// Power fails at every writing operation, with every fate of unsynced bytes that
// the seeds draw. No key may leave twice, and what left must be in the note.
namespace nark::securespace {
namespace {

constexpr uint64_t kIds = 24;
constexpr size_t kListSize = 3;

// What the host saw.
struct Host {
  std::map<uint64_t, int> keys;  // how often each id's key came
  std::set<uint64_t> in_doubt;   // asked for in a list that was never answered
};

class Life {
 public:
  explicit Life(TestWorld& world, const std::vector<TestAdu>& adus) : world_(world), adus_(adus) {}

  // Joins, and asks for every key twice, until done or dead.
  void Run(Host& host) {
    if (!world_.Reopen().ok()) {
      ADD_FAILURE() << "does not open after a crash";
      return;
    }
    if (world_.space().GetIdentity()->grants_size() == 0 && !world_.Join(voucher_first_).ok()) {
      return;
    }
    for (uint64_t first = 0; first < kIds; first += kListSize) {
      if (first == kIds / 2 && !world_.Join(voucher_second_).ok()) return;
      if (!Ask(first, host) || !Ask(first, host)) return;
    }
  }

  absl::StatusOr<v1::DeliveryNote> Note() { return world_.Note(v1::NOTE_STATUS_FINAL); }

  void Buy() {
    voucher_first_ = world_.Voucher(0, kIds / 2 - 1);
    voucher_second_ = world_.Voucher(kIds / 2, kIds - 1);
  }

 private:
  bool Ask(uint64_t first, Host& host) {
    ReleaseRequest request{world_.session.name(), 0, {}};
    for (uint64_t id = first; id < first + kListSize; ++id) {
      request.headers.push_back(adus_[id].header);
    }
    absl::StatusOr<std::vector<KeyDecision>> decisions = world_.space().ReleaseKeys(request);
    for (uint64_t id = first; id < first + kListSize; ++id) {
      if (!decisions.ok()) {
        host.in_doubt.insert(id);
      } else if ((*decisions)[id - first].refusal == v1::REFUSAL_REASON_UNSPECIFIED) {
        EXPECT_TRUE((*decisions)[id - first].data_key == adus_[id].data_key);
        ++host.keys[id];
      }
    }
    return decisions.ok();
  }

  TestWorld& world_;
  const std::vector<TestAdu>& adus_;
  v1::SignedEnvelope voucher_first_;
  v1::SignedEnvelope voucher_second_;
};

std::set<uint64_t> Delivered(const v1::DeliveryNote& note) {
  std::set<uint64_t> ids;
  for (const v1::SenderReceipts& receipts : note.receipts()) {
    for (const auto& [first, last] : RangesOf(receipts.delivered())) {
      for (uint64_t id = first; id <= last; ++id) ids.insert(id);
    }
  }
  return ids;
}

void Check(const Host& host, const std::set<uint64_t>& delivered) {
  for (const auto& [id, times] : host.keys) {
    EXPECT_EQ(times, 1) << "key of ADU " << id;
    EXPECT_TRUE(delivered.contains(id)) << "the key of ADU " << id << " left without a record";
  }
  for (uint64_t id : delivered) {
    EXPECT_TRUE(host.keys.contains(id) || host.in_doubt.contains(id))
        << "ADU " << id << " is billed and was never asked for";
  }
}

class CrashTest : public testing::TestWithParam<uint64_t> {};

TEST_P(CrashTest, NoKeyLeavesTwiceOrUnrecorded) {
  TestWorld world;
  std::vector<TestAdu> adus;
  for (uint64_t id = 0; id < kIds; ++id) adus.push_back(MakeAdu(world.session, id));
  Life life(world, adus);
  life.Buy();
  world.storage.Restart();
  const FakeStorage fresh = world.storage;

  bool reached = true;
  for (uint64_t crash = 0; reached; ++crash) {
    SCOPED_TRACE(testing::Message() << "seed " << GetParam() << ", crash at " << crash);
    world.storage = fresh;
    world.storage.Reseed(1000 * GetParam() + crash);
    Host host;
    world.storage.CrashAt(crash);
    life.Run(host);
    reached = world.storage.crashed();
    world.storage.Restart();
    // A second crash soon after the first, then peace.
    world.storage.CrashAt(crash % 7);
    life.Run(host);
    world.storage.Restart();
    life.Run(host);
    absl::StatusOr<v1::DeliveryNote> note = life.Note();
    ASSERT_TRUE(note.ok()) << note.status();
    Check(host, Delivered(*note));
    if (HasFailure()) return;
  }
}

// Closing is durable before the note is signed: after a crash there is the same
// payload, or a session that still releases.
TEST_P(CrashTest, ThereIsOneFinalNote) {
  TestWorld world;
  ASSERT_TRUE(world.Join(world.Voucher(0, 9)).ok());
  ASSERT_EQ(world.Reason(1), v1::REFUSAL_REASON_UNSPECIFIED);
  const FakeStorage before = world.storage;
  bool reached = true;
  for (uint64_t crash = 0; reached; ++crash) {
    SCOPED_TRACE(testing::Message() << "seed " << GetParam() << ", crash at " << crash);
    world.storage = before;
    world.storage.Reseed(1000 * GetParam() + crash);
    world.storage.Restart();
    ASSERT_TRUE(world.Reopen().ok());
    world.storage.CrashAt(crash);
    absl::StatusOr<v1::DeliveryNote> first = world.Note(v1::NOTE_STATUS_FINAL);
    reached = world.storage.crashed();
    world.storage.Restart();
    ASSERT_TRUE(world.Reopen().ok());
    if (first.ok()) {
      EXPECT_EQ(world.Reason(2), v1::REFUSAL_REASON_CLOSED);
    }
    absl::StatusOr<v1::DeliveryNote> second = world.Note(v1::NOTE_STATUS_FINAL);
    ASSERT_TRUE(second.ok()) << second.status();
    EXPECT_EQ(Delivered(*second), std::set<uint64_t>{1});
    if (first.ok()) {
      EXPECT_EQ(first->SerializeAsString(), second->SerializeAsString());
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Seeds, CrashTest, testing::Range<uint64_t>(0, 5));

}  // namespace
}  // namespace nark::securespace
