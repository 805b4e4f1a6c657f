// Members are expelled through the stream itself: nobody else notices, a restart forgets
// nobody, and who buys again is welcome.

#include <gtest/gtest.h>

#include <filesystem>
#include <memory>
#include <string>

#include "tests/harness/process.h"
#include "tests/harness/world.h"

namespace nark::harness {
namespace {

constexpr size_t kAduBytes = 8 << 10;
constexpr size_t kAdus = 120;

class ExpelTest : public testing::Test {
 protected:
  // One viewer: a secure space, a voucher, a receiver once it plays.
  struct Viewer {
    SecureSpaceFolder space;
    std::string voucher;
    std::string output;
    std::unique_ptr<Process> join;
  };

  ExpelTest() {
    first_ = RandomBytes(kAdus * kAduBytes, 1);
    second_ = RandomBytes(kAdus * kAduBytes, 2);
    WriteAll(world_.Path("first"), first_);
    WriteAll(world_.Path("second"), second_);
  }

  void MakeSession(const Words& key_manager = {}, const Words& more = {}) {
    replica_ = world_.StartKeyManager(key_manager);
    Words options = {"--adu", "8KiB"};
    options.insert(options.end(), more.begin(), more.end());
    session_ = world_.MakeSession({replica_.listen}, options);
  }
  Viewer Sell(const Words& more = {}) {
    Viewer viewer{world_.MakeSecureSpace(), "", world_.NewPath("out"), nullptr};
    viewer.voucher = world_.MakeVoucher(session_, viewer.space.id, "0-9999", more);
    return viewer;
  }
  void Join(Viewer& viewer) {
    viewer.join = world_.StartJoin(session_, viewer.space, viewer.voucher, viewer.output);
  }
  // A sender of the first file, slow enough to be told something meanwhile.
  void StartSender(const Words& more = {}) {
    Words arguments = {"--session", session_.sender, "--input",    world_.Path("first"), "--pace",
                       "2M",        "--control",     "127.0.0.1:0"};
    arguments.insert(arguments.end(), more.begin(), more.end());
    sender_ = world_.StartServer("nark-sender", arguments);
  }
  Outcome Order(const std::string& command, const std::string& member, const Words& more = {},
                const std::string& provider = "") {
    Words arguments = {command,
                       "--control",
                       sender_.control,
                       "--provider",
                       provider.empty() ? world_.provider() : provider,
                       "--member",
                       member};
    arguments.insert(arguments.end(), more.begin(), more.end());
    return world_.Try("nark-sender", arguments);
  }
  void Expel(const std::string& member, const Words& more = {}) {
    const Outcome done = Order("expel", member, more);
    ASSERT_EQ(done.status, 0) << done.ToString();
  }
  void EndOfFirst() { EXPECT_EQ(sender_.process->Wait().status, 0); }
  void SendSecond() { world_.SendAll(session_, world_.Path("second"), {"--pace", "20M"}); }
  // By the word of its secure space.
  bool WasStopped(const Viewer& viewer) {
    const std::string note = world_.NewPath("note");
    world_.Do("nark-receiver",
              {"note", session_.session, "--secure-space", viewer.space.folder, "--out", note});
    return world_.Do("narkctl", {"note", "show", note, "--json"}).find("\"STOPPED\":") !=
           std::string::npos;
  }
  static void AwaitSome(const Viewer& viewer) {
    EXPECT_TRUE(Eventually([&] { return ReadAll(viewer.output).size() >= 4 * kAduBytes; }));
  }
  static void AwaitAll(const Viewer& viewer, const std::string& all) {
    EXPECT_TRUE(Eventually([&] { return ReadAll(viewer.output) == all; }))
        << ReadAll(viewer.output).size() << " bytes of " << all.size();
  }

  World world_;
  Server replica_, sender_;
  SessionFiles session_;
  std::string first_, second_;
};

TEST_F(ExpelTest, StopsWhoIsNamedAndNobodyElse) {
  MakeSession();
  Viewer stays = Sell(), goes = Sell(), never_came = Sell();
  Join(stays);
  Join(goes);
  StartSender();
  AwaitSome(goes);
  Expel(goes.space.id);
  Expel(never_came.space.id);
  EndOfFirst();
  AwaitAll(stays, first_);
  EXPECT_EQ(goes.join->Stop().status, 0);
  const std::string got = ReadAll(goes.output);
  EXPECT_LT(got.size(), first_.size());
  EXPECT_TRUE(first_.starts_with(got));
  EXPECT_TRUE(WasStopped(goes));

  // What was bought before stays dead, for who was there and for who was not.
  const Outcome again =
      world_.Try("nark-receiver",
                 world_.JoinArguments(session_, goes.space, goes.voucher, world_.Path("again")));
  EXPECT_EQ(again.status, 1) << again.ToString();
  EXPECT_NE(again.err.find("later voucher"), std::string::npos) << again.err;
  // A sender that was restarted remembers, and what is bought later is welcome.
  Join(never_came);
  Viewer back{goes.space, world_.MakeVoucher(session_, goes.space.id, "0-9999"),
              world_.NewPath("out"), nullptr};
  Join(back);
  SendSecond();
  AwaitAll(stays, first_ + second_);
  AwaitAll(back, second_);
  EXPECT_EQ(stays.join->Stop().status, 0);
  EXPECT_EQ(back.join->Stop().status, 0);
  EXPECT_EQ(never_came.join->Stop().status, 0);
  EXPECT_TRUE(WasStopped(never_came));
  EXPECT_EQ(ReadAll(never_came.output), "");
}

TEST_F(ExpelTest, AGroupGoesTogetherAndReadmissionTakesTheOrderOffTheAir) {
  MakeSession();
  const std::string group = "00112233445566778899aabbccddeeff";
  Viewer one = Sell({"--group", group}), two = Sell({"--group", group}),
         late = Sell({"--group", group});
  Join(one);
  Join(two);
  StartSender();
  AwaitSome(one);
  AwaitSome(two);
  const Outcome expelled = world_.Try(
      "nark-sender",
      {"expel", "--control", sender_.control, "--provider", world_.provider(), "--group", group});
  ASSERT_EQ(expelled.status, 0) << expelled.ToString();
  EXPECT_NE(expelled.out.find("1 orders on the air, all of them in every 1 ADUs"),
            std::string::npos)
      << expelled.out;
  for (const Viewer* member : {&one, &two}) {
    EXPECT_TRUE(Eventually([&] { return WasStopped(*member); }));
  }
  const Outcome readmitted = Order("readmit", group);
  EXPECT_EQ(readmitted.status, 0) << readmitted.ToString();
  EXPECT_NE(readmitted.out.find("0 orders on the air"), std::string::npos) << readmitted.out;
  const Outcome twice = Order("readmit", "ffeeddccbbaa99887766554433221100");
  EXPECT_EQ(twice.status, 2);
  EXPECT_NE(twice.err.find("ORDER_NOT_FOUND"), std::string::npos) << twice.err;
  EndOfFirst();
  // Whoever did not hear it was never expelled.
  Join(late);
  SendSecond();
  AwaitAll(late, second_);
}

TEST_F(ExpelTest, ContactSuspendsUntilAKeyManagerAgrees) {
  const std::string list = world_.Path("deny");
  const SecureSpaceFolder stranger = world_.MakeSecureSpace();
  world_.Do("narkctl",
            {"provider", "deny", world_.provider(), "--secure-space", stranger.id, "--out", list});
  MakeSession({"--deny", list});
  Viewer good = Sell(), bad = Sell();
  Join(good);
  Join(bad);
  StartSender();
  AwaitSome(good);
  AwaitSome(bad);
  world_.Do("narkctl",
            {"provider", "deny", world_.provider(), "--secure-space", bad.space.id, "--out", list});
  EXPECT_TRUE(Eventually([&] {
    return MetricOf(HttpGet(replica_.http, "/metrics"), "nark_keymanager_reloads_total") >= 1;
  }));
  Expel(good.space.id, {"--action", "contact"});
  Expel(bad.space.id, {"--action", "contact"});
  // By itself, and within the jitter.
  EXPECT_TRUE(Eventually(
      [&] { return good.join->err().find("the grant is renewed") != std::string::npos; }));
  EXPECT_TRUE(Eventually([&] {
    return bad.join->err().find("is not renewed yet") != std::string::npos;
  })) << bad.join->err();
  EXPECT_NE(bad.join->err().find("SECURE_SPACE_DENIED"), std::string::npos) << bad.join->err();
  EndOfFirst();
  SendSecond();
  EXPECT_TRUE(Eventually([&] { return ReadAll(good.output).ends_with(second_); }));
  EXPECT_EQ(bad.join->Stop().status, 0);
  EXPECT_TRUE(first_.starts_with(ReadAll(bad.output)));
  EXPECT_EQ(good.join->Stop().status, 0);
}

// In file mode nobody notices that an older copy was put back; the next block that names
// its owner does.
TEST_F(ExpelTest, AnOlderCopyOfTheFolderIsStoppedAgain) {
  MakeSession();
  Viewer goes = Sell();
  Join(goes);
  EXPECT_EQ(goes.join->Stop().status, 0);
  const std::string copy = world_.Path("copy");
  std::filesystem::copy(goes.space.folder, copy, std::filesystem::copy_options::recursive);
  Join(goes);
  StartSender();
  AwaitSome(goes);
  Expel(goes.space.id);
  EndOfFirst();
  EXPECT_EQ(goes.join->Stop().status, 0);
  std::filesystem::remove_all(goes.space.folder);
  std::filesystem::rename(copy, goes.space.folder);
  goes.output = world_.NewPath("out");
  Join(goes);
  SendSecond();
  EXPECT_EQ(goes.join->Stop().status, 0);
  EXPECT_TRUE(WasStopped(goes));
  // One target is named by every ADU.
  EXPECT_EQ(ReadAll(goes.output), "");
}

TEST_F(ExpelTest, OneOrderGoesToSeveralSendersAndSaysWhoDidNotTakeIt) {
  MakeSession();
  Viewer viewer = Sell();
  Join(viewer);
  StartSender();
  AwaitSome(viewer);
  const std::string nobody = "127.0.0.1:" + std::to_string(FreePort());
  const Outcome partly = Order("expel", viewer.space.id, {"--control", nobody, "--timeout", "2s"});
  EXPECT_EQ(partly.status, 2) << partly.ToString();
  EXPECT_NE(partly.out.find("ordered to stop from about ADU "), std::string::npos) << partly.out;
  EXPECT_NE(partly.err.find("1 of 2 senders did not take the order: sender " + nobody),
            std::string::npos)
      << partly.err;
  EndOfFirst();
  EXPECT_EQ(viewer.join->Stop().status, 0);
  EXPECT_TRUE(WasStopped(viewer));
}

TEST_F(ExpelTest, OnlyTheControlRoleExpelsAndOnlyWhereTheSenderMay) {
  MakeSession({}, {"--sender-may-control", "no"});
  Viewer viewer = Sell();
  Join(viewer);
  StartSender();
  const Outcome powerless = Order("expel", viewer.space.id);
  EXPECT_EQ(powerless.status, 2) << powerless.ToString();
  EXPECT_NE(powerless.err.find("SENDER_MAY_NOT_CONTROL"), std::string::npos) << powerless.err;
  // Another provider: its TLS authority is not this sender's.
  world_.Do("narkctl", {"provider", "init", world_.Path("other")});
  EXPECT_EQ(Order("expel", viewer.space.id, {"--timeout", "2s"}, world_.Path("other")).status, 2);
  // Another role's key in the place of the control role's.
  const std::string thief = world_.Path("thief");
  std::filesystem::copy(world_.provider(), thief, std::filesystem::copy_options::recursive);
  for (const char* file : {"certificate.pem", "key.pem"}) {
    std::filesystem::copy(thief + "/till/" + file, thief + "/control/" + file,
                          std::filesystem::copy_options::overwrite_existing);
  }
  const Outcome till = Order("expel", viewer.space.id, {}, thief);
  EXPECT_EQ(till.status, 1) << till.ToString();
  const Outcome short_id = Order("expel", "0011");
  EXPECT_EQ(short_id.status, 1);
  EXPECT_NE(short_id.err.find("--member"), std::string::npos) << short_id.err;
  EndOfFirst();
  AwaitAll(viewer, first_);
}

}  // namespace
}  // namespace nark::harness
