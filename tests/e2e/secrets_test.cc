// Secrets stay where they belong: whatever goes wrong, none of them is in a log, a page, a
// metric, an argument, an environment or the image of a program that died.

#include <gtest/gtest.h>
#include <signal.h>

#include <cstring>
#include <filesystem>
#include <map>
#include <memory>
#include <optional>
#include <regex>
#include <set>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "common/base/bytes.h"
#include "common/base/clock.h"
#include "common/object/file.h"
#include "common/object/sender_file.h"
#include "tests/harness/process.h"
#include "tests/harness/process_memory.h"
#include "tests/harness/secret_search.h"
#include "tests/harness/session_secrets.h"
#include "tests/harness/world.h"

namespace nark::harness {
namespace {

using Names = std::set<std::string>;

constexpr size_t kAduBytes = 8 << 10;
constexpr uint64_t kLastId = 999;  // of what is bought
constexpr char kPublic[] = "secure space id";

Names Without(Names names, const Names& others) {
  for (const std::string& other : others) names.erase(other);
  return names;
}
Names With(Names names, const Names& others) {
  names.insert(others.begin(), others.end());
  return names;
}
Words Joined(Words words, const Words& others) {
  words.insert(words.end(), others.begin(), others.end());
  return words;
}

// A broadcast with every program at work, each saying as much as it can.
class SecretsTest : public testing::Test {
 protected:
  struct Running {
    std::string name;
    Server server;
  };

  SecretsTest() {
    world_.Do("narkctl", {"provider", "deny", world_.provider(), "--out", world_.Path("deny")});
    Start("nark-keymanager",
          {"--pool", world_.pool(), "--issuer", world_.issuer() + "/issuer.pem", "--crl", crl_,
           "--deny", world_.Path("deny"), "--listen", "127.0.0.1:0", "--http", "127.0.0.1:0"});
    session_ = world_.MakeSession(
        {replica().listen}, {"--adu", "8KiB", "--price-per-adu", "0.05", "--currency", "EUR"});
    std::filesystem::create_directory(world_.Path("tokens"));
    world_.Do("nark-relay", {"token", "--name", "site", "--out", token_});
    Start("nark-relay", {"--session", session_.session, "--listen", "127.0.0.1:0", "--tokens",
                         world_.Path("tokens"), "--http", "127.0.0.1:0"});
    Start("nark-refunds",
          {"--provider", world_.provider(), "--issuer", world_.issuer() + "/issuer.pem", "--ledger",
           "sqlite:" + world_.Path("ledger"), "--listen", "127.0.0.1:0", "--https", "127.0.0.1:0",
           "--http", "127.0.0.1:0"});
    Start("nark-securespace",
          {"serve", space_.folder, "--listen", "unix:" + world_.Path("socket")});
    SecureSpaceFolder remote = space_;
    remote.folder = "unix:" + world_.Path("socket");
    Words join = world_.JoinArguments(
        session_, remote, world_.MakeVoucher(session_, space_.id, "0-999"), world_.Path("out"));
    join.insert(join.end(), {"--http", "127.0.0.1:0", "--input", RelayUri(token_)});
    Start("nark-receiver", join);
    Play();
    Start("nark-sender", {"--session", session_.sender, "--input", world_.Path("input"), "--pace",
                          "200k", "--control", "127.0.0.1:0", "--http", "127.0.0.1:0"});
    AddSecrets();
  }

  void Start(const std::string& program, Words arguments) {
    arguments.insert(arguments.end(), {"--log-level", "trace"});
    running_.push_back({program, world_.StartServer("unshare", Owned(program, arguments))});
  }
  const Server& replica() const { return running_[0].server; }
  const Server& relay() const { return running_[1].server; }
  const Server& desk() const { return running_[2].server; }
  const Server& receiver() const { return running_[4].server; }
  const Server& sender() const { return running_[5].server; }
  std::string RelayUri(const std::string& token) const {
    return "relay://" + relay().listen + "?token=" + token;
  }

  // Some of the stream, at once.
  void Play() {
    WriteAll(world_.Path("input"), RandomBytes(400 * kAduBytes, 5));
    WriteAll(world_.Path("first"), RandomBytes(20 * kAduBytes, 6));
    world_.SendAll(session_, world_.Path("first"), {"--pace", "20M", "--log-level", "trace"});
    EXPECT_TRUE(Eventually([&] { return ReadAll(world_.Path("out")).size() == 20 * kAduBytes; }));
  }

  void AddSecrets() {
    for (const auto& [folder, path] : {std::pair<std::string, std::string>{"pool", world_.pool()},
                                       {"provider", world_.provider()},
                                       {"issuer", world_.issuer()},
                                       {"space", space_.folder}}) {
      for (const auto& [file, key] : KeysIn(path)) {
        // A pool's keys are named by their ids.
        secrets_.Add(folder + "/" + std::regex_replace(file, std::regex("-[0-9a-f]{8}"), ""), key);
      }
    }
    const auto file = ReadNarkFile(session_.sender, v1::NarkFile::kSender);
    if (!file.ok()) throw std::runtime_error(file.status().ToString());
    const auto opened = OpenSenderFile(file->sender(), SystemClock().Now());
    if (!opened.ok()) throw std::runtime_error(opened.status().ToString());
    for (const auto& [name, key] : {std::pair("sender/signing key", &opened->signing_key),
                                    {"sender/TLS key", &opened->tls_key}}) {
      secrets_.Add(name, PrivatePartOf(ToText(key->ToPkcs8()->Reveal())));
    }
    const std::string token = ReadAll(token_);
    constexpr size_t kName = 9;  // behind "NARKTKN1" and the name's length
    secrets_.Add("relay/token", std::string_view(token).substr(kName + std::strlen("site"), 32));
    session_secrets_.emplace(world_.pool(), session_.session, kLastId, secrets_);
    std::string id;
    for (size_t at = 0; at < space_.id.size(); at += 2) {
      id.push_back(static_cast<char>(std::stoi(space_.id.substr(at, 2), nullptr, 16)));
    }
    secrets_.Add(kPublic, id);
  }

  // Where something else is wanted.
  void GiveSecretFilesForOthers();
  void RefuseReloads();
  void RefuseJoinsAndOrders();
  void SendGarbage();

  // Which must end with an error.
  void Refused(const std::string& program, Words arguments) {
    arguments.insert(arguments.end(), {"--log-level", "trace"});
    const Outcome outcome = world_.Try(program, arguments);
    EXPECT_NE(outcome.status, 0) << ToString({program, arguments, "", {}}) << outcome.ToString();
  }
  // Until a counter of the replica's says that it was done, or failed.
  void Reload(const std::string& counter) {
    const auto count = [&] { return MetricOf(HttpGet(replica().http, "/metrics"), counter); };
    const double before = count();
    replica().process->Signal(SIGHUP);
    EXPECT_TRUE(Eventually([&] { return count() > before; })) << counter;
  }

  World world_;
  const std::string crl_ = world_.issuer() + "/crl.pem", token_ = world_.Path("tokens/site.token");
  const SecureSpaceFolder space_ = world_.MakeSecureSpace(), idle_ = world_.MakeSecureSpace();
  SessionFiles session_;
  std::vector<Running> running_;
  SecretSearch secrets_;
  std::optional<SessionSecrets> session_secrets_;
};

// Also as a configuration, whose errors may quote a line.
void SecretsTest::GiveSecretFilesForOthers() {
  std::vector<std::string> files = {session_.sender, token_, space_.folder + "/state-key.pem",
                                    world_.provider() + "/till/key.pem"};
  for (const auto& [name, key] : KeysIn(world_.pool())) files.push_back(world_.pool() + "/" + name);
  const std::string issuer = world_.issuer() + "/issuer.pem", any = "127.0.0.1:0";
  const Words replica = {"--pool", world_.pool(), "--listen", any, "--issuer"};
  for (const std::string& file : files) {
    for (const char* program : {"narkctl", "nark-keymanager", "nark-refunds", "nark-relay",
                                "nark-securespace", "nark-receiver", "nark-sender", "nark-load"}) {
      Refused(program, {"--config", file});
    }
    Refused("narkctl", {"session", "show", file});
    Refused("narkctl", {"voucher", "show", file});
    Refused("narkctl", {"note", "show", file, "--issuer", file});
    Refused("nark-keymanager", Joined(replica, {file}));
    Refused("nark-keymanager", Joined(replica, {issuer, "--crl", file}));
    Refused("nark-keymanager", Joined(replica, {issuer, "--deny", file}));
    Refused("nark-keymanager",
            Joined(replica, {issuer, "--tls-certificate", file, "--tls-key", file}));
    Refused("nark-refunds", {"--provider", world_.provider(), "--issuer", file, "--ledger",
                             "sqlite:" + world_.Path("other"), "--listen", any});
    Refused("nark-relay", {"--session", file, "--listen", any, "--tokens", token_});
    Refused("nark-securespace", {"install", idle_.folder, "--certificate", file});
    Refused("nark-receiver", {"join", file, "--secure-space", idle_.folder, "--voucher", file});
    Refused("nark-receiver", {"refund", file, "--refunds", desk().listen});
    if (file != session_.sender) Refused("nark-sender", {"--session", file, "--input", file});
    if (file != token_) {
      Refused("nark-relay", {"--session", session_.session, "--output", NewGroup().Uri(), "--input",
                             RelayUri(file)});
    }
  }
}

void SecretsTest::RefuseReloads() {
  for (const std::string& file :
       {crl_, world_.PoolFile("signing-", ".key"), world_.PoolFile("tls-", ".key")}) {
    const std::string good = ReadAll(file);
    WriteAll(file, good.substr(0, good.size() - 60));
    Reload("nark_keymanager_reload_failures_total");
    WriteAll(file, good);
    Reload("nark_keymanager_reloads_total");
  }
}

void SecretsTest::RefuseJoinsAndOrders() {
  const std::string out = world_.Path("nowhere");
  const std::string voucher = world_.MakeVoucher(session_, idle_.id, "0-9");
  std::string bytes = ReadAll(voucher);
  bytes[bytes.size() / 2] ^= 1;
  WriteAll(world_.Path("damaged"), bytes);
  Refused("nark-receiver", world_.JoinArguments(session_, idle_, world_.Path("damaged"), out));
  world_.Do("narkctl", {"issuer", "init", world_.Path("stranger"), "--name", "Stranger"});
  const SecureSpaceFolder stranger = world_.MakeSecureSpace(world_.Path("stranger"));
  Refused("nark-receiver",
          world_.JoinArguments(session_, stranger, world_.MakeVoucher(session_, stranger.id, "0-9"),
                               out));
  const std::string wrong = world_.Path("wrong.token");
  world_.Do("nark-relay", {"token", "--name", "site", "--out", wrong});
  Refused("nark-receiver", Joined(world_.JoinArguments(session_, idle_, voucher, out),
                                  {"--input", RelayUri(wrong)}));
  world_.Do("narkctl", {"provider", "init", world_.Path("another"), "--name", "Another"});
  Refused("nark-sender", {"expel", "--control", sender().control, "--provider",
                          world_.Path("another"), "--member", idle_.id});
}

// To whoever listens: bytes that are no TLS, no HTTP, no message and no note.
void SecretsTest::SendGarbage() {
  const std::string garbage = world_.Path("garbage");
  WriteAll(garbage, RandomBytes(3000, 8));
  for (const std::string& method :
       {replica().listen + "/nark.v1.KeyManager/GetChallenge",
        replica().listen + "/nark.v1.KeyManager/IssueGrant",
        desk().listen + "/nark.v1.RefundDesk/SubmitDeliveryNote",
        sender().control + "/nark.v1.SenderControl/Expel", desk().https + "/v1/refunds"}) {
    world_.Try("/usr/bin/curl",
               {"-k", "-s", "-m", "5", "--http2", "-H", "content-type: application/grpc", "-H",
                "te: trailers", "--data-binary", "@" + garbage, "https://" + method});
    world_.Try("/usr/bin/curl", {"-s", "-m", "5", "http://" + method});
  }
}

TEST_F(SecretsTest, NothingIsToldWhateverGoesWrong) {
  GiveSecretFilesForOthers();
  RefuseReloads();
  RefuseJoinsAndOrders();
  SendGarbage();

  Names seen;
  for (const auto& log : std::filesystem::directory_iterator(world_.Path("logs"))) {
    const Names found = secrets_.FindIn(ReadAll(log.path()));
    EXPECT_EQ(Without(found, {kPublic}), Names{}) << log.path();
    seen.insert(found.begin(), found.end());
  }
  EXPECT_EQ(seen, Names{kPublic}) << "which shows that the search finds";
  for (const Running& program : running_) {
    const std::string folder = "/proc/" + std::to_string(program.server.process->pid());
    for (const char* file : {"/cmdline", "/environ"}) {
      const std::string text = ReadAll(folder + file);
      EXPECT_NE(text, "") << program.name << file;
      EXPECT_EQ(secrets_.FindIn(text), Names{}) << program.name << file;
    }
    if (program.server.http.empty()) continue;
    for (const char* page : {"/", "/metrics", "/livez", "/readyz", "/nothing"}) {
      const std::string text = HttpGet(program.server.http, page);
      EXPECT_NE(text, "no answer") << program.name << page;
      EXPECT_EQ(Without(secrets_.FindIn(text), {kPublic}), Names{}) << program.name << page;
    }
    EXPECT_TRUE(program.server.process->running()) << program.name;
  }
}

// What each program must hold is in its memory, what it need not is not; and of all that,
// nothing is in an image, not even in one that root makes.
TEST_F(SecretsTest, NobodyHoldsWhatIsAnothersAndImagesHoldNothing) {
  const Names granted = session_secrets_->granted();
  const Names pool = {"pool/hpke.pem", "pool/signing.key", "pool/tls.key"};
  const Names space = {"space/attestation-key.pem", "space/note-key.pem", "space/state-key.pem"};
  // Which may be there for a moment, or are expanded and wiped.
  const Names moment = With(granted, {"pool/challenge.key", "session seed", "sender root"});
  const std::map<std::string, std::pair<Names, Names>> holds = {
      {"nark-keymanager", {pool, moment}},
      {"nark-relay", {{}, {"relay/token"}}},
      {"nark-refunds", {{"provider/refunds/key.pem", "provider/refunds/tls-key.pem"}, {}}},
      {"nark-securespace", {With(space, granted), {}}},
      {"nark-receiver", {{}, {"relay/token"}}},
      {"nark-sender", {{"sender root", "sender/TLS key", "sender/signing key"}, granted}}};
  for (const Running& program : running_) {
    const auto& [must, may] = holds.at(program.name);
    const pid_t pid = program.server.process->pid();
    const Names found = secrets_.FindInMemory(pid, Part::kAll);
    EXPECT_EQ(Without(must, found), Names{}) << program.name << " lacks it";
    EXPECT_EQ(Without(found, With(With(must, may), {kPublic})), Names{})
        << program.name << " has no use for it";
    EXPECT_EQ(secrets_.FindInMemory(pid, Part::kInCoreImage), Names{}) << program.name;
  }
}

// The TLS key goes with the last connection that was made under it.
TEST_F(SecretsTest, KeysThatWereTakenAwayAreForgotten) {
  const Names old = {"pool/hpke.pem", "pool/challenge.key", "pool/signing.key", "pool/tls.key"};
  const Words change = {world_.pool(), "--provider", world_.provider(), "--reseal",
                        session_.session};
  world_.Do("narkctl", Joined(Joined({"pool", "rotate"}, change), {"--challenges-after", "0s"}));
  Reload("nark_keymanager_reloads_total");
  EXPECT_EQ(
      world_.Do("narkctl", Joined(Joined({"pool", "retire"}, change), {"--older-than", "1ms"})),
      "2\n");
  Reload("nark_keymanager_reloads_total");
  EXPECT_EQ(receiver().process->Stop().status, 0);
  const std::string voucher = world_.MakeVoucher(session_, idle_.id, "0-9");
  world_.StartJoin(session_, idle_, voucher, world_.Path("later"))->Stop();
  Names found;
  EXPECT_TRUE(Eventually([&] {
    found = secrets_.FindInMemory(replica().process->pid(), Part::kAll);
    return Without(old, found) == old;
  })) << testing::PrintToString(found);
}

// In a folder, without a limit on images; a sanitizer would handle a fault itself.
constexpr char kUnlimited[] =
    "cd \"$1\" && ulimit -c unlimited && shift && "
    "export ASAN_OPTIONS=\"$ASAN_OPTIONS:handle_segv=0\" && exec \"$@\"";

// A program that is killed by `signal`, though it may leave an image as large as it likes.
class KilledTest : public testing::TestWithParam<int> {
 protected:
  std::unique_ptr<Process> StartIn(const std::string& folder, const std::string& program,
                                   Words arguments, const std::string& ready_file) {
    std::filesystem::create_directory(folder);
    arguments.insert(arguments.begin(), {"-c", kUnlimited, "sh", folder, ProgramPath(program)});
    auto process = world_.Start("/bin/sh", arguments);
    EXPECT_TRUE(Eventually([&] { return std::filesystem::exists(ready_file); })) << process->err();
    return process;
  }
  // Of the process's end; an image lies in its folder where the kernel puts it there.
  static bool LeavesAnImage(Process& process, const std::string& folder) {
    process.Signal(GetParam());
    const Outcome end = process.Wait();
    EXPECT_EQ(end.status, 128 + GetParam()) << end.ToString();
    return end.left_image || !std::filesystem::is_empty(folder);
  }
  World world_;
};

TEST_P(KilledTest, LeavesNoImage) {
  const std::string control = world_.Path("control"), begun = world_.Path("begun");
  const auto ordinary =
      StartIn(control, "/bin/sh", {"-c", "touch " + begun + "; exec sleep 1000"}, begun);
  if (!LeavesAnImage(*ordinary, control)) GTEST_SKIP() << "this system makes no images at all";

  const auto killed = [&](const std::string& program, Words arguments) {
    const std::string ready = world_.NewPath("ready"), folder = world_.NewPath("killed");
    arguments.insert(arguments.end(), {"--ready-file", ready});
    const auto process = StartIn(folder, program, arguments, ready);
    EXPECT_FALSE(LeavesAnImage(*process, folder)) << program;
  };
  const std::string issuer = world_.issuer() + "/issuer.pem";
  const SecureSpaceFolder space = world_.MakeSecureSpace(), own = world_.MakeSecureSpace();
  const Server replica = world_.StartKeyManager();
  const SessionFiles session = world_.MakeSession({replica.listen}, {});
  world_.Do("nark-relay", {"token", "--name", "site", "--out", world_.Path("site.token")});
  WriteAll(world_.Path("input"), RandomBytes(10'000'000, 5));
  killed("nark-keymanager",
         {"--pool", world_.pool(), "--issuer", issuer, "--listen", "127.0.0.1:0"});
  killed("nark-refunds", {"--provider", world_.provider(), "--issuer", issuer, "--ledger",
                          "sqlite:" + world_.Path("ledger"), "--listen", "127.0.0.1:0"});
  killed("nark-relay", {"--session", session.session, "--listen", "127.0.0.1:0", "--tokens",
                        world_.Path("site.token")});
  killed("nark-securespace", {"serve", space.folder, "--listen", "unix:" + world_.Path("socket")});
  killed("nark-receiver",
         world_.JoinArguments(session, own, world_.MakeVoucher(session, own.id, "0-9"),
                              world_.Path("out")));
  killed("nark-sender",
         {"--session", session.sender, "--input", world_.Path("input"), "--pace", "1M"});
}

INSTANTIATE_TEST_SUITE_P(Signals, KilledTest, testing::Values(SIGABRT, SIGSEGV),
                         [](const auto& info) {
                           return info.param == SIGABRT ? "Abort" : "Fault";
                         });

}  // namespace
}  // namespace nark::harness
