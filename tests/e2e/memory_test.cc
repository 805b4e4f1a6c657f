// What stands in the memory of the real programs while a receiver plays: the host of a
// secure space in another process never holds what was granted to it.

#include <gtest/gtest.h>

#include <set>
#include <string>
#include <vector>

#include "common/base/bytes.h"
#include "tests/harness/capture.h"
#include "tests/harness/process.h"
#include "tests/harness/process_memory.h"
#include "tests/harness/secret_search.h"
#include "tests/harness/session_secrets.h"
#include "tests/harness/world.h"

namespace nark::harness {
namespace {

constexpr size_t kAduBytes = 16 << 10;
constexpr uint64_t kAdus = 40;
constexpr uint64_t kLastId = 999;  // of what is bought
constexpr char kSessionId[] = "session id";

class MemoryTest : public testing::Test {
 protected:
  MemoryTest() { search_.Add(kSessionId, secrets_.session_id()); }
  // A receiver that joined, by whichever secure space.
  Server Join(const SecureSpaceFolder& space, const std::string& output) {
    return world_.StartServer(
        "unshare",
        Owned("nark-receiver",
              world_.JoinArguments(session_, space, world_.MakeVoucher(session_, space.id, "0-999"),
                                   output)));
  }
  std::set<std::string> FindIn(const Process& process) const {
    return search_.FindInMemory(process.pid(), Part::kAll);
  }
  // All of `receiver`'s memory, often, until everything was sent and played.
  std::set<std::string> FindWhilePlaying(const Process& receiver, const std::string& output) {
    const std::string input = world_.NewPath("input");
    WriteAll(input, RandomBytes(kAdus * kAduBytes, 5));
    std::set<std::string> found = FindIn(receiver);
    auto sender = world_.Start(
        "nark-sender", {"--session", session_.sender, "--input", "file:" + input, "--pace", "4M"});
    while (sender->running()) found.merge(FindIn(receiver));
    EXPECT_EQ(sender->Wait().status, 0);
    EXPECT_TRUE(Eventually([&] { return ReadAll(output) == ReadAll(input); }));
    found.merge(FindIn(receiver));
    return found;
  }

  World world_;
  const Server replica_ = world_.StartKeyManager();
  const SessionFiles session_ = world_.MakeSession({replica_.listen}, {"--adu", "16KiB"});
  SecretSearch search_;
  SessionSecrets secrets_{world_.pool(), session_.session, kLastId, search_};
};

// What stands in `found` of `names`.
std::set<std::string> Both(const std::set<std::string>& found, const std::set<std::string>& names) {
  std::set<std::string> both;
  for (const std::string& name : names) {
    if (found.contains(name)) both.insert(name);
  }
  return both;
}

TEST_F(MemoryTest, AHostBesideItsSecureSpaceNeverHoldsWhatWasGranted) {
  const SecureSpaceFolder folder = world_.MakeSecureSpace();
  const std::string socket = world_.Path("x.socket"), output = world_.Path("out");
  const Server space = world_.StartServer(
      "unshare", Owned("nark-securespace", {"serve", folder.folder, "--listen", "unix:" + socket}));
  SecureSpaceFolder remote = folder;
  remote.folder = "unix:" + socket;
  ASSERT_GE(secrets_.granted().size(), 4u);

  Capture capture(session_.group.Uri());
  const Server receiver = Join(remote, output);
  std::set<std::string> found = FindWhilePlaying(*receiver.process, output);
  // These are known only once their headers are.
  for (uint64_t id : {uint64_t{0}, kAdus - 1}) secrets_.AddKeysOf(capture.datagrams(), id);
  found.merge(FindIn(*receiver.process));
  EXPECT_EQ(found, std::set<std::string>{kSessionId}) << "which shows that the search finds";
  // And so does this: what the host has not is where it belongs.
  EXPECT_EQ(Both(FindIn(*space.process), secrets_.granted()), secrets_.granted());
  EXPECT_EQ(receiver.process->Stop().status, 0);
}

// The control: were it there, it would be found.
TEST_F(MemoryTest, AHostThatIsItsOwnSecureSpaceHoldsIt) {
  const SecureSpaceFolder folder = world_.MakeSecureSpace();
  const std::string output = world_.Path("out");
  const Server receiver = Join(folder, output);
  const std::set<std::string> found = FindWhilePlaying(*receiver.process, output);
  EXPECT_EQ(Both(found, secrets_.granted()), secrets_.granted());
  EXPECT_TRUE(found.contains(kSessionId));
  EXPECT_FALSE(found.contains("session seed")) << "no secure space is granted more than a range";
  EXPECT_FALSE(found.contains("sender root"));
  EXPECT_EQ(receiver.process->Stop().status, 0);
}

}  // namespace
}  // namespace nark::harness
