#include "sender/reservation.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>
#include <random>
#include <set>
#include <string>

#include "absl/strings/str_cat.h"
#include "common/base/status.h"

namespace nark::sender {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using ::testing::HasSubstr;

constexpr Timestamp kStart{seconds{1'700'000'000}};
const Reservation::Owner kOwner{Digest{1, 2, 3}, 7};

// Files in memory. Can be told to crash at the nth replacement: it then does or does
// not happen, and everything after it fails.
class FakeStorage final : public Storage {
 public:
  enum class Crash : uint8_t { kBefore, kAfter };

  absl::StatusOr<Bytes> Read(std::string_view name) override {
    auto file = files.find(std::string(name));
    if (file == files.end()) return absl::NotFoundError("no file");
    return file->second;
  }
  absl::Status Replace(std::string_view name, ByteView content) override {
    if (crashed) return absl::InternalError("crashed");
    ++replacements;
    crashed = replacements == crash_at;
    if (crashed && crash == Crash::kBefore) return absl::InternalError("crashed");
    files[std::string(name)] = ToBytes(content);
    if (crashed) return absl::InternalError("crashed");
    return absl::OkStatus();
  }
  absl::StatusOr<std::unique_ptr<AppendFile>> OpenAppend(std::string_view) override {
    return absl::UnimplementedError("not needed");
  }
  absl::Status Remove(std::string_view) override { return absl::UnimplementedError("not needed"); }

  std::map<std::string, Bytes> files;
  int replacements = 0;
  int crash_at = 0;
  Crash crash = Crash::kBefore;
  bool crashed = false;
};

std::unique_ptr<Reservation> Opened(Storage& storage) {
  absl::StatusOr<std::unique_ptr<Reservation>> opened = Reservation::Open(storage, "state", kOwner);
  if (!opened.ok()) ADD_FAILURE() << opened.status();
  return opened.ok() ? *std::move(opened) : nullptr;
}

TEST(ReservationTest, BeginsAtZeroAndCounts) {
  FakeStorage storage;
  auto reservation = Opened(storage);
  EXPECT_EQ(reservation->next_id(), 0u);
  EXPECT_EQ(reservation->Take(1, kStart)->adu_id, 0u);
  EXPECT_EQ(reservation->Take(10, kStart)->adu_id, 1u);
  EXPECT_EQ(reservation->Take(1, kStart)->adu_id, 11u);
}

TEST(ReservationTest, IdsAreConsecutiveOverACleanRestart) {
  FakeStorage storage;
  auto first = Opened(storage);
  ASSERT_TRUE(first->Take(3, kStart).ok());
  ASSERT_TRUE(first->Close().ok());
  auto second = Opened(storage);
  absl::StatusOr<Reservation::Stamp> stamp = second->Take(1, kStart);
  ASSERT_TRUE(stamp.ok());
  EXPECT_EQ(stamp->adu_id, 3u);
  EXPECT_EQ(stamp->signed_time, kStart);
}

TEST(ReservationTest, AKilledSenderSkipsWhatWasReservedAndNoMore) {
  FakeStorage storage;
  ASSERT_TRUE(Opened(storage)->Take(3, kStart).ok());  // and dies
  uint64_t next = Opened(storage)->next_id();
  EXPECT_GE(next, 3u);
  EXPECT_LE(next, 3 + Reservation::kLeastIds);
}

TEST(ReservationTest, SignedTimeNeverRunsBackwards) {
  FakeStorage storage;
  auto first = Opened(storage);
  EXPECT_EQ(first->Take(1, kStart)->signed_time, kStart);
  EXPECT_EQ(first->Take(1, kStart - seconds(100))->signed_time, kStart);
  EXPECT_EQ(first->Take(1, kStart + seconds(1))->signed_time, kStart + seconds(1));
  first.reset();  // killed: a time up to the reserved one may have been signed
  auto second = Opened(storage);
  Timestamp after = second->Take(1, kStart)->signed_time;
  EXPECT_GE(after, kStart + seconds(1));
  EXPECT_LE(after, kStart + seconds(1) + Reservation::kAhead);
}

TEST(ReservationTest, ReservesAboutAsManyIdsAsItNeeds) {
  FakeStorage storage;
  auto reservation = Opened(storage);
  // A thousand a second for a minute: few writes, and a crash loses seconds of ids.
  for (int i = 0; i < 60'000; ++i) {
    ASSERT_TRUE(reservation->Take(1, kStart + milliseconds(i)).ok());
  }
  EXPECT_LE(storage.replacements, 40);
  uint64_t used = reservation->next_id();
  EXPECT_LE(Opened(storage)->next_id() - used, 10'000u);
}

TEST(ReservationTest, WritesEverySoOftenNotForEveryAdu) {
  FakeStorage storage;
  auto reservation = Opened(storage);
  for (int i = 0; i < 60; ++i) ASSERT_TRUE(reservation->Take(1, kStart + seconds(i)).ok());
  EXPECT_LE(storage.replacements, 12);
}

TEST(ReservationTest, NoCrashAtAnyWriteEverRepeatsAnIdOrTurnsTimeBack) {
  for (FakeStorage::Crash crash : {FakeStorage::Crash::kBefore, FakeStorage::Crash::kAfter}) {
    uint32_t seed = std::random_device()();
    SCOPED_TRACE(absl::StrCat("seed ", seed));
    std::mt19937 random(seed);
    FakeStorage storage;
    storage.crash = crash;
    std::set<uint64_t> used;
    Timestamp now = kStart;
    Timestamp last{};
    for (int life = 0; life < 200; ++life) {
      storage.crashed = false;
      storage.replacements = 0;
      storage.crash_at = 1 + static_cast<int>(random() % 5);
      auto reservation = Opened(storage);
      for (int i = 0; i < 200; ++i) {
        now += milliseconds(static_cast<int>(random() % 3000) - 500);
        uint64_t count = 1 + random() % 40;
        absl::StatusOr<Reservation::Stamp> stamp = reservation->Take(count, now);
        if (!stamp.ok()) break;  // nothing was given, so nothing is sent
        for (uint64_t id = stamp->adu_id; id < stamp->adu_id + count; ++id) {
          ASSERT_TRUE(used.insert(id).second) << id;
        }
        ASSERT_GE(stamp->signed_time, last);
        last = stamp->signed_time;
      }
      if (random() % 4 == 0) reservation->Close().IgnoreError();
    }
    EXPECT_GT(used.size(), 1000u);
  }
}

TEST(ReservationTest, FirstAduMayOnlyLieAhead) {
  FakeStorage storage;
  auto reservation = Opened(storage);
  ASSERT_TRUE(reservation->Take(5, kStart).ok());
  absl::Status below = reservation->SkipTo(4);
  EXPECT_EQ(below.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(std::string(below.message()), HasSubstr("--first-adu 4 lies below 5"));
  EXPECT_EQ(reservation->next_id(), 5u);
  EXPECT_TRUE(reservation->SkipTo(5).ok());
  ASSERT_TRUE(reservation->SkipTo(1'000'000).ok());
  EXPECT_EQ(reservation->Take(1, kStart)->adu_id, 1'000'000u);
  reservation.reset();
  EXPECT_GT(Opened(storage)->next_id(), 1'000'000u);
}

TEST(ReservationTest, EveryFlippedBitAndEveryTruncationIsRefused) {
  FakeStorage storage;
  ASSERT_TRUE(Opened(storage)->Take(1, kStart).ok());
  Bytes file = storage.files["state"];
  ASSERT_EQ(file.size(), Reservation::kFileBytes);
  for (size_t at = 0; at < file.size(); ++at) {
    for (int bit = 0; bit < 8; ++bit) {
      storage.files["state"] = file;
      storage.files["state"][at] ^= static_cast<uint8_t>(1 << bit);
      absl::Status status = Reservation::Open(storage, "state", kOwner).status();
      ASSERT_EQ(status.code(), absl::StatusCode::kDataLoss) << at;
    }
  }
  for (size_t size = 0; size <= file.size() + 1; ++size) {
    if (size == file.size()) continue;
    storage.files["state"] = file;
    storage.files["state"].resize(size);
    EXPECT_EQ(Reservation::Open(storage, "state", kOwner).status().code(),
              absl::StatusCode::kDataLoss)
        << size;
  }
}

TEST(ReservationTest, AnotherSendersOrSessionsFileIsRefused) {
  FakeStorage storage;
  ASSERT_TRUE(Opened(storage)->Take(1, kStart).ok());
  Reservation::Owner other = kOwner;
  other.sender_id = 8;
  EXPECT_EQ(Reservation::Open(storage, "state", other).status().code(),
            absl::StatusCode::kFailedPrecondition);
  other = kOwner;
  other.session_context[0] ^= 1;
  EXPECT_EQ(Reservation::Open(storage, "state", other).status().code(),
            absl::StatusCode::kFailedPrecondition);
}

TEST(ReservationTest, ReadErrorsAreNotTakenForANewFile) {
  class Unreadable final : public Storage {
   public:
    absl::StatusOr<Bytes> Read(std::string_view) override {
      return absl::PermissionDeniedError("no");
    }
    absl::Status Replace(std::string_view, ByteView) override { return absl::OkStatus(); }
    absl::StatusOr<std::unique_ptr<AppendFile>> OpenAppend(std::string_view) override {
      return absl::UnimplementedError("");
    }
    absl::Status Remove(std::string_view) override { return absl::OkStatus(); }
  };
  Unreadable storage;
  EXPECT_EQ(Reservation::Open(storage, "state", kOwner).status().code(),
            absl::StatusCode::kPermissionDenied);
}

TEST(ReservationTest, RealFilesKeepTheIds) {
  FolderStorage storage(::testing::TempDir());
  ASSERT_TRUE(storage.Remove("real.state").ok());
  auto first = Reservation::Open(storage, "real.state", kOwner);
  ASSERT_TRUE(first.ok());
  ASSERT_TRUE((*first)->Take(42, kStart).ok());
  ASSERT_TRUE((*first)->Close().ok());
  EXPECT_EQ((*Reservation::Open(storage, "real.state", kOwner))->next_id(), 42u);
}

TEST(StateLockTest, TwoSendersCannotShareAStateFile) {
  std::string path = ::testing::TempDir() + "/locked.state";
  {
    absl::StatusOr<StateLock> first = StateLock::Acquire(path);
    ASSERT_TRUE(first.ok()) << first.status();
    absl::Status second = StateLock::Acquire(path).status();
    EXPECT_EQ(second.code(), absl::StatusCode::kFailedPrecondition);
    EXPECT_THAT(std::string(second.message()), HasSubstr(path));
  }
  EXPECT_TRUE(StateLock::Acquire(path).ok());
}

TEST(StateLockTest, AFolderThatDoesNotExistIsNamed) {
  absl::Status status = StateLock::Acquire("/nark-none/x.state").status();
  EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(std::string(status.message()), HasSubstr("/nark-none/x.state.lock"));
}

}  // namespace
}  // namespace nark::sender
