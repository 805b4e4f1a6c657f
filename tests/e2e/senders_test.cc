// Many senders in one session: interleaved, one dying, one added while it runs, and one
// that claims to be another.

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <unistd.h>

#include <chrono>
#include <csignal>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "tests/harness/capture.h"
#include "tests/harness/process.h"
#include "tests/harness/world.h"

namespace nark::harness {
namespace {

using Json = nlohmann::json;

constexpr size_t kAduBytes = 4 << 10;

class SendersTest : public testing::Test {
 protected:
  std::string Input(uint64_t adus, uint64_t seed) {
    const std::string path = world_.NewPath("input");
    WriteAll(path, RandomBytes(adus * kAduBytes, seed));
    return path;
  }
  // A session of three senders; the files are sender-1 to sender-3.
  SessionFiles ThreeSenders(const std::string& key_manager) {
    SessionFiles session{world_.Path("three.nark"), world_.Path("sender-1"), NewGroup()};
    Words words = {"session",         "create",
                   "--provider",      world_.provider(),
                   "--pool",          world_.pool(),
                   "--transport",     session.group.Uri(),
                   "--out",           session.session,
                   "--key-manager",   key_manager,
                   "--adu",           "4KiB",
                   "--price-per-adu", "0.01",
                   "--currency",      "EUR"};
    for (const char* name : {"sender-1", "sender-2", "sender-3"}) {
      words.insert(words.end(), {"--sender-out", world_.Path(name)});
    }
    world_.Do("narkctl", words);
    return session;
  }
  std::unique_ptr<Process> StartSender(int number, const std::string& input,
                                       const std::string& pace) {
    return world_.Start("nark-sender",
                        {"--session", world_.Path("sender-" + std::to_string(number)), "--input",
                         "file:" + input, "--pace", pace});
  }
  Json Note(const SessionFiles& session, const SecureSpaceFolder& space, const Words& more = {}) {
    return Json::parse(world_.Note(session, space, more));
  }
  bool Arrives(const std::string& path, const std::string& content) {
    return Eventually([&] { return ReadAll(path) == content; }, std::chrono::seconds(30));
  }
  static Json OfSender(const Json& senders, int id) {
    for (const Json& sender : senders) {
      if (sender["id"] == id) return sender;
    }
    return nullptr;
  }

  World world_;
};

TEST_F(SendersTest, ThreeInterleaveAndOneDies) {
  const Server replica = world_.StartKeyManager();
  const SessionFiles session = ThreeSenders(replica.listen);
  const SecureSpaceFolder space = world_.MakeSecureSpace();
  const std::string voucher = world_.MakeVoucher(session, space.id, "0-199");
  const std::string statistics = world_.Path("statistics");
  const std::string all = world_.Path("all");
  std::vector<std::string> outputs;
  Words more = {"--statistics", statistics};
  for (int sender = 1; sender <= 3; ++sender) {
    outputs.push_back(world_.Path("out-" + std::to_string(sender)));
    more.insert(more.end(),
                {"--output", "file:" + outputs.back() + "#sender=" + std::to_string(sender)});
  }
  auto join = world_.StartJoin(session, space, voucher, all, more);

  const std::string one = Input(60, 1), two = Input(200, 2), three = Input(60, 3);
  auto first = StartSender(1, one, "1M");
  auto second = StartSender(2, two, "1M");
  auto third = StartSender(3, three, "1M");
  // In the middle of its stream and of the others'.
  ASSERT_TRUE(Eventually([&] { return ReadAll(outputs[1]).size() >= 20 * kAduBytes; }));
  second->Kill();
  EXPECT_LT(ReadAll(outputs[0]).size(), 60 * kAduBytes);
  EXPECT_LT(ReadAll(outputs[2]).size(), 60 * kAduBytes);
  EXPECT_EQ(first->Wait().status, 0);
  EXPECT_EQ(third->Wait().status, 0);
  EXPECT_TRUE(Arrives(outputs[0], ReadAll(one)));
  EXPECT_TRUE(Arrives(outputs[2], ReadAll(three)));
  ASSERT_EQ(join->Stop().status, 0);

  // Of the one that died: whole ADUs from the first on.
  const std::string begun = ReadAll(outputs[1]);
  EXPECT_EQ(begun.size() % kAduBytes, 0u);
  EXPECT_TRUE(begun == ReadAll(two).substr(0, begun.size()));
  EXPECT_EQ(ReadAll(all).size(), begun.size() + 120 * kAduBytes);
  // The three came mixed.
  EXPECT_TRUE(ReadAll(all).substr(0, 120 * kAduBytes) != ReadAll(one) + ReadAll(three));

  const Json note = Note(session, space, {"--final"});
  const Json numbers = Json::parse(ReadAll(statistics));
  const uint64_t of_two = begun.size() / kAduBytes;
  EXPECT_EQ(note["bought"], 600) << note;
  EXPECT_EQ(note["delivered"], 120 + of_two) << note;
  for (const auto& [id, count] : {std::pair<int, uint64_t>{1, 60}, {2, of_two}, {3, 60}}) {
    EXPECT_EQ(OfSender(note["senders"], id)["delivered_ranges"], Json({{0, count - 1}})) << note;
    EXPECT_EQ(OfSender(numbers["senders"], id)["delivered"], count) << numbers;
  }
  EXPECT_TRUE(numbers["refused"].empty()) << numbers;
}

TEST_F(SendersTest, WhatNoOutputTakesIsNotAskedFor) {
  const Server replica = world_.StartKeyManager();
  const SessionFiles session = ThreeSenders(replica.listen);
  const SecureSpaceFolder space = world_.MakeSecureSpace();
  const std::string voucher = world_.MakeVoucher(session, space.id, "0-99");
  const std::string output = world_.Path("out");
  auto join = world_.StartJoin(session, space, voucher, output + "#sender=3", {});
  const std::string one = Input(20, 1), three = Input(20, 3);
  EXPECT_EQ(StartSender(1, one, "5M")->Wait().status, 0);
  EXPECT_EQ(StartSender(3, three, "5M")->Wait().status, 0);
  EXPECT_TRUE(Arrives(output, ReadAll(three)));
  ASSERT_EQ(join->Stop().status, 0);
  const Json note = Note(session, space);
  EXPECT_EQ(note["delivered"], 20) << note;
  EXPECT_EQ(OfSender(note["senders"], 1), nullptr) << note;
}

TEST_F(SendersTest, OneThatClaimsAnothersIdIsRefused) {
  const Server replica = world_.StartKeyManager();
  const SessionFiles session = ThreeSenders(replica.listen);
  const SecureSpaceFolder space = world_.MakeSecureSpace();
  const std::string voucher = world_.MakeVoucher(session, space.id, "0-99");
  const std::string output = world_.Path("out"), statistics = world_.Path("statistics");
  auto join = world_.StartJoin(session, space, voucher, output, {"--statistics", statistics});
  Capture capture(session.group.Uri());
  const std::string one = Input(10, 1), two = Input(10, 2);
  EXPECT_EQ(StartSender(1, one, "5M")->Wait().status, 0);
  ASSERT_TRUE(Arrives(output, ReadAll(one)));
  // All that sender 1 sent, under the name of sender 2, which has sent nothing yet.
  const int socket = ::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  ASSERT_GE(socket, 0);
  const in_addr loopback{htonl(INADDR_LOOPBACK)};
  ASSERT_EQ(setsockopt(socket, IPPROTO_IP, IP_MULTICAST_IF, &loopback, sizeof loopback), 0);
  sockaddr_in to{};
  to.sin_family = AF_INET;
  to.sin_port = htons(session.group.port);
  ASSERT_EQ(inet_pton(AF_INET, session.group.address.c_str(), &to.sin_addr), 1);
  size_t claims = 0;
  for (Bytes claim : capture.datagrams()) {
    ASSERT_EQ(claim[15], 1);
    claim[15] = 2;
    // A header datagram: the header's own sender id, behind the length of the header.
    if (claim[3] == 1) claim[28 + 2 + 15] = 2;
    claims += claim[3] == 1;
    ASSERT_EQ(
        sendto(socket, claim.data(), claim.size(), 0, reinterpret_cast<sockaddr*>(&to), sizeof to),
        static_cast<ssize_t>(claim.size()));
  }
  ::close(socket);
  ASSERT_GE(claims, 20u);
  // And then the real one, whose ids are not spoilt by it.
  EXPECT_EQ(StartSender(2, two, "5M")->Wait().status, 0);
  EXPECT_TRUE(Arrives(output, ReadAll(one) + ReadAll(two)));
  ASSERT_EQ(join->Stop().status, 0);
  const Json numbers = Json::parse(ReadAll(statistics));
  EXPECT_EQ(numbers["datagrams"]["dropped"]["header_signature"], claims) << numbers;
  EXPECT_EQ(numbers["delivered"], 20) << numbers;
}

TEST_F(SendersTest, OneIsAddedWhileTheSessionRuns) {
  const Server replica = world_.StartKeyManager();
  const SessionFiles session =
      world_.MakeSession({replica.listen}, {"--adu", "4KiB", "--open-to-senders"});
  const SecureSpaceFolder amended = world_.MakeSecureSpace();
  const SecureSpaceFolder foresighted = world_.MakeSecureSpace();
  const SecureSpaceFolder content = world_.MakeSecureSpace();
  const std::string first_only = world_.MakeVoucher(session, amended.id, "0-99");
  const std::string both =
      world_.MakeVoucher(session, foresighted.id, "0-99", {"--sender", "1", "--sender", "7"});
  const std::string amended_out = world_.Path("amended"), foresighted_out = world_.Path("both"),
                    content_out = world_.Path("content");
  auto one = world_.StartJoin(session, amended, first_only, amended_out);
  auto two = world_.StartJoin(session, foresighted, both, foresighted_out);
  auto three = world_.StartJoin(session, content, world_.MakeVoucher(session, content.id, "0-99"),
                                content_out);
  const std::string start = Input(10, 1), rest = Input(10, 2), reporter = Input(10, 3);
  world_.SendAll(session, start, {"--pace", "5M"});
  for (const std::string& path : {amended_out, foresighted_out, content_out}) {
    ASSERT_TRUE(Arrives(path, ReadAll(start))) << path;
  }

  const std::string added = world_.Path("added.sender");
  EXPECT_EQ(world_.Do("narkctl",
                      {"session", "add-sender", session.session, "--provider", world_.provider(),
                       "--pool", world_.pool(), "--sender-id", "7", "--sender-out", added}),
            "7\n");
  const Json shown =
      Json::parse(world_.Do("narkctl", {"session", "show", session.session, "--json"}));
  EXPECT_EQ(shown["certified_senders"], Json({1, 7})) << shown;
  // Buys of the new one besides, while it plays.
  const std::string extra = world_.MakeVoucher(session, amended.id, "0-99", {"--sender", "7"});
  EXPECT_EQ(world_.Do("nark-receiver", {"amend", session.session, "--secure-space", amended.folder,
                                        "--voucher", extra}),
            "installed\n");
  for (auto* join : {one.get(), two.get(), three.get()}) {
    ASSERT_TRUE(Eventually([&] {
      return join->err().find("a later session file is in force: senders 1, 7") !=
             std::string::npos;
    })) << join->err();
  }
  const SessionFiles of_seven{session.session, added, session.group};
  const std::string opening = Input(1, 9);
  // The one that bought in advance gets its secure space to know the sender by itself;
  // what comes until then is refused and stays undelivered.
  world_.SendAll(of_seven, opening, {"--pace", "5M"});
  EXPECT_TRUE(Arrives(amended_out, ReadAll(start) + ReadAll(opening)));
  ASSERT_TRUE(Eventually([&] {
    return two->err().find("the grant is renewed") != std::string::npos;
  })) << two->err();
  world_.SendAll(of_seven, reporter, {"--pace", "5M"});
  EXPECT_TRUE(Arrives(amended_out, ReadAll(start) + ReadAll(opening) + ReadAll(reporter)));
  EXPECT_TRUE(Arrives(foresighted_out, ReadAll(start) + ReadAll(reporter)));
  // Who bought nothing of it is not disturbed, and gets none of it.
  world_.SendAll(session, rest, {"--pace", "5M"});
  EXPECT_TRUE(Arrives(content_out, ReadAll(start) + ReadAll(rest)));
  for (auto* join : {one.get(), two.get(), three.get()}) EXPECT_EQ(join->Stop().status, 0);
  const Json note = Note(session, amended, {"--final"});
  EXPECT_EQ(OfSender(note["senders"], 1)["delivered_ranges"], Json({{0, 19}})) << note;
  EXPECT_EQ(OfSender(note["senders"], 7)["delivered_ranges"], Json({{0, 10}})) << note;
  EXPECT_EQ(OfSender(Note(session, foresighted)["senders"], 7)["delivered_ranges"],
            Json({{1, 10}}));
}

}  // namespace
}  // namespace nark::harness
