// Files that are missing, damaged, of the wrong kind or of somebody else: one line
// that names the file, exit status 1, and nothing is lost.

#include <gtest/gtest.h>
#include <sys/stat.h>

#include <algorithm>
#include <chrono>
#include <filesystem>
#include <functional>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "tests/harness/process.h"
#include "tests/harness/world.h"

namespace nark::harness {
namespace {

namespace fs = std::filesystem;

// What may happen to a file.
struct Damage {
  std::string name;
  std::function<void(const std::string& path, const std::string& content)> apply;
};

std::vector<Damage> Damages(size_t bytes, uint64_t seed, int flips) {
  std::vector<Damage> damages = {
      {"missing", [](const std::string& path, const std::string&) { fs::remove(path); }},
      {"empty", [](const std::string& path, const std::string&) { WriteAll(path, ""); }},
      {"a folder",
       [](const std::string& path, const std::string&) {
         fs::remove(path);
         fs::create_directory(path);
       }},
      {"one byte short",
       [](const std::string& path, const std::string& content) {
         WriteAll(path, content.substr(0, content.size() - 1));
       }},
      {"half",
       [](const std::string& path, const std::string& content) {
         WriteAll(path, content.substr(0, content.size() / 2));
       }},
      {"one byte longer",
       [](const std::string& path, const std::string& content) { WriteAll(path, content + '\0'); }},
      {"something else",
       [](const std::string& path, const std::string& content) {
         WriteAll(path, RandomBytes(content.size(), 3));
       }},
  };
  std::mt19937_64 random(seed);
  for (int i = 0; i < flips; ++i) {
    const size_t bit = random() % (bytes * 8);
    damages.push_back({"bit " + std::to_string(bit) + " flipped",
                       [bit](const std::string& path, const std::string& content) {
                         std::string changed = content;
                         changed[bit / 8] = static_cast<char>(changed[bit / 8] ^ (1 << (bit % 8)));
                         WriteAll(path, changed);
                       }});
  }
  return damages;
}

class BadFilesTest : public testing::Test {
 protected:
  static void SetUpTestSuite() {
    world_ = new World;
    session_ = new SessionFiles(world_->MakeSession({"127.0.0.1:1"}, {"--adu", "1000"}));
    space_ = new SecureSpaceFolder(world_->MakeSecureSpace());
    voucher_ = new std::string(world_->MakeVoucher(*session_, space_->id, "0-9"));
    WriteAll(world_->Path("input"), RandomBytes(3000, 1));
  }
  static void TearDownTestSuite() {
    delete voucher_;
    delete space_;
    delete session_;
    delete world_;
  }

  static Outcome Quietly(const std::string& program, const Words& arguments) {
    return Execute({program, arguments, "", {"NARK_LOG_LEVEL=off"}}, world_->Path("logs"));
  }

  static void ExpectOneLine(const Outcome& outcome, const Words& words) {
    EXPECT_EQ(outcome.status, 1) << outcome.ToString();
    EXPECT_EQ(std::count(outcome.err.begin(), outcome.err.end(), '\n'), 1) << outcome.ToString();
    for (const std::string& word : words) {
      EXPECT_NE(outcome.err.find(word), std::string::npos) << outcome.ToString();
    }
  }

  // Runs the program for each damage to the file; then repairs it.
  static void ExpectEveryDamageRefused(const std::string& path, int flips,
                                       const std::string& program, const Words& arguments) {
    const std::string content = ReadAll(path);
    const auto permissions = fs::status(path).permissions();
    const uint64_t seed = std::random_device()();
    for (const Damage& damage : Damages(content.size(), seed, flips)) {
      SCOPED_TRACE(path + " is " + damage.name + " (seed " + std::to_string(seed) + ")");
      damage.apply(path, content);
      ExpectOneLine(Quietly(program, arguments), {fs::path(path).filename()});
      fs::remove_all(path);
      WriteAll(path, content);
      fs::permissions(path, permissions);
    }
  }

  static Words Join() {
    return world_->JoinArguments(*session_, *space_, *voucher_, world_->Path("out"));
  }
  static Words Send() {
    return {"--session", session_->sender, "--input", "file:" + world_->Path("input")};
  }
  static Words Serve() {
    return {"--pool",   world_->pool(), "--issuer", world_->issuer() + "/issuer.pem",
            "--listen", "127.0.0.1:0"};
  }

  static World* world_;
  static SessionFiles* session_;
  static SecureSpaceFolder* space_;
  static std::string* voucher_;
};
World* BadFilesTest::world_;
SessionFiles* BadFilesTest::session_;
SecureSpaceFolder* BadFilesTest::space_;
std::string* BadFilesTest::voucher_;

TEST_F(BadFilesTest, SessionDescriptor) {
  ExpectEveryDamageRefused(session_->session, 24, "nark-receiver", Join());
}

TEST_F(BadFilesTest, Voucher) { ExpectEveryDamageRefused(*voucher_, 24, "nark-receiver", Join()); }

TEST_F(BadFilesTest, SenderFile) {
  ExpectEveryDamageRefused(session_->sender, 24, "nark-sender", Send());
}

TEST_F(BadFilesTest, EveryFileOfAPool) {
  std::vector<std::string> files;
  for (const auto& entry : fs::directory_iterator(world_->pool())) {
    files.push_back(entry.path());
  }
  ASSERT_GE(files.size(), 6u);
  for (const std::string& path : files) {
    ExpectEveryDamageRefused(path, 5, "nark-keymanager", Serve());
  }
}

TEST_F(BadFilesTest, IssuerCertificateOfAKeyManager) {
  // PEM has bits without meaning (line ends), so only what must be noticed.
  const std::string path = world_->issuer() + "/issuer.pem", content = ReadAll(path);
  for (const std::string& bad :
       {std::string(), content.substr(0, content.size() / 2), RandomBytes(500, 1)}) {
    WriteAll(path, bad);
    ExpectOneLine(Quietly("nark-keymanager", Serve()), {"issuer.pem"});
  }
  WriteAll(path, content);
}

TEST_F(BadFilesTest, FilesOfASecureSpace) {
  const std::string good = space_->folder;
  std::vector<std::string> files;
  for (const auto& entry : fs::directory_iterator(good)) {
    if (entry.is_regular_file() && entry.path().filename() != "lock" &&
        entry.path().filename() != "request.pem") {
      files.push_back(entry.path().filename());
    }
  }
  ASSERT_GE(files.size(), 4u);
  for (const std::string& name : files) {
    const std::string content = ReadAll(good + "/" + name);
    for (const Damage& damage : Damages(content.size(), 1, 0)) {
      // A line end more or less changes no PEM; a torn end of a journal is a crash's.
      if (damage.name == "one byte longer" || damage.name == "one byte short") continue;
      if (name == "certificate.pem" && damage.name == "missing") continue;
      SCOPED_TRACE(name + " is " + damage.name);
      damage.apply(good + "/" + name, content);
      Words join = Join();
      ExpectOneLine(Quietly("nark-receiver", join), {name});
      fs::remove_all(good + "/" + name);
      WriteAll(good + "/" + name, content);
      fs::permissions(good + "/" + name, fs::perms::owner_read | fs::perms::owner_write);
    }
  }
}

TEST_F(BadFilesTest, SenderState) {
  // Never silently begun anew: ids would be used twice.
  const SessionFiles session = world_->MakeSession({"127.0.0.1:1"}, {"--adu", "1000"});
  const Words send = {"--session", session.sender,       "--input", "file:" + world_->Path("input"),
                      "--state",   world_->Path("state")};
  ASSERT_EQ(Quietly("nark-sender", send).status, 0);
  const std::string content = ReadAll(world_->Path("state"));
  ASSERT_FALSE(content.empty());
  for (const Damage& damage : Damages(content.size(), std::random_device()(), 16)) {
    if (damage.name == "missing") continue;
    SCOPED_TRACE("the state is " + damage.name);
    damage.apply(world_->Path("state"), content);
    ExpectOneLine(Quietly("nark-sender", send), {world_->Path("state")});
    fs::remove_all(world_->Path("state"));
    WriteAll(world_->Path("state"), content);
  }
  EXPECT_EQ(Quietly("nark-sender", send).status, 0);
  // The state of another session is not this one's.
  const SessionFiles other = world_->MakeSession({"127.0.0.1:1"}, {"--adu", "1000"});
  ExpectOneLine(
      Quietly("nark-sender", {"--session", other.sender, "--input", "file:" + world_->Path("input"),
                              "--state", world_->Path("state")}),
      {world_->Path("state")});
}

TEST_F(BadFilesTest, FilesOfTheWrongKind) {
  ExpectOneLine(Quietly("nark-receiver", {"join", *voucher_, "--secure-space", space_->folder,
                                          "--voucher", *voucher_}),
                {*voucher_, "voucher"});
  ExpectOneLine(Quietly("nark-receiver", {"join", session_->session, "--secure-space",
                                          space_->folder, "--voucher", session_->session}),
                {session_->session, "session"});
  ExpectOneLine(Quietly("nark-receiver", {"join", session_->sender, "--secure-space",
                                          space_->folder, "--voucher", *voucher_}),
                {session_->sender, "sender"});
  ExpectOneLine(Quietly("nark-sender", {"--session", session_->session, "--input",
                                        "file:" + world_->Path("input")}),
                {session_->session, "session"});
  ExpectOneLine(
      Quietly("nark-keymanager", {"--pool", space_->folder, "--issuer",
                                  world_->issuer() + "/issuer.pem", "--listen", "127.0.0.1:0"}),
      {space_->folder});
  ExpectOneLine(Quietly("narkctl", {"voucher", "show", session_->session}), {session_->session});
  ExpectOneLine(Quietly("narkctl", {"session", "show", *voucher_}), {*voucher_});
  ExpectOneLine(Quietly("nark-securespace", {"install", space_->folder, "--certificate",
                                             world_->issuer() + "/issuer.pem"}),
                {"issuer.pem"});
  // Another secure space's certificate.
  const SecureSpaceFolder other = world_->MakeSecureSpace();
  ExpectOneLine(
      Quietly("nark-securespace", {"install", space_->folder, "--certificate", other.certificate}),
      {other.certificate});
}

TEST_F(BadFilesTest, WhatIsThereIsNotOverwritten) {
  ExpectOneLine(Quietly("narkctl", {"issuer", "init", world_->issuer()}), {world_->issuer()});
  ExpectOneLine(Quietly("narkctl", {"provider", "init", world_->provider()}), {world_->provider()});
  ExpectOneLine(
      Quietly("narkctl", {"pool", "init", world_->pool(), "--provider", world_->provider()}),
      {world_->pool()});
  ExpectOneLine(Quietly("nark-securespace", {"init", space_->folder}), {space_->folder});
}

TEST_F(BadFilesTest, SecretsAreTheOwnersOnly) {
  Words secrets = {session_->sender};
  for (const std::string& folder :
       {world_->provider(), world_->issuer(), world_->pool(), space_->folder}) {
    for (const auto& entry : fs::recursive_directory_iterator(folder)) {
      const std::string name = entry.path().filename();
      if (name.find("key") != std::string::npos) secrets.push_back(entry.path());
    }
  }
  EXPECT_GE(secrets.size(), 12u);
  for (const std::string& path : secrets) {
    struct stat status {};
    ASSERT_EQ(stat(path.c_str(), &status), 0);
    EXPECT_EQ(status.st_mode & 0077, 0u) << path;
  }
}

TEST_F(BadFilesTest, AllIsStillWell) {
  // After everything above: the same files, repaired, still serve.
  const Server replica = world_->StartKeyManager();
  auto join = world_->StartJoin(*session_, *space_, *voucher_, world_->Path("out"),
                                {"--key-manager", replica.listen});
  const Outcome sent = Quietly("nark-sender", Send());
  EXPECT_EQ(sent.status, 0) << sent.ToString();
  EXPECT_TRUE(Eventually([&] { return ReadAll(world_->Path("out")).size() == 3000; }));
  EXPECT_EQ(join->Stop().status, 0);
  EXPECT_TRUE(ReadAll(world_->Path("out")) == ReadAll(world_->Path("input")));
}

}  // namespace
}  // namespace nark::harness
