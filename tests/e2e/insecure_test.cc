// Sessions with an insecure cipher or generator: asked for by who sells, and again by who
// plays.

#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <string>

#include "tests/harness/process.h"
#include "tests/harness/world.h"

namespace nark::harness {
namespace {

const Words kInsecure = {"--adu",        "32KiB",       "--cipher",
                         "des-cbc",      "--generator", "logistic-map",
                         "--timeliness", "none",        "--allow-unbounded-grants"};

class InsecureTest : public testing::Test {
 protected:
  Outcome Create(Words flags) {
    flags.insert(flags.begin(), {"session", "create", "--provider", world_.provider(), "--pool",
                                 world_.pool(), "--transport", "udp://239.255.1.1:5004", "--out",
                                 world_.Path("x.nark"), "--sender-out", world_.Path("x.sender")});
    return world_.Try("narkctl", flags);
  }
  // 1: told by the program itself; 2: the secure space refused.
  static void ExpectOneLine(const Outcome& outcome, int status, const std::string& word) {
    EXPECT_EQ(outcome.status, status) << outcome.ToString();
    EXPECT_EQ(outcome.out, "");
    EXPECT_EQ(std::count(outcome.err.begin(), outcome.err.end(), '\n'), 1) << outcome.ToString();
    EXPECT_NE(outcome.err.find(word), std::string::npos) << outcome.ToString();
    EXPECT_NE(outcome.err.find("--allow-insecure"), std::string::npos) << outcome.ToString();
  }
  // Plays what was sent into a file.
  Outcome Play(const std::string& output, const Words& more) {
    Words arguments = world_.JoinArguments(session_, space_, voucher_, output);
    arguments.insert(arguments.end(), {"--input", "file:" + world_.Path("air")});
    arguments.insert(arguments.end(), more.begin(), more.end());
    return Execute({"nark-receiver", arguments, "", {"NARK_LOG_LEVEL=off"}}, world_.Path("logs"));
  }
  void Sell() {
    replica_ = world_.StartKeyManager();
    Words flags = kInsecure;
    flags.push_back("--allow-insecure");
    session_ = world_.MakeSession({replica_.listen}, flags);
    space_ = world_.MakeSecureSpace();
    voucher_ = world_.MakeVoucher(session_, space_.id, "0-999");
    WriteAll(world_.Path("input"), input_);
    world_.SendAll(session_, world_.Path("input"), {"--output", "file:" + world_.Path("air")});
  }

  World world_;
  Server replica_;
  SessionFiles session_;
  SecureSpaceFolder space_;
  std::string voucher_;
  const std::string input_ = RandomBytes(4 * (32 << 10) + 77, 5);
};

TEST_F(InsecureTest, SessionsAreNotMadeUnlessAskedFor) {
  ExpectOneLine(Create({"--cipher", "des-cbc"}), 1, "des-cbc");
  ExpectOneLine(Create({"--generator", "logistic-map", "--allow-unbounded-grants"}), 1,
                "logistic-map");
  EXPECT_FALSE(std::filesystem::exists(world_.Path("x.nark")));
  const Outcome made = Create({"--cipher", "des-cbc", "--allow-insecure"});
  EXPECT_EQ(made.status, 0) << made.ToString();
}

TEST_F(InsecureTest, AreNotPlayedUnlessAskedForAgain) {
  Sell();
  const std::string output = world_.Path("out");
  ExpectOneLine(Play(output, {}), 2, "des-cbc");
  const std::string shown = world_.Do("nark-securespace", {"show", space_.folder, "--json"});
  EXPECT_NE(shown.find("\"grants\":[]"), std::string::npos) << shown;

  const Outcome played = Play(output, {"--allow-insecure"});
  EXPECT_EQ(played.status, 0) << played.ToString();
  EXPECT_TRUE(ReadAll(output) == input_);
  ExpectOneLine(Play(output, {}), 2, "INSECURE_SESSION");
  const Outcome note = world_.Try("nark-receiver", {"note", session_.session, "--secure-space",
                                                    space_.folder, "--out", world_.Path("note")});
  EXPECT_EQ(note.status, 0) << note.ToString();
}

// The word of who opens the folder counts, not of who calls.
TEST_F(InsecureTest, AProcessOfItsOwnDecidesForItself) {
  Sell();
  const std::string folder = space_.folder, output = world_.Path("out");
  space_.folder = "unix:" + world_.Path("card.socket");
  {
    const Server card =
        world_.StartServer("nark-securespace", {"serve", folder, "--listen", space_.folder});
    ExpectOneLine(Play(output, {"--allow-insecure"}), 2, "des-cbc");
    EXPECT_EQ(card.process->Stop().status, 0);
  }
  const Server card = world_.StartServer(
      "nark-securespace", {"serve", folder, "--listen", space_.folder, "--allow-insecure"});
  const Outcome played = Play(output, {});
  EXPECT_EQ(played.status, 0) << played.ToString();
  EXPECT_TRUE(ReadAll(output) == input_);
}

}  // namespace
}  // namespace nark::harness
