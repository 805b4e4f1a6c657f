// The refund desk as a program: what did not arrive is paid once, whoever asks and
// how often.

#include <gtest/gtest.h>

#include <chrono>
#include <filesystem>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>

#include "tests/harness/process.h"
#include "tests/harness/world.h"

namespace nark::harness {
namespace {

using Json = nlohmann::json;
namespace fs = std::filesystem;

constexpr size_t kAduBytes = 8 << 10;

class RefundsTest : public testing::Test {
 protected:
  RefundsTest() {
    replica_ = world_.StartKeyManager();
    desk_ = StartDesk();
    session_ =
        world_.MakeSession({replica_.listen}, {"--adu", "8KiB", "--price-per-adu", "0.05",
                                               "--currency", "EUR", "--refunds", desk_.listen});
    space_ = world_.MakeSecureSpace();
  }

  Server StartDesk(const std::string& listen = "127.0.0.1:0") {
    return world_.StartServer(
        "nark-refunds",
        {"--provider", world_.provider(), "--issuer", world_.issuer() + "/issuer.pem", "--ledger",
         "sqlite:" + world_.Path("ledger.db"), "--listen", listen, "--http", "127.0.0.1:0"});
  }
  // Watches the first `adus` of what `range` bought.
  std::string Watch(const std::string& range, uint64_t adus) {
    const std::string voucher = world_.MakeVoucher(session_, space_.id, range);
    const std::string input = world_.NewPath("input"), output = world_.NewPath("out");
    WriteAll(input, RandomBytes(adus * kAduBytes, adus));
    auto join = world_.StartJoin(session_, space_, voucher, output);
    world_.SendAll(session_, input, {"--pace", "20M"});
    EXPECT_TRUE(Eventually([&] { return ReadAll(output) == ReadAll(input); }));
    EXPECT_EQ(join->Stop().status, 0);
    return voucher;
  }
  std::string Note(const Words& more = {"--final"}) {
    const std::string path = world_.NewPath("note");
    Words arguments = {"note", session_.session, "--secure-space", space_.folder, "--out", path};
    arguments.insert(arguments.end(), more.begin(), more.end());
    world_.Do("nark-receiver", arguments);
    return path;
  }
  Outcome Refund(const std::string& note, const Words& more = {}) {
    Words arguments = {"refund", note, "--json"};
    arguments.insert(arguments.end(), more.begin(), more.end());
    return world_.Try("nark-receiver", arguments);
  }

  World world_;
  Server replica_, desk_;
  SessionFiles session_;
  SecureSpaceFolder space_;
};

TEST_F(RefundsTest, PaysWhatDidNotArriveOnce) {
  Watch("0-9", 6);
  const std::string note = Note();
  const Outcome first = Refund(note, {"--out", world_.Path("one")});
  ASSERT_EQ(first.status, 0) << first.ToString();
  const Json paid = Json::parse(first.out);
  EXPECT_EQ(paid["status"], "paid");
  EXPECT_EQ(paid["owed"], 4);
  EXPECT_EQ(paid["amount_minor"], 20);
  EXPECT_EQ(paid["currency"], "EUR");
  EXPECT_NE(paid["ledger_id"], "");

  // Again, and again at a desk that died without a word in between.
  ASSERT_EQ(Refund(note, {"--out", world_.Path("two")}).status, 0);
  EXPECT_TRUE(ReadAll(world_.Path("one")) == ReadAll(world_.Path("two")));
  const std::string listen = desk_.listen;
  desk_.process->Kill();
  const Outcome gone = Refund(note, {"--timeout", "2s"});
  EXPECT_EQ(gone.status, 2) << gone.ToString();
  desk_ = StartDesk(listen);
  ASSERT_EQ(Refund(note, {"--out", world_.Path("three")}).status, 0);
  EXPECT_TRUE(ReadAll(world_.Path("one")) == ReadAll(world_.Path("three")));
  EXPECT_EQ(
      MetricOf(HttpGet(desk_.http, "/metrics"), "nark_refunds_receipts_total", "status=\"paid\""),
      1);
}

TEST_F(RefundsTest, RefusesAnInterimNoteByName) {
  Watch("0-9", 2);
  const Outcome refused = Refund(Note({}));
  EXPECT_EQ(refused.status, 2) << refused.ToString();
  EXPECT_EQ(Json::parse(refused.out)["status"], "refused");
  EXPECT_EQ(Json::parse(refused.out)["reason"], "NOTE_NOT_FINAL");
  EXPECT_NE(refused.err.find("NOTE_NOT_FINAL"), std::string::npos) << refused.err;
}

TEST_F(RefundsTest, OwesNothingWhereAllArrived) {
  Watch("0-3", 4);
  const Outcome refused = Refund(Note());
  EXPECT_EQ(refused.status, 2) << refused.ToString();
  EXPECT_EQ(Json::parse(refused.out)["reason"], "NOTHING_OWED");
}

// Two notes of one purchase: only a copied folder can write them.
TEST_F(RefundsTest, ASecondNoteForAVoucherIsAConflictThatShowsTheFirst) {
  Watch("0-9", 1);
  const std::string copy = world_.Path("copy");
  fs::copy(space_.folder, copy, fs::copy_options::recursive);
  const std::string first = Note();
  space_.folder = copy;
  // The copy's counter differs once it has done something of its own.
  Note({});
  const std::string more = world_.NewPath("input");
  WriteAll(more, RandomBytes(kAduBytes, 7));
  const std::string again = world_.MakeVoucher(session_, space_.id, "0-9");
  auto join = world_.StartJoin(session_, space_, again, world_.Path("again"));
  world_.SendAll(session_, more, {"--pace", "20M"});
  EXPECT_TRUE(Eventually([&] { return !ReadAll(world_.Path("again")).empty(); }));
  EXPECT_EQ(join->Stop().status, 0);
  const std::string second = Note();

  EXPECT_EQ(Json::parse(Refund(first).out)["owed"], 9);
  const Outcome conflict = Refund(second);
  const Json answer = Json::parse(conflict.out);
  ASSERT_EQ(answer["vouchers"].size(), 2u) << conflict.ToString();
  EXPECT_EQ(answer["vouchers"][0]["status"], "conflict") << answer;
  EXPECT_EQ(answer["vouchers"][1]["status"], "paid") << answer;
}

TEST_F(RefundsTest, PaysForWhatWasSoldAndNeverServed) {
  const std::string voucher = world_.MakeVoucher(session_, space_.id, "0-9");
  replica_.process->Stop();
  const Outcome paid = Refund(Note({"--final", "--voucher", voucher}));
  EXPECT_EQ(paid.status, 0) << paid.ToString();
  EXPECT_EQ(Json::parse(paid.out)["amount_minor"], 50);
  // The note is frozen: what comes too late is not passed over in silence.
  const std::string late = world_.MakeVoucher(session_, space_.id, "10-19");
  const Outcome refused = world_.Try(
      "nark-receiver", {"note", session_.session, "--secure-space", space_.folder, "--final",
                        "--voucher", late, "--out", world_.Path("late.note")});
  EXPECT_EQ(refused.status, 1) << refused.ToString();
  EXPECT_NE(refused.err.find(late + " is not in"), std::string::npos) << refused.ToString();
}

}  // namespace
}  // namespace nark::harness
