// What stands in the memory of the real programs while a receiver plays: the host of a
// secure space in another process never holds what was granted to it.

#include <fcntl.h>
#include <gtest/gtest.h>
#include <string.h>
#include <sys/types.h>
#include <unistd.h>

#include <map>
#include <memory>
#include <optional>
#include <set>
#include <sstream>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "common/base/bytes.h"
#include "common/base/clock.h"
#include "common/crypto/secret_bytes.h"
#include "common/object/file.h"
#include "common/object/pool_folder.h"
#include "common/object/sealed_session.h"
#include "common/object/session.h"
#include "common/schedule/generator.h"
#include "common/schedule/key_schedule.h"
#include "common/wire/datagram.h"
#include "common/wire/header.h"
#include "tests/harness/capture.h"
#include "tests/harness/process.h"
#include "tests/harness/world.h"

namespace nark::harness {
namespace {

constexpr size_t kAduBytes = 16 << 10;
constexpr uint64_t kAdus = 40;
constexpr uint64_t kLastId = 999;  // of what is bought
constexpr char kSessionId[] = "session id";

// What to look for, by name.
using Canaries = std::map<std::string, std::string>;

template <typename T>
T Must(absl::StatusOr<T> value) {
  if (!value.ok()) throw std::runtime_error(value.status().ToString());
  return *std::move(value);
}

// Makes this user the owner of the program's user namespace, who may read its memory,
// though it forbids debuggers.
Words Owned(const std::string& program, const Words& arguments) {
  Words words = {"-r", ProgramPath(program)};
  words.insert(words.end(), arguments.begin(), arguments.end());
  return words;
}

// Adds the names of what stands somewhere in the memory [begin, end) of a process.
void Search(int memory, uint64_t begin, uint64_t end, const Canaries& canaries,
            std::set<std::string>& found) {
  // What is larger is nobody's heap but a sanitizer's shadow.
  constexpr uint64_t kMaxBytes = 1 << 30;
  if (end - begin > kMaxBytes) return;
  std::string bytes(end - begin, '\0');
  const ssize_t got = pread(memory, bytes.data(), bytes.size(), static_cast<off_t>(begin));
  if (got <= 0) return;  // unmapped meanwhile, or not for readers, as [vvar]
  for (const auto& [name, canary] : canaries) {
    if (memmem(bytes.data(), static_cast<size_t>(got), canary.data(), canary.size()) != nullptr) {
      found.insert(name);
    }
  }
}

// The names of those that stand in the readable memory of a process. Throws where its
// memory cannot be read.
std::set<std::string> FindIn(const Process& process, const Canaries& canaries) {
  const std::string folder = "/proc/" + std::to_string(process.pid());
  const int memory = open((folder + "/mem").c_str(), O_RDONLY | O_CLOEXEC);
  std::istringstream maps(ReadAll(folder + "/maps"));
  std::set<std::string> found;
  size_t searched = 0;
  for (std::string line; memory >= 0 && std::getline(maps, line); ++searched) {
    uint64_t begin = 0, end = 0;
    char readable = '-';
    if (std::sscanf(line.c_str(), "%lx-%lx %c", &begin, &end, &readable) != 3) continue;
    if (readable == 'r') Search(memory, begin, end, canaries, found);
  }
  if (memory >= 0) close(memory);
  if (searched == 0) throw std::runtime_error("cannot read " + folder + "/mem");
  return found;
}

// A provider's secrets of one session, as its pool knows them.
class Secrets {
 public:
  Secrets(const World& world, const SessionFiles& files) {
    const Timestamp now = SystemClock().Now();
    const PoolFolder pool = Must(LoadPoolFolder(world.pool(), now));
    const v1::NarkFile file = Must(ReadNarkFile(files.session, v1::NarkFile::kSessionDescriptor));
    session_.emplace(Must(VerifiedSession::Verify(file.session_descriptor(), now)));
    const SecretBytes seed = Must(OpenSealedSession(*session_, pool.hpke_keys));
    const v1::Terms& terms = session_->terms();
    const schedule::Parameters parameters = {terms.generator().id(), terms.generator().depth()};
    const schedule::Generator& generator = *Must(schedule::FindGenerator(parameters.id));
    const SecretBytes root = Must(
        schedule::SenderRoot(seed, session_->name(), 0, parameters, terms.senders(0).sender_id()));
    Add("session seed", seed);
    Add("sender root", root);
    std::vector<schedule::Node> cover = Must(generator.Cover(root, parameters, 0, kLastId));
    for (const schedule::Node& node : cover) {
      const std::string name = "node " + std::to_string(node.prefix);
      Add(name, node.key);
      granted_.insert(name);
    }
    source_ = Must(generator.Open(parameters, std::move(cover)));
    canaries_[kSessionId] = ToText(session_->name().session_id);
  }

  // Leaf and control key of an ADU that was sent.
  void AddKeysOf(const std::vector<Bytes>& datagrams, uint64_t adu_id) {
    for (const Bytes& datagram : datagrams) {
      const wire::ParsedDatagram parsed = wire::ParseDatagram(datagram);
      if (parsed.drop != wire::Drop::kNone || parsed.prefix.adu_id != adu_id ||
          parsed.prefix.kind != wire::DatagramKind::kHeader) {
        continue;
      }
      SecretBytes leaf(32);
      if (!source_->Leaf(adu_id, leaf).ok()) throw std::runtime_error("no leaf");
      const wire::ParsedHeader header = Must(wire::ParseSignedHeader(parsed.payload));
      Add("leaf " + std::to_string(adu_id), leaf);
      Add("control key " + std::to_string(adu_id),
          Must(schedule::ControlKey(leaf, SessionContext(session_->name(), 0), header.core)));
      return;
    }
    throw std::runtime_error("no header was captured of ADU " + std::to_string(adu_id));
  }

  const Canaries& canaries() const { return canaries_; }
  // The names of what every grant for the range holds.
  const std::set<std::string>& granted() const { return granted_; }

 private:
  void Add(const std::string& name, const SecretBytes& secret) {
    canaries_[name] = ToText(secret.Reveal());
  }
  std::optional<VerifiedSession> session_;
  std::unique_ptr<schedule::KeySource> source_;
  Canaries canaries_;
  std::set<std::string> granted_;
};

class MemoryTest : public testing::Test {
 protected:
  // A receiver that joined, by whichever secure space.
  Server Join(const SecureSpaceFolder& space, const std::string& output) {
    return world_.StartServer(
        "unshare",
        Owned("nark-receiver",
              world_.JoinArguments(session_, space, world_.MakeVoucher(session_, space.id, "0-999"),
                                   output)));
  }
  // All of `receiver`'s memory, often, until everything was sent and played.
  std::set<std::string> FindWhilePlaying(const Process& receiver, const std::string& output,
                                         const Canaries& canaries) {
    const std::string input = world_.NewPath("input");
    WriteAll(input, RandomBytes(kAdus * kAduBytes, 5));
    std::set<std::string> found = FindIn(receiver, canaries);
    auto sender = world_.Start(
        "nark-sender", {"--session", session_.sender, "--input", "file:" + input, "--pace", "4M"});
    while (sender->running()) found.merge(FindIn(receiver, canaries));
    EXPECT_EQ(sender->Wait().status, 0);
    EXPECT_TRUE(Eventually([&] { return ReadAll(output) == ReadAll(input); }));
    found.merge(FindIn(receiver, canaries));
    return found;
  }

  World world_;
  const Server replica_ = world_.StartKeyManager();
  const SessionFiles session_ = world_.MakeSession({replica_.listen}, {"--adu", "16KiB"});
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
  Secrets secrets(world_, session_);
  ASSERT_GE(secrets.granted().size(), 4u);

  Capture capture(session_.group.Uri());
  const Server receiver = Join(remote, output);
  std::set<std::string> found = FindWhilePlaying(*receiver.process, output, secrets.canaries());
  // These are known only once their headers are.
  for (uint64_t id : {uint64_t{0}, kAdus - 1}) secrets.AddKeysOf(capture.datagrams(), id);
  found.merge(FindIn(*receiver.process, secrets.canaries()));
  EXPECT_EQ(found, std::set<std::string>{kSessionId}) << "which shows that the search finds";
  // And so does this: what the host has not is where it belongs.
  EXPECT_EQ(Both(FindIn(*space.process, secrets.canaries()), secrets.granted()), secrets.granted());
  EXPECT_EQ(receiver.process->Stop().status, 0);
}

// The control: were it there, it would be found.
TEST_F(MemoryTest, AHostThatIsItsOwnSecureSpaceHoldsIt) {
  const SecureSpaceFolder folder = world_.MakeSecureSpace();
  const std::string output = world_.Path("out");
  const Secrets secrets(world_, session_);
  const Server receiver = Join(folder, output);
  const std::set<std::string> found =
      FindWhilePlaying(*receiver.process, output, secrets.canaries());
  EXPECT_EQ(Both(found, secrets.granted()), secrets.granted());
  EXPECT_TRUE(found.contains(kSessionId));
  EXPECT_FALSE(found.contains("session seed")) << "no secure space is granted more than a range";
  EXPECT_FALSE(found.contains("sender root"));
  EXPECT_EQ(receiver.process->Stop().status, 0);
}

}  // namespace
}  // namespace nark::harness
