// Key managers whose private keys lie in a token, by the real programs and SoftHSM 2.

#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <string>
#include <utility>

#include "tests/harness/process.h"
#include "tests/harness/soft_hsm.h"
#include "tests/harness/world.h"

namespace nark::harness {
namespace {

constexpr size_t kAduBytes = 16 << 10;
constexpr size_t kAdus = 6;

bool Contains(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

Words operator+(Words words, const Words& more) {
  words.insert(words.end(), more.begin(), more.end());
  return words;
}

class Pkcs11Test : public testing::Test {
 protected:
  // The pool again, its keys in a token.
  void MakePoolInToken() {
    std::filesystem::remove_all(world_.pool());
    Pool({"init", world_.pool(), "--pkcs11-token", "pool"});
  }
  // narkctl pool ..., with the token; its output.
  std::string Pool(const Words& words) {
    return world_.Do("narkctl",
                     Words{"pool"} + words + Words{"--provider", world_.provider()} + hsm_.flags());
  }
  Server Replica(const Words& more = {}) { return world_.StartKeyManager(hsm_.flags() + more); }
  SessionFiles Session(const Server& replica) {
    return world_.MakeSession({replica.listen}, Words{"--adu", "16KiB"} + hsm_.flags());
  }
  // A new viewer buys, joins and watches; how many ADUs came out.
  size_t Play(const SessionFiles& session) {
    const SecureSpaceFolder space = world_.MakeSecureSpace();
    const std::string voucher = world_.MakeVoucher(session, space.id, "0-999");
    const std::string input = world_.NewPath("input"), output = world_.NewPath("out");
    const std::string content = RandomBytes(kAdus * kAduBytes, ++seed_);
    WriteAll(input, content);
    auto join = world_.StartJoin(session, space, voucher, output);
    world_.SendAll(session, input, {"--pace", "4M"});
    (void)Eventually([&] { return ReadAll(output).size() == content.size(); },
                     std::chrono::seconds(20));
    EXPECT_EQ(join->Stop().status, 0) << join->err();
    EXPECT_EQ(ReadAll(output), content);
    return ReadAll(output).size() / kAduBytes;
  }
  // No private key but that of TLS lies in a file of the folder; how many references do.
  static int References(const std::string& folder) {
    int references = 0;
    for (const auto& entry : std::filesystem::recursive_directory_iterator(folder)) {
      const std::string name = entry.path().filename();
      const std::string content = ReadAll(entry.path());
      EXPECT_EQ(Contains(content, "KEY-----"), name.starts_with("tls-") && name.ends_with(".key"))
          << name;
      const bool reference = name.ends_with(".pkcs11");
      EXPECT_EQ(Contains(content, "pkcs11:token="), reference) << name;
      references += reference;
    }
    return references;
  }
  double Metric(const Server& replica, const std::string& name) {
    return MetricOf(HttpGet(replica.http, "/metrics"), name);
  }
  // Until a replica has taken over what was written last.
  void WaitForReload(const Server& replica, double before) {
    ASSERT_TRUE(Eventually([&] {
      return Metric(replica, "nark_keymanager_reloads_total") > before;
    })) << replica.process->err();
  }

  SoftHsm hsm_{{"pool", "other"}};
  World world_;
  uint64_t seed_ = 1;
};

TEST_F(Pkcs11Test, AJoinWorksWithNoKeyInAFile) {
  MakePoolInToken();
  EXPECT_EQ(References(world_.pool()), 3);
  const Outcome checked = world_.Try(
      "nark-keymanager", Words{"check", "--pool", world_.pool(), "--issuer",
                               world_.issuer() + "/issuer.pem", "--listen", "127.0.0.1:0"} +
                             hsm_.flags());
  EXPECT_EQ(checked.status, 0) << checked.ToString();
  const Server replica = Replica();
  const SessionFiles session = Session(replica);
  EXPECT_EQ(Play(session), kAdus);
  // The PIN is nowhere but in its file.
  const std::string command =
      ReadAll("/proc/" + std::to_string(replica.process->pid()) + "/cmdline");
  EXPECT_TRUE(Contains(command, "--pkcs11-pin-file"));
  EXPECT_FALSE(Contains(command, hsm_.pin()));
  // Logs are files there, too.
  EXPECT_TRUE(Contains(replica.process->err(), "listening on"));
  for (const auto& entry : std::filesystem::recursive_directory_iterator(world_.folder())) {
    if (!entry.is_regular_file()) continue;
    EXPECT_FALSE(Contains(ReadAll(entry.path()), hsm_.pin())) << entry.path();
  }
}

TEST_F(Pkcs11Test, KeysAreRotatedRetiredAndSwept) {
  MakePoolInToken();
  const Server replica = Replica();
  const SessionFiles session = Session(replica);
  EXPECT_EQ(Play(session), kAdus);
  double before = Metric(replica, "nark_keymanager_reloads_total");
  Pool({"rotate", world_.pool(), "--reseal", session.session, "--challenges-after", "0s"});
  EXPECT_EQ(References(world_.pool()), 5);
  WaitForReload(replica, before);
  EXPECT_EQ(Play(session), kAdus);
  before = Metric(replica, "nark_keymanager_reloads_total");
  EXPECT_EQ(Pool({"retire", world_.pool(), "--reseal", session.session, "--older-than", "0s"}),
            "2\n");
  EXPECT_EQ(References(world_.pool()), 3);
  WaitForReload(replica, before);
  // An HPKE, a challenge and a signing key.
  EXPECT_EQ(Pool({"sweep", "--folder", world_.pool(), "--pkcs11-token", "pool"}), "3\n");
  EXPECT_EQ(Pool({"sweep", "--folder", world_.pool(), "--pkcs11-token", "pool"}), "0\n");
  EXPECT_EQ(Play(session), kAdus);
  EXPECT_EQ(Metric(replica, "nark_keymanager_last_reload_success"), 1);
}

TEST_F(Pkcs11Test, AWrongPinIsOneLine) {
  MakePoolInToken();
  const std::string pin = world_.NewPath("pin");
  WriteAll(pin, "wrong\n");
  std::filesystem::permissions(pin, std::filesystem::perms(0600));
  const Words flags = {"--pkcs11-module", SoftHsm::module(), "--pkcs11-pin-file", pin};
  const Words serve = {"--pool",   world_.pool(), "--issuer", world_.issuer() + "/issuer.pem",
                       "--listen", "127.0.0.1:0"};
  const Words rotate = {"pool", "rotate", world_.pool(), "--provider", world_.provider()};
  const auto refuses = [&](const Words& more, const std::string& why) {
    for (const auto& [program, words] :
         {std::pair<std::string, Words>{"nark-keymanager", serve}, {"narkctl", rotate}}) {
      const Outcome refused = world_.Try(program, words + more);
      EXPECT_EQ(refused.status, 1) << refused.ToString();
      EXPECT_EQ(std::count(refused.err.begin(), refused.err.end(), '\n'), 1) << refused.err;
      EXPECT_TRUE(Contains(refused.err, program + ": ")) << refused.err;
      EXPECT_TRUE(Contains(refused.err, why)) << refused.err;
    }
  };
  refuses(flags, "refuses the PIN (see --pkcs11-pin-file): CKR_PIN_INCORRECT");
  refuses({"--pkcs11-module", SoftHsm::module()}, "go together");
  // A pool in files is not what was asked for.
  for (const Words& half : {Words{"--pkcs11-token", "pool"}, hsm_.flags()}) {
    const std::string folder = world_.NewPath("pool");
    const Outcome refused = world_.Try(
        "narkctl", Words{"pool", "init", folder, "--provider", world_.provider()} + half);
    EXPECT_EQ(refused.status, 1) << refused.ToString();
    EXPECT_TRUE(Contains(refused.err, "--pkcs11-token goes together")) << refused.err;
    EXPECT_FALSE(std::filesystem::exists(folder));
  }
  refuses({}, "name its module and PIN with --pkcs11-module and --pkcs11-pin-file");
  std::filesystem::permissions(pin, std::filesystem::perms(0644));
  refuses(flags, pin + ": others may open the file with the PIN; chmod 0600 it");
}

TEST_F(Pkcs11Test, ATokenThatIsGoneTakesTheReplicaOutUntilItIsBack) {
  MakePoolInToken();
  const Server replica = Replica();
  const SessionFiles session = Session(replica);
  EXPECT_EQ(HttpGet(replica.http, "/readyz").find("503"), std::string::npos);
  hsm_.Remove();
  EXPECT_TRUE(Eventually([&] { return HttpGet(replica.http, "/readyz").starts_with("503"); }));
  EXPECT_TRUE(replica.process->running());
  hsm_.PutBack();
  EXPECT_TRUE(Eventually([&] { return !HttpGet(replica.http, "/readyz").starts_with("503"); }));
  EXPECT_EQ(Play(session), kAdus);
}

// From files into tokens: the same keys, so that sessions of before go on; a replica in a
// token of its own.
TEST_F(Pkcs11Test, FilesAreImported) {
  const std::string second = world_.NewPath("pool");
  world_.Do("narkctl",
            {"pool", "replica", world_.pool(), "--provider", world_.provider(), "--out", second});
  Server replica = world_.StartKeyManager();
  const SessionFiles session = Session(replica);
  EXPECT_EQ(Play(session), kAdus);
  EXPECT_EQ(Pool({"import", world_.pool(), "--pkcs11-token", "pool"}), "3\n");
  EXPECT_EQ(Pool({"import", world_.pool(), "--pkcs11-token", "pool"}), "0\n");
  EXPECT_EQ(Pool({"import", second, "--pkcs11-token", "other"}), "3\n");
  EXPECT_EQ(References(world_.pool()), 3);
  EXPECT_EQ(References(second), 3);
  for (const auto& entry : std::filesystem::directory_iterator(second)) {
    const std::string name = entry.path().filename();
    if (!name.starts_with("signing-") || !name.ends_with(".pkcs11")) continue;
    EXPECT_TRUE(Contains(ReadAll(entry.path()), "pkcs11:token=other;")) << name;
  }
  // Brought up to date, it stays with the keys of its own token.
  Pool({"replica", world_.pool(), "--out", second, "--pkcs11-token", "other"});
  for (const auto& entry : std::filesystem::directory_iterator(second)) {
    if (entry.path().extension() != ".pkcs11") continue;
    EXPECT_TRUE(Contains(ReadAll(entry.path()), "pkcs11:token=other;")) << entry.path();
  }
  const std::string listen = replica.listen;
  EXPECT_EQ(replica.process->Stop().status, 0);
  const Words where = {"--pool",   second, "--issuer", world_.issuer() + "/issuer.pem",
                       "--listen", listen};
  replica = world_.StartServer("nark-keymanager", where + hsm_.flags());
  EXPECT_EQ(Play(session), kAdus);
}

}  // namespace
}  // namespace nark::harness
