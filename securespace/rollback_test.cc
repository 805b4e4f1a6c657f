#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "common/base/storage.h"
#include "common/crypto/hash.h"
#include "securespace/fake_file_system.h"
#include "securespace/fake_rollback_counter.h"
#include "securespace/testing.h"

// A host that keeps copies of the folder and puts them back.
namespace nark::securespace {
namespace {

constexpr char kFolder[] = "/space";
constexpr v1::RefusalReason kReleased = v1::REFUSAL_REASON_UNSPECIFIED;

class RollbackTest : public testing::Test {
 protected:
  RollbackTest() { world_.UseStorage(storage_); }

  void Begin(RollbackCounter* counter) {
    files_ = FakeFileSystem();
    counter_.Reset();
    world_.UseCounter(counter);
    ASSERT_TRUE(Emulation::Initialise(world_.state_key, storage_, world_.random, counter).ok());
    ASSERT_TRUE(world_.Reopen().ok());
    ASSERT_TRUE(world_.Join(world_.Voucher(0, 99)).ok());
  }
  void Begin() { Begin(&counter_); }

  absl::Status Restore(const FakeFileSystem& copy) {
    files_ = copy;
    return world_.Reopen();
  }
  std::string SessionFile() const {
    const SessionName& name = world_.session.name();
    const Digest hash = LabelledHash("nark session file v1", {name.provider, name.session_id});
    return "session-" + ToHex(ByteView(hash).first(16));
  }
  // One file as `copy` has it, the rest as it is.
  absl::Status RestoreOne(const FakeFileSystem& copy, const std::string& file) {
    FakeFileSystem old = copy;
    const absl::StatusOr<Bytes> content = FolderStorage(kFolder, old).Read(file);
    if (!content.ok()) return content.status();
    EXPECT_TRUE(storage_.Replace(file, *content).ok());
    return world_.Reopen();
  }

  FakeFileSystem files_;
  FolderStorage storage_{kFolder, files_};
  FakeRollbackCounter counter_{1, &files_};
  TestWorld world_;
};

TEST_F(RollbackTest, AnOldCopyIsRefusedAndTheNewestOpensAgain) {
  Begin();
  std::vector<FakeFileSystem> copies = {files_};
  for (uint64_t id = 0; id < 5; ++id) {
    ASSERT_EQ(world_.Reason(id), kReleased);
    copies.push_back(files_);
  }
  const FakeFileSystem newest = copies.back();
  copies.pop_back();
  for (const FakeFileSystem& copy : copies) {
    const absl::Status refused = Restore(copy);
    EXPECT_TRUE(absl::IsFailedPrecondition(refused)) << refused;
    EXPECT_TRUE(absl::StrContains(refused.message(), "old copy")) << refused;
  }
  ASSERT_TRUE(Restore(newest).ok());
  EXPECT_EQ(world_.Reason(4), v1::REFUSAL_REASON_RELEASED);
  EXPECT_EQ(world_.Reason(5), kReleased);
}

// What file mode is documented not to notice; nothing else does in its place.
TEST_F(RollbackTest, WithoutACounterAnOldCopyIsNotTold) {
  Begin(nullptr);
  const FakeFileSystem old = files_;
  ASSERT_EQ(world_.Reason(1), kReleased);
  ASSERT_TRUE(Restore(old).ok());
  EXPECT_EQ(world_.Reason(1), kReleased);
}

TEST_F(RollbackTest, CountsOncePerListAndNotForRefusals) {
  Begin();
  const uint64_t before = counter_.value();
  std::vector<TestAdu> adus = MakeBatch(world_.session, 10, 64);
  ReleaseRequest request{world_.session.name(), 0, {}};
  for (const TestAdu& adu : adus) request.headers.push_back(adu.header);
  ASSERT_TRUE(world_.space().ReleaseKeys(request).ok());
  EXPECT_EQ(counter_.value(), before + 1);
  EXPECT_EQ(world_.space().GetIdentity()->tpm_counter(), before + 1);
}

TEST_F(RollbackTest, OneOldFileAmongNewOnesIsRefused) {
  Begin();
  ASSERT_EQ(world_.Reason(1), kReleased);
  const FakeFileSystem old = files_;
  ASSERT_EQ(world_.Reason(2), kReleased);
  // The list of sessions is the newest file from here on.
  ASSERT_TRUE(world_.Reopen().ok());
  const FakeFileSystem newest = files_;
  const absl::Status refused = RestoreOne(old, SessionFile());
  EXPECT_TRUE(absl::IsDataLoss(refused)) << refused;
  ASSERT_TRUE(Restore(newest).ok());
  ASSERT_EQ(world_.Reason(3), kReleased);
  EXPECT_TRUE(absl::IsDataLoss(RestoreOne(old, "sessions")));
}

TEST_F(RollbackTest, AnotherCounterOrNoneIsRefused) {
  Begin();
  FakeRollbackCounter other(2);
  for (uint64_t i = 0; i < counter_.value(); ++i) ASSERT_TRUE(other.Increment().ok());
  world_.UseCounter(&other);
  absl::Status refused = world_.Reopen();
  EXPECT_TRUE(absl::IsFailedPrecondition(refused)) << refused;
  EXPECT_TRUE(absl::StrContains(refused.message(), "another TPM counter")) << refused;
  world_.UseCounter(nullptr);
  refused = world_.Reopen();
  EXPECT_TRUE(absl::IsFailedPrecondition(refused)) << refused;
  EXPECT_TRUE(absl::StrContains(refused.message(), "is missing")) << refused;
  world_.UseCounter(&counter_);
  EXPECT_TRUE(world_.Reopen().ok());
}

TEST_F(RollbackTest, ACounterIsNotAddedLater) {
  Begin(nullptr);
  world_.UseCounter(&counter_);
  const absl::Status refused = world_.Reopen();
  EXPECT_TRUE(absl::IsFailedPrecondition(refused)) << refused;
  EXPECT_TRUE(absl::StrContains(refused.message(), "without a TPM counter")) << refused;
}

TEST_F(RollbackTest, ACounterThatIsBehindIsRefused) {
  Begin();
  counter_.Reset();
  const absl::Status refused = world_.Reopen();
  EXPECT_TRUE(absl::IsFailedPrecondition(refused)) << refused;
  EXPECT_TRUE(absl::StrContains(refused.message(), "ahead of its counter")) << refused;
}

TEST_F(RollbackTest, WithoutItsCounterNoKeyLeavesAndNothingIsDamaged) {
  Begin();
  ASSERT_EQ(world_.Reason(1), kReleased);
  counter_.SetAway(true);
  const absl::Status refused = world_.Release(MakeAdu(world_.session, 2)).status();
  EXPECT_TRUE(absl::IsUnavailable(refused)) << refused;
  EXPECT_TRUE(absl::StrContains(refused.message(), "does not answer")) << refused;
  EXPECT_TRUE(world_.space().GetIdentity().ok());
  EXPECT_TRUE(absl::IsUnavailable(world_.Reopen()));
  counter_.SetAway(false);
  ASSERT_TRUE(world_.Reopen().ok());
  EXPECT_EQ(world_.Reason(1), v1::REFUSAL_REASON_RELEASED);
  // Recorded and unanswered: in doubt, as after a crash.
  EXPECT_EQ(world_.Reason(2), v1::REFUSAL_REASON_RELEASED);
  EXPECT_EQ(world_.Reason(3), kReleased);
}

TEST_F(RollbackTest, AProcessThatCountsOnACopyStopsBoth) {
  Begin();
  ASSERT_TRUE(counter_.Increment().ok());
  const absl::Status refused = world_.Release(MakeAdu(world_.session, 2)).status();
  EXPECT_TRUE(absl::IsUnavailable(refused)) << refused;
  EXPECT_TRUE(absl::StrContains(refused.message(), "another process counts")) << refused;
}

// Records that were written and never counted, in a release and in an opening, kept
// aside, and put back after another record took their turn.
TEST_F(RollbackTest, ARecordThatWasNeverCountedDoesNotFitLater) {
  bool reached = true;
  size_t tried = 0;
  for (uint64_t at = 0; reached; ++at) {
    bool reached_again = true;
    for (uint64_t again = 0; reached_again; ++again) {
      SCOPED_TRACE(testing::Message() << "crashes at operations " << at << " and " << again);
      Begin();
      ASSERT_EQ(world_.Reason(1), kReleased);
      const FakeFileSystem whole = files_;
      files_.CrashAt(files_.operations() + at);
      (void)world_.Release(MakeAdu(world_.session, 2));
      reached = files_.crashed();
      files_.Restart();
      std::vector<FakeFileSystem> kept = {files_};

      files_ = whole;
      files_.CrashAt(files_.operations() + again);
      (void)world_.Reopen();
      reached_again = files_.crashed();
      files_.Restart();
      kept.push_back(files_);

      // The crash may have fallen behind the counting: then this is an old copy itself.
      if (!Restore(whole).ok()) continue;
      ASSERT_EQ(world_.Reason(3), kReleased);
      ++tried;
      for (const FakeFileSystem& copy : kept) EXPECT_FALSE(Restore(copy).ok());
    }
  }
  EXPECT_GT(tried, 10u);
}

}  // namespace
}  // namespace nark::securespace
