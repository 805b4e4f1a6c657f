// Joins without a network: challenge, request and grant are files, and no key manager
// listens anywhere.

#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <string>

#include "tests/harness/process.h"
#include "tests/harness/world.h"

namespace nark::harness {
namespace {

class OfflineTest : public testing::Test {
 protected:
  void SetUp() override {
    session_ = world_.MakeSession({}, {"--adu", "32KiB", "--timeliness", "none"});
    space_ = world_.MakeSecureSpace();
    voucher_ = world_.MakeVoucher(session_, space_.id, "0-999");
  }
  Outcome Challenge(const std::string& out, const std::string& expires = "30d") {
    return world_.Try("nark-keymanager",
                      {"challenge", "--pool", world_.pool(), "--session", session_.session,
                       "--secure-space", space_.id, "--expires", expires, "--out", out});
  }
  Outcome Request(const SecureSpaceFolder& space, const std::string& voucher,
                  const std::string& challenge, const std::string& out) {
    return world_.Try("nark-receiver",
                      {"request", session_.session, "--secure-space", space.folder, "--voucher",
                       voucher, "--challenge", challenge, "--out", out});
  }
  Outcome Grant(const std::string& request, const std::string& out, const Words& more = {}) {
    Words arguments = {
        "grant",     "--pool", world_.pool(), "--issuer", world_.issuer() + "/issuer.pem",
        "--request", request,  "--out",       out};
    arguments.insert(arguments.end(), more.begin(), more.end());
    return world_.Try("nark-keymanager", arguments);
  }
  Outcome Install(const std::string& grant, const std::string& folder) {
    return world_.Try("nark-receiver", {"install", grant, "--secure-space", folder});
  }
  // Challenge and request, which must succeed. Returns the request's path.
  std::string Asked() {
    const std::string challenge = world_.NewPath("challenge"), request = world_.NewPath("request");
    const Outcome challenged = Challenge(challenge);
    EXPECT_EQ(challenged.status, 0) << challenged.ToString();
    const Outcome asked = Request(space_, voucher_, challenge, request);
    EXPECT_EQ(asked.status, 0) << asked.ToString();
    return request;
  }
  // One line on stderr with this word, nothing on stdout, this status.
  static void ExpectRefused(const Outcome& outcome, int status, const std::string& word) {
    EXPECT_EQ(outcome.status, status) << outcome.ToString();
    EXPECT_EQ(outcome.out, "");
    EXPECT_EQ(std::count(outcome.err.begin(), outcome.err.end(), '\n'), 1) << outcome.ToString();
    EXPECT_NE(outcome.err.find(word), std::string::npos) << outcome.ToString();
  }

  World world_;
  SessionFiles session_;
  SecureSpaceFolder space_;
  std::string voucher_;
};

TEST_F(OfflineTest, AGrantOnAMediumPlaysAFile) {
  const std::string input = RandomBytes(4 * (32 << 10) + 77, 11), air = world_.Path("air");
  WriteAll(world_.Path("input"), input);
  world_.SendAll(session_, world_.Path("input"), {"--output", "file:" + air});

  const std::string grant = world_.Path("grant");
  const Outcome granted = Grant(Asked(), grant);
  ASSERT_EQ(granted.status, 0) << granted.ToString();
  const Outcome installed = Install(grant, space_.folder);
  ASSERT_EQ(installed.status, 0) << installed.ToString();

  Words join = world_.JoinArguments(session_, space_, voucher_, world_.Path("out"));
  join.insert(join.end(), {"--input", "file:" + air});
  const Outcome played = world_.Try("nark-receiver", join);
  EXPECT_EQ(played.status, 0) << played.ToString();
  EXPECT_TRUE(ReadAll(world_.Path("out")) == input);
  ExpectRefused(Install(grant, space_.folder), 2, "NO_EXCHANGE");
}

// One request, two answers, two copies of the secure space: one grant.
TEST_F(OfflineTest, ARequestUsedTwiceGivesTheSameGrant) {
  const std::string request = Asked(), copy = world_.Path("copy");
  ASSERT_EQ(Grant(request, world_.Path("one")).status, 0);
  ASSERT_EQ(Grant(request, world_.Path("two")).status, 0);
  std::filesystem::copy(space_.folder, copy, std::filesystem::copy_options::recursive);
  const Outcome one = Install(world_.Path("one"), space_.folder);
  const Outcome two = Install(world_.Path("two"), copy);
  EXPECT_EQ(one.status, 0) << one.ToString();
  EXPECT_EQ(two.status, 0) << two.ToString();
  EXPECT_EQ(one.out, two.out);
}

TEST_F(OfflineTest, AnotherSecureSpaceCannotInstallIt) {
  const SecureSpaceFolder other = world_.MakeSecureSpace();
  const std::string grant = world_.Path("grant");
  ASSERT_EQ(Grant(Asked(), grant).status, 0);
  ExpectRefused(Install(grant, other.folder), 2, "NO_EXCHANGE");
  EXPECT_EQ(Install(grant, space_.folder).status, 0);
}

TEST_F(OfflineTest, OnlyTheLatestRequestCounts) {
  const std::string first = Asked(), second = Asked();
  ASSERT_EQ(Grant(first, world_.Path("first")).status, 0);
  ASSERT_EQ(Grant(second, world_.Path("second")).status, 0);
  ExpectRefused(Install(world_.Path("first"), space_.folder), 2, "GRANT_REFUSED");
  EXPECT_EQ(Install(world_.Path("second"), space_.folder).status, 0);
}

// A request that nobody has must not make the one on its way void.
TEST_F(OfflineTest, ARequestThatCannotBeWrittenIsNoneAtAll) {
  const std::string first = Asked(), challenge = world_.Path("challenge");
  ASSERT_EQ(Challenge(challenge).status, 0);
  const std::string nowhere = world_.Path("nowhere") + "/request";
  ExpectRefused(Request(space_, voucher_, challenge, nowhere), 1, nowhere);
  ExpectRefused(Request(space_, voucher_, challenge, space_.folder), 1, space_.folder);
  ASSERT_EQ(Grant(first, world_.Path("grant")).status, 0);
  const Outcome installed = Install(world_.Path("grant"), space_.folder);
  EXPECT_EQ(installed.status, 0) << installed.ToString();
}

TEST_F(OfflineTest, AChallengeThatExpiredIsRefusedOnBothSides) {
  const std::string challenge = world_.Path("challenge"), request = world_.Path("request");
  ASSERT_EQ(Challenge(challenge, "1ms").status, 0);
  ExpectRefused(Request(space_, voucher_, challenge, request), 1, "expired");

  // Answered in time, and carried for too long.
  for (int life_ms = 2000;; life_ms *= 2) {
    ASSERT_EQ(Challenge(challenge, std::to_string(life_ms) + "ms").status, 0);
    if (Request(space_, voucher_, challenge, request).status == 0) break;
    ASSERT_LT(life_ms, 60000);
  }
  Outcome refused;
  ASSERT_TRUE(Eventually([&] {
    refused = Grant(request, world_.Path("grant"));
    return refused.status != 0;
  }));
  ExpectRefused(refused, 2, "challenge_expired");
  ExpectRefused(Challenge(challenge, "367d"), 1, "--expires");
}

TEST_F(OfflineTest, AllChecksOfTheOnlineJoinApply) {
  const std::string request = Asked(), deny = world_.Path("deny"), out = world_.Path("grant");
  world_.Do("narkctl",
            {"provider", "deny", world_.provider(), "--secure-space", space_.id, "--out", deny});
  ExpectRefused(Grant(request, out, {"--deny", deny}), 2, "SECURE_SPACE_DENIED");
  world_.Do("narkctl", {"issuer", "revoke", world_.issuer(), "--certificate", space_.certificate});
  ExpectRefused(Grant(request, out, {"--crl", world_.issuer() + "/crl.pem"}), 2, "revoked");
  EXPECT_FALSE(std::filesystem::exists(out));
}

// Whose answer would be a refusal, a journey later, and void the request on its way.
TEST_F(OfflineTest, SomebodyElsesVoucherAsksForNothing) {
  const std::string first = Asked(), challenge = world_.Path("challenge");
  const SecureSpaceFolder other = world_.MakeSecureSpace();
  ASSERT_EQ(Challenge(challenge).status, 0);
  const std::string foreign = world_.MakeVoucher(session_, other.id, "0-9");
  ExpectRefused(Request(space_, foreign, challenge, world_.Path("request")), 1,
                foreign + " is for another secure space");
  ASSERT_EQ(Grant(first, world_.Path("grant")).status, 0);
  const Outcome installed = Install(world_.Path("grant"), space_.folder);
  EXPECT_EQ(installed.status, 0) << installed.ToString();
}

TEST_F(OfflineTest, WrongFilesAreNamed) {
  const SecureSpaceFolder other = world_.MakeSecureSpace();
  const std::string challenge = world_.Path("challenge"), out = world_.Path("out");
  ASSERT_EQ(Challenge(challenge).status, 0);
  ExpectRefused(Request(other, world_.MakeVoucher(session_, other.id, "0-9"), challenge, out), 1,
                "another secure space");
  ExpectRefused(Grant(challenge, out), 1, "is a challenge, not a grant request");
  ExpectRefused(Install(challenge, space_.folder), 1, "is a challenge, not a grant");
  ExpectRefused(Request(space_, voucher_, voucher_, out), 1, "is a voucher, not a challenge");
}

// A bit here and there of each file; each is refused somewhere before anything is installed.
TEST_F(OfflineTest, ChangedFilesAreRefused) {
  const std::string request = Asked(), grant = world_.Path("grant");
  ASSERT_EQ(Grant(request, grant).status, 0);
  const std::string asked = ReadAll(request), granted = ReadAll(grant);
  const std::string bad = world_.Path("bad"), out = world_.Path("out");
  for (size_t i = 0; i < 24; ++i) {
    const size_t at = (2 * i + 1) * asked.size() / 48;
    std::string changed = asked;
    changed[at] = static_cast<char>(changed[at] ^ (1 << (i % 8)));
    WriteAll(bad, changed);
    const Outcome refused = Grant(bad, out);
    EXPECT_NE(refused.status, 0) << "byte " << at << " of the request";
    EXPECT_FALSE(std::filesystem::exists(out)) << at;
  }
  for (size_t i = 0; i < 24; ++i) {
    const size_t at = (2 * i + 1) * granted.size() / 48;
    std::string changed = granted;
    changed[at] = static_cast<char>(changed[at] ^ (1 << (i % 8)));
    WriteAll(bad, changed);
    EXPECT_NE(Install(bad, space_.folder).status, 0) << "byte " << at << " of the grant";
  }
  EXPECT_EQ(Install(grant, space_.folder).status, 0);
}

}  // namespace
}  // namespace nark::harness
