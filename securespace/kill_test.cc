#include <gtest/gtest.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <filesystem>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "common/base/storage.h"
#include "common/object/delivery_note.h"
#include "common/object/envelope.h"
#include "securespace/testing.h"

// A process over a real folder, killed while it releases keys, again and again.
namespace nark::securespace {
namespace {

constexpr int kRounds = 30;
constexpr uint64_t kIds = 4000;
constexpr size_t kListSize = 4;

// What the child says, a message each.
struct Message {
  enum Kind : uint64_t { kAsks, kReleased, kAnswered, kDone } kind;
  uint64_t id;
};

[[noreturn]] void Die(const std::string& why) {
  (void)!write(STDERR_FILENO, why.data(), why.size());
  _exit(1);
}

void Say(int to, Message message) {
  if (write(to, &message, sizeof message) != sizeof message) Die("cannot speak");
}

// Opens the folder and asks for every key, beginning where it was told to.
[[noreturn]] void Child(TestWorld& world, const std::vector<TestAdu>& adus, uint64_t first,
                        int to) {
  absl::Status opened = world.Reopen();
  if (!opened.ok()) Die(opened.ToString());
  for (; first < kIds; first += kListSize) {
    ReleaseRequest request{world.session.name(), 0, {}};
    for (uint64_t id = first; id < first + kListSize; ++id) {
      request.headers.push_back(adus[id].header);
    }
    Say(to, {Message::kAsks, first});
    auto decisions = world.space().ReleaseKeys(request);
    if (!decisions.ok()) Die(decisions.status().ToString());
    for (uint64_t i = 0; i < kListSize; ++i) {
      if ((*decisions)[i].refusal == v1::REFUSAL_REASON_UNSPECIFIED) {
        Say(to, {Message::kReleased, first + i});
      }
    }
    Say(to, {Message::kAnswered, first});
  }
  Say(to, {Message::kDone, 0});
  _exit(0);
}

std::vector<TestAdu> MakeBatches(const TestSession& session) {
  std::vector<TestAdu> adus;
  constexpr size_t kBatch = 500;
  for (uint64_t first = 0; first < kIds; first += kBatch) {
    for (TestAdu& adu : MakeBatch(session, first, kBatch)) adus.push_back(std::move(adu));
  }
  return adus;
}

class KillTest : public testing::Test {
 protected:
  KillTest() : seed_(std::chrono::steady_clock::now().time_since_epoch().count()), random_(seed_) {
    char path[] = "/tmp/nark-kill-XXXXXX";
    folder_ = mkdtemp(path);
  }
  ~KillTest() override { std::filesystem::remove_all(folder_); }

  // One life of the child.
  void Round(TestWorld& world, const std::vector<TestAdu>& adus) {
    int pipe_ends[2];
    ASSERT_EQ(pipe(pipe_ends), 0);
    const pid_t child = fork();
    ASSERT_GE(child, 0);
    if (child == 0) {
      close(pipe_ends[0]);
      Child(world, adus, next_, pipe_ends[1]);
    }
    close(pipe_ends[1]);
    uint64_t until_kill = random_.Below(150);
    std::vector<uint64_t> asked;
    Message message{};
    while (read(pipe_ends[0], &message, sizeof message) == sizeof message) {
      if (until_kill-- == 0) {
        // At some moment of what it does next.
        std::this_thread::sleep_for(std::chrono::microseconds(random_.Below(2000)));
        ASSERT_EQ(kill(child, SIGKILL), 0);
      }
      if (message.kind == Message::kAsks) asked = {message.id};
      if (message.kind == Message::kReleased) {
        EXPECT_TRUE(released_.insert(message.id).second) << "the key of " << message.id << " twice";
      }
      if (message.kind == Message::kAnswered) {
        asked.clear();
        next_ = message.id + kListSize;
      }
      if (message.kind == Message::kDone) next_ = kIds;
    }
    close(pipe_ends[0]);
    int status = 0;
    ASSERT_EQ(waitpid(child, &status, 0), child);
    ASSERT_TRUE(WIFSIGNALED(status) || WEXITSTATUS(status) == 0) << "the child failed";
    if (WIFSIGNALED(status)) ++kills_;
    for (uint64_t first : asked) {
      for (uint64_t id = first; id < first + kListSize; ++id) in_doubt_.insert(id);
    }
    // Asked again from some way back: what was released must not be again.
    next_ -= std::min<uint64_t>(next_, kListSize * random_.Below(3));
  }

  const uint64_t seed_;
  SeededRandom random_;
  std::string folder_;
  uint64_t next_ = 0;
  int kills_ = 0;
  std::set<uint64_t> released_;
  std::set<uint64_t> in_doubt_;
};

TEST_F(KillTest, NoKeyLeavesTwiceOrUnrecorded) {
  SCOPED_TRACE(testing::Message() << "seed " << seed_);
  TestWorld world;
  FolderStorage storage(folder_);
  ASSERT_TRUE(Emulation::Initialise(world.state_key, storage, world.random).ok());
  world.UseStorage(storage);
  ASSERT_TRUE(world.Reopen().ok());
  ASSERT_TRUE(world.Join(world.Voucher(0, kIds - 1)).ok());
  std::vector<TestAdu> adus = MakeBatches(world.session);
  // The children open it; none inherits the parent's, whose state falls behind.
  for (int round = 0; round < kRounds && next_ < kIds && !HasFatalFailure(); ++round) {
    Round(world, adus);
  }
  EXPECT_GT(kills_, kRounds / 4) << "hardly any child was killed";

  ASSERT_TRUE(world.Reopen().ok());
  v1::GetDeliveryNoteRequest request;
  *request.mutable_session() = world.session.name().ToProto();
  request.set_status(v1::NOTE_STATUS_FINAL);
  auto response = world.space().GetDeliveryNote(request);
  ASSERT_TRUE(response.ok()) << response.status();
  SignerCache tills;
  auto note = VerifyNote(response->note(), world.session.session(),
                         *NoteSigner::Of(world.identity.certificate), tills, kTestTime);
  ASSERT_TRUE(note.ok()) << note.status();
  ASSERT_EQ(note->streams.size(), 1u);
  const IdSet& delivered = note->streams[0].delivered;
  for (uint64_t id : released_) EXPECT_TRUE(delivered.Contains(id)) << "lost " << id;
  uint64_t unseen = 0;
  for (uint64_t id = 0; id < kIds; ++id) {
    if (!delivered.Contains(id) || released_.contains(id)) continue;
    ++unseen;
    EXPECT_TRUE(in_doubt_.contains(id)) << id << " is billed and was never asked for";
  }
  EXPECT_LE(unseen, kListSize * static_cast<uint64_t>(kills_));
}

}  // namespace
}  // namespace nark::securespace
