#include <gtest/gtest.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include <algorithm>
#include <filesystem>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/base/sanitized.h"
#include "common/base/status.h"
#include "common/base/storage.h"
#include "common/object/delivery_note.h"
#include "common/object/envelope.h"
#include "common/object/provider.h"
#include "securespace/fake_file_system.h"
#include "securespace/fake_rollback_counter.h"
#include "securespace/testing.h"

// A whole life of a secure space, in which power fails, or the disk does, at every
// operation of the file system, with every fate of what was not synced that the seeds
// draw: no key leaves twice, and what left is in the note.
namespace nark::securespace {
namespace {

constexpr uint64_t kIds = 16;
constexpr uint64_t kCount = 5;  // of the ids from kIds / 2
constexpr char kFolder[] = "/space";

// What the host saw, and what it found wrong.
struct Host {
  bool initialised = false;
  std::map<uint64_t, int> keys;             // how often each id's key came
  std::vector<std::set<uint64_t>> unknown;  // each list that was never answered
  std::vector<v1::DeliveryNote> interim;
  std::string final_note;  // the first that was seen
  uint64_t crashes = 0;
  std::vector<std::string> wrong;
  // Of the folder: after some answers, and after each crash.
  std::vector<FakeFileSystem> copies;
};

enum class Mode { kFile, kCounter };

class Life {
 public:
  explicit Life(size_t list_size, Mode mode = Mode::kFile) : list_size_(list_size), mode_(mode) {
    for (uint64_t id = 0; id < kIds; ++id) adus_.push_back(MakeAdu(world_.session, id));
    VoucherOptions count;
    count.secure_space_id = world_.identity.id;
    count.policy.mutable_range()->set_last(kIds - 1);
    count.policy.set_count(kCount);
    range_voucher_ = world_.Voucher(0, kIds / 2 - 1);
    count_voucher_ = world_.provider.MakeVoucher(world_.session, count);
    unserved_voucher_ = world_.Voucher(0, kIds);
    world_.UseStorage(storage_);
    world_.UseCounter(counter());
  }

  void BeginAnew(uint64_t seed) {
    files_ = FakeFileSystem(seed);
    counter_.Reset();
  }
  FakeFileSystem& files() { return files_; }

  // From wherever it stands to the final note, or to the first error, which it returns.
  absl::Status Run(Host& host) {
    RETURN_IF_ERROR(Open(host));
    const size_t grants = static_cast<size_t>(world_.space().GetIdentity()->grants_size());
    if (!host.final_note.empty()) return Finish(host);
    if (grants == 0) RETURN_IF_ERROR(world_.Join(range_voucher_).status());
    for (uint64_t first = 0; first < kIds; first += list_size_) {
      if (first >= kIds / 2 && world_.space().GetIdentity()->grants_size() < 2) {
        RETURN_IF_ERROR(Interim(host));
        RETURN_IF_ERROR(world_.Join(count_voucher_).status());
      }
      RETURN_IF_ERROR(Ask(first, host));
      RETURN_IF_ERROR(Ask(first, host));
    }
    return Finish(host);
  }

  // Of a life that ended: which of its copies would be taken for the newest, once it
  // was opened again.
  std::vector<size_t> Taken(const Host& host) {
    std::vector<size_t> taken;
    EXPECT_TRUE(world_.Reopen().ok());
    for (size_t i = 0; i < host.copies.size(); ++i) {
      files_ = host.copies[i];
      if (world_.Reopen().ok()) taken.push_back(i);
    }
    return taken;
  }

  // Of a life that ended, what is wrong with it.
  std::vector<std::string> Wrong(Host& host) {
    absl::StatusOr<VerifiedNote> note = Verified(host);
    if (!note.ok()) {
      host.wrong.push_back(absl::StrCat("the final note: ", note.status().ToString()));
      return host.wrong;
    }
    IdSet delivered;
    for (const NotedStream& stream : note->streams) delivered = stream.delivered;
    size_t in_doubt = 0;
    for (uint64_t id = 0; id < kIds; ++id) {
      const int times = host.keys.contains(id) ? host.keys.at(id) : 0;
      const bool unknown =
          std::any_of(host.unknown.begin(), host.unknown.end(),
                      [&](const std::set<uint64_t>& list) { return list.contains(id); });
      if (times > 1) host.wrong.push_back(absl::StrCat("ADU ", id, ": its key left twice"));
      if (times > 0 && !delivered.Contains(id)) {
        host.wrong.push_back(absl::StrCat("ADU ", id, ": its key left without a record"));
      }
      if (times == 0 && delivered.Contains(id)) {
        ++in_doubt;
        if (!unknown) host.wrong.push_back(absl::StrCat("ADU ", id, ": billed, never asked for"));
      }
    }
    if (in_doubt > host.crashes * list_size_) {
      host.wrong.push_back(absl::StrCat(in_doubt, " ADUs in doubt after ", host.crashes,
                                        " crashes in lists of ", list_size_));
    }
    CheckAccounts(*note, delivered, host);
    return host.wrong;
  }

 private:
  absl::Status Open(Host& host) {
    absl::Status opened = world_.Reopen();
    if (absl::IsNotFound(opened) && !host.initialised) {
      RETURN_IF_ERROR(Emulation::Initialise(world_.state_key, storage_, world_.random, counter()));
      host.initialised = true;
      opened = world_.Reopen();
    }
    if (!opened.ok() && !files_.crashed()) {
      host.wrong.push_back(absl::StrCat("does not open: ", opened.ToString()));
    }
    if (opened.ok()) host.initialised = true;
    return opened;
  }

  absl::Status Ask(uint64_t first, Host& host) {
    ReleaseRequest request{world_.session.name(), 0, {}};
    std::set<uint64_t> ids;
    for (uint64_t id = first; id < std::min(first + list_size_, kIds); ++id) {
      request.headers.push_back(adus_[id].header);
      ids.insert(id);
    }
    absl::StatusOr<std::vector<KeyDecision>> decisions = world_.space().ReleaseKeys(request);
    if (!decisions.ok()) {
      host.unknown.push_back(std::move(ids));
      return decisions.status();
    }
    for (uint64_t id : ids) {
      const KeyDecision& decision = (*decisions)[id - first];
      if (decision.refusal != v1::REFUSAL_REASON_UNSPECIFIED) continue;
      if (!(decision.data_key == adus_[id].data_key)) host.wrong.push_back("a wrong key");
      ++host.keys[id];
    }
    if (first % 6 == 0) host.copies.push_back(files_);
    return absl::OkStatus();
  }

  absl::Status Interim(Host& host) {
    ASSIGN_OR_RETURN(v1::DeliveryNote note, world_.Note());
    host.interim.push_back(std::move(note));
    return absl::OkStatus();
  }

  absl::Status Finish(Host& host) {
    v1::GetDeliveryNoteRequest request;
    *request.mutable_session() = world_.session.name().ToProto();
    request.set_status(v1::NOTE_STATUS_FINAL);
    *request.mutable_session_descriptor() = world_.session.descriptor();
    *request.add_vouchers() = unserved_voucher_;
    ASSIGN_OR_RETURN(v1::GetDeliveryNoteResponse response, world_.space().GetDeliveryNote(request));
    const std::string note = Serialise(response.note());
    if (host.final_note.empty()) host.final_note = note;
    if (host.final_note != note) host.wrong.push_back("there are two final notes");
    return absl::OkStatus();
  }

  absl::StatusOr<VerifiedNote> Verified(const Host& host) {
    v1::SignedEnvelope note;
    RETURN_IF_ERROR(ParseStrictly(AsBytes(host.final_note), "the note", note));
    ASSIGN_OR_RETURN(NoteSigner signer, NoteSigner::Of(world_.identity.certificate));
    SignerCache tills;
    return VerifyNote(note, world_.session.session(), signer, tills, kTestTime);
  }

  // Counts agree with receipts, and what an earlier note said holds.
  void CheckAccounts(const VerifiedNote& note, const IdSet& delivered, Host& host) {
    if (note.vouchers.size() != 3 || note.vouchers.back().granted) {
      host.wrong.push_back("the final note names other vouchers");
      return;
    }
    const auto count = AccountOf(note.vouchers[1], note);
    const uint64_t expected = delivered.CountIn(kIds / 2, kIds - 1);
    if (!count.ok() || count->delivered != expected || expected > kCount) {
      host.wrong.push_back("the count is not what was released of it");
    }
    for (const v1::DeliveryNote& interim : host.interim) {
      if (interim.counter() >= note.note.counter()) host.wrong.push_back("the counter went back");
    }
  }

  RollbackCounter* counter() { return mode_ == Mode::kCounter ? &counter_ : nullptr; }

  const size_t list_size_;
  const Mode mode_;
  FakeFileSystem files_;
  FakeRollbackCounter counter_{1, &files_};
  FolderStorage storage_{kFolder, files_};
  TestWorld world_;
  std::vector<TestAdu> adus_;
  v1::SignedEnvelope range_voucher_;
  v1::SignedEnvelope count_voucher_;
  v1::SignedEnvelope unserved_voucher_;
};

// A life with a crash at `crash`, and another soon after. Whether it got that far.
bool RunWithCrashes(Life& life, uint64_t crash, Host& host) {
  bool reached = false;
  for (uint64_t at : {crash, crash % 9}) {
    life.files().CrashAt(at);
    (void)life.Run(host);
    if (life.files().crashed()) ++host.crashes;
    reached = reached || (at == crash && life.files().crashed());
    life.files().Restart();
    if (host.initialised) host.copies.push_back(life.files());
  }
  absl::Status status = life.Run(host);
  if (!status.ok()) host.wrong.push_back(absl::StrCat("in peace: ", status.ToString()));
  return reached;
}

constexpr uint64_t kStride = kSanitized ? 5 : 1;

class CrashTest : public testing::TestWithParam<std::tuple<Mode, size_t, uint64_t>> {};

TEST_P(CrashTest, NoKeyLeavesTwiceOrUnrecorded) {
  const auto [mode, list_size, seed] = GetParam();
  Life life(list_size, mode);
  bool reached = true;
  uint64_t crash = seed % kStride;
  for (; reached; crash += kStride) {
    life.BeginAnew(1000 * seed + crash);
    Host host;
    reached = RunWithCrashes(life, crash, host);
    ASSERT_EQ(life.Wrong(host), std::vector<std::string>())
        << "seed " << seed << ", crash at operation " << crash;
    // Without a counter it only shows that the copies are whole; now and then is enough.
    if (mode == Mode::kFile && crash / kStride % 16 != 0) continue;
    const std::vector<size_t> taken = life.Taken(host);
    if (mode == Mode::kCounter) {
      ASSERT_EQ(taken, std::vector<size_t>()) << "seed " << seed << ", crash at " << crash;
    } else {
      ASSERT_EQ(taken.size(), host.copies.size()) << "the harness's copies are whole";
    }
  }
  EXPECT_GT(crash, 40u) << "a life has more operations than that";
}

INSTANTIATE_TEST_SUITE_P(Lists, CrashTest,
                         testing::Combine(testing::Values(Mode::kFile, Mode::kCounter),
                                          testing::Values<size_t>(1, 3),
                                          testing::Range<uint64_t>(0, 3)));

// The harness is worth something: where syncing does nothing, it finds out.
class LyingDiskTest : public testing::TestWithParam<FakeFileSystem::Lie> {};

TEST_P(LyingDiskTest, IsFoundOut) {
  Life life(1);
  bool found = false, reached = true;
  for (uint64_t crash = 0; reached && !found; ++crash) {
    life.BeginAnew(crash);
    life.files().LieAbout(GetParam());
    Host host;
    reached = RunWithCrashes(life, crash, host);
    found = !life.Wrong(host).empty();
  }
  EXPECT_TRUE(found);
}

INSTANTIATE_TEST_SUITE_P(Lies, LyingDiskTest,
                         testing::Values(FakeFileSystem::Lie::kSync,
                                         FakeFileSystem::Lie::kSyncFolder));

// A disk that is full, read-only or breaks: an error that says where and why, no key
// after it, nothing damaged, and all as before once the disk is well and the secure
// space is opened again.
class TroubleTest : public testing::TestWithParam<std::tuple<FakeFileSystem::Trouble, size_t>> {};

TEST_P(TroubleTest, CostsNothingButAReopening) {
  const auto [trouble, list_size] = GetParam();
  Life life(list_size);
  bool reached = true;
  for (uint64_t at = 0; reached; at += kStride) {
    SCOPED_TRACE(testing::Message() << "trouble at operation " << at);
    life.BeginAnew(at);
    life.files().TroubleAt(at, trouble);
    Host host;
    absl::Status status = life.Run(host);
    reached = life.files().operations() > at;
    if (!status.ok()) {
      // What is in doubt after an error is in doubt as after a crash.
      ++host.crashes;
      EXPECT_NE(status.message().find(kFolder), absl::string_view::npos) << status;
      life.files().Heal();
      status = life.Run(host);
    }
    ASSERT_TRUE(status.ok()) << status;
    ASSERT_EQ(life.Wrong(host), std::vector<std::string>());
  }
}

INSTANTIATE_TEST_SUITE_P(Troubles, TroubleTest,
                         testing::Combine(testing::Values(FakeFileSystem::Trouble::kFull,
                                                          FakeFileSystem::Trouble::kReadOnly,
                                                          FakeFileSystem::Trouble::kBrokenOnce),
                                          testing::Values<size_t>(1, 3)));

// Until it is reopened nothing but the identity is told, even if the disk is well again.
TEST(DiskTest, AfterAnErrorNothingIsReleasedBeforeAReopening) {
  FakeFileSystem files;
  FolderStorage storage(kFolder, files);
  TestWorld world;
  ASSERT_TRUE(Emulation::Initialise(world.state_key, storage, world.random).ok());
  world.UseStorage(storage);
  ASSERT_TRUE(world.Reopen().ok());
  ASSERT_TRUE(world.Join(world.Voucher(0, 9)).ok());
  files.TroubleAt(files.operations(), FakeFileSystem::Trouble::kReadOnly);
  absl::Status refused = world.Release(MakeAdu(world.session, 1)).status();
  EXPECT_TRUE(absl::IsUnavailable(refused)) << refused;
  EXPECT_NE(refused.message().find("Read-only file system"), absl::string_view::npos) << refused;
  files.Heal();
  EXPECT_TRUE(absl::IsUnavailable(world.Release(MakeAdu(world.session, 2)).status()));
  EXPECT_TRUE(absl::IsUnavailable(world.Note().status()));
  EXPECT_TRUE(world.space().GetIdentity().ok());
  ASSERT_TRUE(world.Reopen().ok());
  EXPECT_EQ(world.Reason(2), v1::REFUSAL_REASON_UNSPECIFIED);
}

// The kernel's own refusal, on a real folder.
TEST(DiskTest, ARealFileThatMayNotGrowLetsNoKeyOut) {
  const std::string folder = testing::TempDir() + "/nark-full";
  std::filesystem::remove_all(folder);
  ASSERT_EQ(mkdir(folder.c_str(), 0700), 0);
  FolderStorage storage(folder);
  TestWorld world;
  ASSERT_TRUE(Emulation::Initialise(world.state_key, storage, world.random).ok());
  world.UseStorage(storage);
  ASSERT_TRUE(world.Reopen().ok());
  ASSERT_TRUE(world.Join(world.Voucher(0, 99)).ok());
  ASSERT_EQ(world.Reason(1), v1::REFUSAL_REASON_UNSPECIFIED);
  uintmax_t largest = 0;
  for (const auto& entry : std::filesystem::directory_iterator(folder)) {
    largest = std::max(largest, entry.file_size());
  }

  signal(SIGXFSZ, SIG_IGN);
  rlimit before{};
  ASSERT_EQ(getrlimit(RLIMIT_FSIZE, &before), 0);
  // In the middle of the next record.
  rlimit full{.rlim_cur = largest + 20, .rlim_max = before.rlim_max};
  ASSERT_EQ(setrlimit(RLIMIT_FSIZE, &full), 0);
  absl::StatusOr<KeyDecision> decision = world.Release(MakeAdu(world.session, 2));
  ASSERT_EQ(setrlimit(RLIMIT_FSIZE, &before), 0);

  EXPECT_TRUE(absl::IsUnavailable(decision.status())) << decision.status();
  EXPECT_NE(decision.status().message().find(folder), absl::string_view::npos);
  ASSERT_TRUE(world.Reopen().ok());
  EXPECT_EQ(world.Reason(1), v1::REFUSAL_REASON_RELEASED);
  EXPECT_EQ(world.Reason(2), v1::REFUSAL_REASON_UNSPECIFIED);
  std::filesystem::remove_all(folder);
}

}  // namespace
}  // namespace nark::securespace
