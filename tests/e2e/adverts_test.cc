// Programme and adverts in one multicast, as sub-sessions with purchases of their own.

#include <gtest/gtest.h>

#include <chrono>
#include <nlohmann/json.hpp>
#include <string>

#include "tests/harness/process.h"
#include "tests/harness/world.h"

namespace nark::harness {
namespace {

using Json = nlohmann::json;

constexpr size_t kAduBytes = 4 << 10;
const Words kAdverts = {"--adu", "4KiB", "--sub-session", "1=Adverts", "--demand-digest", "1"};

class AdvertsTest : public testing::Test {
 protected:
  std::string Input(uint64_t adus, uint64_t seed) {
    const std::string path = world_.NewPath("input");
    WriteAll(path, RandomBytes(adus * kAduBytes, seed));
    return path;
  }
  bool Arrives(const std::string& path, const std::string& content) {
    return Eventually([&] { return ReadAll(path) == content; }, std::chrono::seconds(30));
  }
  // By sub-session.
  Json OfSubSession(const SessionFiles& session, const SecureSpaceFolder& space, int id) {
    const Json note = Json::parse(world_.Note(session, space));
    for (const Json& sender : note["senders"]) {
      if (sender["sub_session"] == id) return sender;
    }
    return nullptr;
  }
  void Play(const Words& session_flags) {
    const Server replica = world_.StartKeyManager();
    const SessionFiles session = world_.MakeSession({replica.listen}, session_flags);
    const SecureSpaceFolder both = world_.MakeSecureSpace(),
                            programme_only = world_.MakeSecureSpace();
    const std::string programme = Input(30, 1), adverts = Input(12, 2);
    const std::string seen = world_.Path("seen"), ads = world_.Path("ads"),
                      alone = world_.Path("alone");
    auto one = world_.StartJoin(
        session, both,
        world_.MakeVoucher(session, both.id, "0-99", {"--sub-session", "0", "--sub-session", "1"}),
        seen, {"--output", "file:" + ads + "#sub-session=1"});
    auto two = world_.StartJoin(session, programme_only,
                                world_.MakeVoucher(session, programme_only.id, "0-99"), alone);
    auto ad_sender = world_.Start("nark-sender", {"--session", session.sender, "--sub-session", "1",
                                                  "--input", "file:" + adverts, "--pace", "1M"});
    world_.SendAll(session, programme, {"--pace", "2M"});
    EXPECT_EQ(ad_sender->Wait().status, 0);
    EXPECT_TRUE(Arrives(seen, ReadAll(programme)));
    EXPECT_TRUE(Arrives(ads, ReadAll(adverts)));
    EXPECT_TRUE(Arrives(alone, ReadAll(programme)));
    // The digest of the last one is given without waiting for another.
    EXPECT_TRUE(Eventually([&] {
      return OfSubSession(session, both, 1)["proved_ranges"] == Json({{0, 11}});
    })) << OfSubSession(session, both, 1);
    EXPECT_EQ(OfSubSession(session, both, 1)["delivered_ranges"], Json({{0, 11}}));
    EXPECT_EQ(OfSubSession(session, both, 0)["delivered_ranges"], Json({{0, 29}}));
    EXPECT_EQ(OfSubSession(session, both, 0)["proved_ranges"], Json::array());
    EXPECT_EQ(OfSubSession(session, programme_only, 1), nullptr);
    EXPECT_EQ(one->Stop().status, 0);
    EXPECT_EQ(two->Stop().status, 0);
  }

  World world_;
};

TEST_F(AdvertsTest, AreProvedToBeDecryptedByTheNote) { Play(kAdverts); }

TEST_F(AdvertsTest, AreProvedWhereKeysNeverLeave) {
  Words flags = kAdverts;
  flags.insert(flags.end(), {"--release", "plaintext"});
  Play(flags);
}

TEST_F(AdvertsTest, MayHaveATransportOfTheirOwn) {
  const Group elsewhere = NewGroup();
  Words flags = kAdverts;
  flags.insert(flags.end(), {"--sub-session-transport", "1=" + elsewhere.Uri()});
  Play(flags);
}

TEST_F(AdvertsTest, WhatTheSessionHasNotIsRefusedByName) {
  const SessionFiles session = world_.MakeSession({"127.0.0.1:1"}, kAdverts);
  const Outcome sender = world_.Try("nark-sender", {"--session", session.sender, "--sub-session",
                                                    "2", "--input", "file:/dev/null"});
  EXPECT_EQ(sender.status, 1);
  EXPECT_NE(sender.err.find("--sub-session 2"), std::string::npos) << sender.err;
  const SecureSpaceFolder space = world_.MakeSecureSpace();
  const Outcome join =
      world_.Try("nark-receiver",
                 world_.JoinArguments(session, space, world_.MakeVoucher(session, space.id, "0-9"),
                                      world_.Path("out") + "#sub-session=2"));
  EXPECT_EQ(join.status, 1);
  EXPECT_NE(join.err.find("no sub-session 2"), std::string::npos) << join.err;
}

}  // namespace
}  // namespace nark::harness
