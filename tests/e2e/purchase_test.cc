// What was bought and what was delivered, by the word of the secure space: counts,
// amendment while playing, lateness, keys that never leave, and the notes about it.

#include <gtest/gtest.h>

#include <chrono>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <thread>

#include "tests/harness/capture.h"
#include "tests/harness/process.h"
#include "tests/harness/world.h"

namespace nark::harness {
namespace {

using Json = nlohmann::json;

constexpr size_t kAduBytes = 8 << 10;
const Words kAdus = {"--adu", "8KiB"};

class PurchaseTest : public testing::Test {
 protected:
  std::string Input(uint64_t adus, uint64_t seed = 1) {
    const std::string path = world_.NewPath("input");
    WriteAll(path, RandomBytes(adus * kAduBytes, seed));
    return path;
  }
  static std::string Adus(const std::string& path, uint64_t first, uint64_t last) {
    return ReadAll(path).substr(first * kAduBytes, (last - first + 1) * kAduBytes);
  }
  bool Arrives(const std::string& path, const std::string& content) {
    return Eventually([&] { return ReadAll(path) == content; }, std::chrono::seconds(20));
  }
  Outcome TakeNote(const SessionFiles& session, const SecureSpaceFolder& space,
                   const std::string& out, const Words& more = {}) {
    Words arguments = {"note", session.session, "--secure-space", space.folder, "--out", out};
    arguments.insert(arguments.end(), more.begin(), more.end());
    return world_.Try("nark-receiver", arguments);
  }
  Json Note(const SessionFiles& session, const SecureSpaceFolder& space, const Words& more = {}) {
    return Json::parse(world_.Note(session, space, more));
  }

  World world_;
};

TEST_F(PurchaseTest, ACountIsSpentAndThenAmendedWhilePlaying) {
  const Server replica = world_.StartKeyManager();
  const SessionFiles session = world_.MakeSession({replica.listen}, kAdus);
  const SecureSpaceFolder space = world_.MakeSecureSpace();
  const std::string three = world_.MakeVoucher(session, space.id, "0-99", {"--count", "3"});
  const std::string range = world_.MakeVoucher(session, space.id, "8-11");
  const std::string first = Input(8, 1), second = Input(8, 2), output = world_.Path("out");

  auto join = world_.StartJoin(session, space, three, output);
  world_.SendAll(session, first, {"--pace", "20M"});
  ASSERT_TRUE(Arrives(output, Adus(first, 0, 2)));

  const Words amend = {"amend",      session.session, "--secure-space",
                       space.folder, "--voucher",     range};
  EXPECT_EQ(world_.Do("nark-receiver", amend), "installed\n");
  world_.SendAll(session, second, {"--pace", "20M"});
  EXPECT_TRUE(Arrives(output, Adus(first, 0, 2) + Adus(second, 0, 3)));
  EXPECT_EQ(world_.Do("nark-receiver", amend), "installed already\n");

  const Json interim = Note(session, space);
  EXPECT_EQ(interim["status"], "INTERIM");
  EXPECT_EQ(interim["bought"], 7) << interim;
  EXPECT_EQ(interim["delivered"], 7) << interim;
  EXPECT_EQ(interim["missing"], 0) << interim;
  EXPECT_EQ(interim["refused"]["COUNT"], 9) << interim;
  EXPECT_EQ(interim["senders"][0]["delivered_ranges"], Json({{0, 2}, {8, 11}})) << interim;
  EXPECT_EQ(join->Stop().status, 0);
}

TEST_F(PurchaseTest, AFinalNoteClosesTheSessionAndStaysTheSame) {
  const Server replica = world_.StartKeyManager();
  const SessionFiles session = world_.MakeSession({replica.listen}, kAdus);
  const SecureSpaceFolder space = world_.MakeSecureSpace();
  const std::string voucher = world_.MakeVoucher(session, space.id, "0-9");
  const std::string later = world_.MakeVoucher(session, space.id, "10-19");
  const std::string input = Input(4), output = world_.Path("out");
  auto join = world_.StartJoin(session, space, voucher, output);
  world_.SendAll(session, input, {"--pace", "20M"});
  ASSERT_TRUE(Arrives(output, ReadAll(input)));
  ASSERT_EQ(join->Stop().status, 0);

  const Json final_note = Note(session, space, {"--final"});
  EXPECT_EQ(final_note["status"], "FINAL");
  EXPECT_EQ(final_note["delivered"], 4);
  EXPECT_EQ(final_note["missing"], 6);
  const std::string one = world_.Path("one"), two = world_.Path("two");
  ASSERT_EQ(TakeNote(session, space, one, {"--final"}).status, 0);
  ASSERT_EQ(TakeNote(session, space, two, {"--final"}).status, 0);
  EXPECT_TRUE(ReadAll(one) == ReadAll(two));

  const Outcome interim = TakeNote(session, space, world_.Path("three"));
  EXPECT_EQ(interim.status, 2) << interim.ToString();
  EXPECT_NE(interim.err.find("SESSION_CLOSED"), std::string::npos) << interim.ToString();
  const Outcome again = world_.Try(
      "nark-receiver", world_.JoinArguments(session, space, voucher, world_.Path("again")));
  EXPECT_EQ(again.status, 1) << again.ToString();
  EXPECT_NE(again.err.find("closed by its final delivery note"), std::string::npos)
      << again.ToString();
  const Outcome amended = world_.Try("nark-receiver", {"amend", session.session, "--secure-space",
                                                       space.folder, "--voucher", later});
  EXPECT_NE(amended.status, 0) << amended.ToString();
  EXPECT_NE(amended.err.find("SESSION_CLOSED"), std::string::npos) << amended.ToString();
}

// A slice of the stream is held back by more than the receiver waits.
TEST_F(PurchaseTest, ExactlyTheLateAdusAreNotDelivered) {
  const Server replica = world_.StartKeyManager();
  const SessionFiles session = world_.MakeSession({replica.listen}, kAdus);
  const SecureSpaceFolder space = world_.MakeSecureSpace();
  const std::string voucher = world_.MakeVoucher(session, space.id, "0-59");
  const std::string input = Input(60), output = world_.Path("out");
  const Group behind = NewGroup();
  const Server relay =
      world_.StartServer("bad-network", {"--from", session.group.Uri(), "--to", behind.Uri(),
                                         "--seed", "1", "--slice", "20-29", "--slice-delay", "4s"});
  Capture after(behind.Uri());
  auto join = world_.StartJoin(session, space, voucher, output,
                               {"--input", behind.Uri(), "--playout-delay", "500ms", "--statistics",
                                world_.Path("statistics")});
  // 8 KiB in 16 ms: the slice comes when everything else has long been played.
  world_.SendAll(session, input, {"--pace", "4M"});
  const std::string expected = Adus(input, 0, 19) + Adus(input, 30, 59);
  EXPECT_TRUE(Arrives(output, expected));
  ASSERT_TRUE(Eventually([&] { return after.HighestAdu() == 59u; }));
  const uint64_t sent = static_cast<uint64_t>(Json::parse(relay.process->Stop().out)["sent"]);
  ASSERT_TRUE(Eventually([&] { return after.size() >= sent; }));
  const Outcome end = join->Stop();
  EXPECT_EQ(end.status, 0) << end.ToString();
  EXPECT_TRUE(ReadAll(output) == expected) << end.ToString();
  const Json note = Note(session, space, {"--final"});
  EXPECT_EQ(note["delivered"], 50) << note;
  EXPECT_EQ(note["missing"], 10) << note;
  EXPECT_EQ(note["senders"][0]["delivered_ranges"], Json({{0, 19}, {30, 59}})) << note;
  // They did come, and no key was asked for them.
  const Json statistics = Json::parse(ReadAll(world_.Path("statistics")));
  EXPECT_GE(statistics["datagrams"]["dropped"]["behind"], 60) << statistics;
  EXPECT_TRUE(note["refused"].empty()) << note;
}

TEST_F(PurchaseTest, OnTheCardPlaintextComesAndNoKey) {
  const Server replica = world_.StartKeyManager();
  const SessionFiles session =
      world_.MakeSession({replica.listen}, {"--adu", "8KiB", "--release", "plaintext"});
  const SecureSpaceFolder space = world_.MakeSecureSpace();
  const std::string voucher = world_.MakeVoucher(session, space.id, "0-9");
  const std::string input = Input(12), output = world_.Path("out");
  auto join = world_.StartJoin(session, space, voucher, output);
  world_.SendAll(session, input, {"--pace", "20M"});
  EXPECT_TRUE(Arrives(output, Adus(input, 0, 9)));
  EXPECT_TRUE(Eventually([&] { return Note(session, space)["refused"]["RANGE"] == 2; }));
  EXPECT_EQ(join->Stop().status, 0);
  const Json note = Note(session, space);
  EXPECT_EQ(note["delivered"], 10) << note;
  // Refusals alone write nothing; a clean end does.
  EXPECT_EQ(note["refused"]["RANGE"], 2) << note;
}

TEST_F(PurchaseTest, EachReceiptTypeSaysTheSame) {
  const Server replica = world_.StartKeyManager();
  for (const std::string type : {"ordered", "bitmap", "tree"}) {
    const SessionFiles session =
        world_.MakeSession({replica.listen}, {"--adu", "8KiB", "--receipts", type});
    const SecureSpaceFolder space = world_.MakeSecureSpace();
    const std::string voucher = world_.MakeVoucher(session, space.id, "3-8");
    const std::string input = Input(12), output = world_.NewPath("out");
    auto join = world_.StartJoin(session, space, voucher, output);
    world_.SendAll(session, input, {"--pace", "20M"});
    EXPECT_TRUE(Arrives(output, Adus(input, 3, 8))) << type;
    EXPECT_EQ(join->Stop().status, 0);
    const Json note = Note(session, space, {"--final"});
    EXPECT_EQ(note["senders"][0]["delivered_ranges"], Json({{3, 8}})) << type << note;
    EXPECT_EQ(note["missing"], 0) << type << note;
  }
}

TEST_F(PurchaseTest, ALapsedLeaseIsRenewedByItself) {
  const Server replica = world_.StartKeyManager();
  const SessionFiles session = world_.MakeSession({replica.listen}, kAdus);
  const SecureSpaceFolder space = world_.MakeSecureSpace();
  const std::string voucher = world_.MakeVoucher(session, space.id, "0-9999", {"--lease", "1s"});
  auto join = world_.StartJoin(session, space, voucher, world_.Path("out"));
  std::string sent = Input(2, 1);
  world_.SendAll(session, sent, {"--pace", "20M"});
  ASSERT_TRUE(Arrives(world_.Path("out"), ReadAll(sent)));
  // Silence for longer than the lease; then the first ADUs are refused, and once a
  // newer grant is there the rest is not.
  std::this_thread::sleep_for(std::chrono::milliseconds(1500));
  const size_t before = ReadAll(world_.Path("out")).size();
  EXPECT_TRUE(Eventually([&] {
    world_.SendAll(session, Input(1, 2), {"--pace", "20M"});
    return join->err().find("the grant is renewed") != std::string::npos &&
           ReadAll(world_.Path("out")).size() > before;
  })) << join->err();
  EXPECT_EQ(join->Stop().status, 0);
  EXPECT_GE(Note(session, space)["refused"]["LEASE"], 1);
}

TEST_F(PurchaseTest, WhatWasNeverGrantedIsNamedByTheFinalNote) {
  // No key manager at all: the provider sold, and never served.
  const SessionFiles session = world_.MakeSession({"127.0.0.1:1"}, kAdus);
  const SecureSpaceFolder space = world_.MakeSecureSpace();
  const std::string voucher = world_.MakeVoucher(session, space.id, "0-9");
  const Json note = Note(session, space, {"--final", "--voucher", voucher});
  EXPECT_EQ(note["status"], "FINAL");
  EXPECT_EQ(note["bought"], 10) << note;
  EXPECT_EQ(note["delivered"], 0) << note;
  EXPECT_EQ(note["vouchers_not_granted"], 1) << note;
  // The tombstone: the key manager comes back, and it is too late.
  const Server replica = world_.StartKeyManager();
  Words late = world_.JoinArguments(session, space, voucher, world_.Path("out"));
  late.insert(late.end(), {"--key-manager", replica.listen});
  const Outcome joined = world_.Try("nark-receiver", late);
  EXPECT_NE(joined.status, 0) << joined.ToString();
  EXPECT_NE(joined.err.find("closed"), std::string::npos) << joined.ToString();

  const Outcome interim = TakeNote(session, space, world_.Path("n"), {"--voucher", voucher});
  EXPECT_EQ(interim.status, 1) << interim.ToString();
  EXPECT_NE(interim.err.find("--final"), std::string::npos) << interim.ToString();
}

}  // namespace
}  // namespace nark::harness
