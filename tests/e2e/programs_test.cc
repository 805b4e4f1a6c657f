// What every program owes its user: help, version, configuration, one line for an
// error, the right exit status, and an end within its time.

#include <gtest/gtest.h>
#include <signal.h>

#include <algorithm>
#include <chrono>
#include <filesystem>
#include <string>
#include <vector>

#include "tests/harness/capture.h"
#include "tests/harness/process.h"
#include "tests/harness/world.h"

namespace nark::harness {
namespace {

const std::vector<std::string> kPrograms = {"narkctl",       "nark-keymanager",  "nark-sender",
                                            "nark-receiver", "nark-securespace", "nark-relay",
                                            "nark-load"};

class EveryProgram : public testing::TestWithParam<std::string> {
 protected:
  static Outcome Do(const Words& arguments) {
    return Execute({GetParam(), arguments, "", {}}, testing::TempDir());
  }
  static void ExpectOneLine(const Outcome& outcome, int status) {
    EXPECT_EQ(outcome.status, status) << outcome.ToString();
    EXPECT_EQ(outcome.out, "");
    EXPECT_EQ(std::count(outcome.err.begin(), outcome.err.end(), '\n'), 1) << outcome.ToString();
  }
};

TEST_P(EveryProgram, HelpsWithExamples) {
  const Outcome help = Do({"--help"});
  EXPECT_EQ(help.status, 0);
  EXPECT_EQ(help.err, "");
  for (const std::string& word :
       {GetParam(), std::string("Example"), std::string("--config"), std::string("--log-level")}) {
    EXPECT_NE(help.out.find(word), std::string::npos) << word << "\n" << help.out;
  }
}

TEST_P(EveryProgram, SaysItsVersion) {
  const Outcome version = Do({"--version"});
  EXPECT_EQ(version.status, 0);
  EXPECT_EQ(version.out.rfind(GetParam() + " 0.", 0), 0u) << version.out;
}

TEST_P(EveryProgram, RefusesWhatItDoesNotKnowInOneLine) {
  ExpectOneLine(Do({"--no-such-flag"}), 1);
  ExpectOneLine(Do({}), 1);
  ExpectOneLine(Do({"--log-level", "shouting"}), 1);
  ExpectOneLine(Do({"--config", "/no/such/file"}), 1);
}

INSTANTIATE_TEST_SUITE_P(Programs, EveryProgram, testing::ValuesIn(kPrograms),
                         [](const auto& info) {
                           std::string name = info.param;
                           std::replace(name.begin(), name.end(), '-', '_');
                           return name;
                         });

class ProgramsTest : public testing::Test {
 protected:
  std::string Input(size_t bytes) {
    const std::string path = world_.NewPath("input");
    WriteAll(path, RandomBytes(bytes, 5));
    return path;
  }
  World world_;
};

TEST_F(ProgramsTest, FlagBeatsEnvironmentBeatsFile) {
  const SessionFiles session = world_.MakeSession({"127.0.0.1:1"}, {"--adu", "1000"});
  const std::string one = Input(1000), two = Input(2000), three = Input(3000);
  WriteAll(world_.Path("config.toml"),
           "session = \"" + session.sender + "\"\ninput = \"file:" + one + "\"\n");
  Capture capture(session.group.Uri());
  size_t adus = 0;
  const auto expect_more = [&](size_t more) {
    adus += more;
    EXPECT_TRUE(Eventually([&] { return capture.size() >= adus; }));
    EXPECT_EQ(ByAdu(capture.datagrams()).size(), adus);
  };
  const Words config = {"--config", world_.Path("config.toml")};
  Outcome sent = Execute({"nark-sender", config, "", {}}, world_.Path("logs"));
  ASSERT_EQ(sent.status, 0) << sent.ToString();
  expect_more(1);
  sent = Execute({"nark-sender", config, "", {"NARK_INPUT=file:" + two}}, world_.Path("logs"));
  ASSERT_EQ(sent.status, 0) << sent.ToString();
  expect_more(2);
  Words flag = config;
  flag.insert(flag.end(), {"--input", "file:" + three});
  sent = Execute({"nark-sender", flag, "", {"NARK_INPUT=file:" + two}}, world_.Path("logs"));
  ASSERT_EQ(sent.status, 0) << sent.ToString();
  expect_more(3);
}

TEST_F(ProgramsTest, ShowsObjectsAsTextAndJson) {
  const SessionFiles session = world_.MakeSession({"127.0.0.1:7400"}, {"--adu", "2s"});
  const SecureSpaceFolder space = world_.MakeSecureSpace();
  const std::string voucher = world_.MakeVoucher(session, space.id, "5-17");
  EXPECT_NE(world_.Do("narkctl", {"session", "show", session.session}).find("127.0.0.1:7400"),
            std::string::npos);
  EXPECT_NE(world_.Do("narkctl", {"voucher", "show", voucher}).find(space.id), std::string::npos);
  const std::string shown = world_.Do("narkctl", {"session", "show", session.session, "--json"});
  EXPECT_EQ(JsonField(shown, "title"), "Test") << shown;
  EXPECT_EQ(
      JsonField(world_.Do("narkctl", {"voucher", "show", voucher, "--json"}), "secure_space_id"),
      space.id);
}

TEST_F(ProgramsTest, AKeyManagerServesItsSideDoor) {
  Server replica = world_.StartKeyManager();
  EXPECT_EQ(HttpGet(replica.http, "/livez").rfind("no answer", 0), std::string::npos);
  EXPECT_NE(HttpGet(replica.http, "/livez").substr(0, 3), "503");
  EXPECT_NE(HttpGet(replica.http, "/readyz").substr(0, 3), "503");
  EXPECT_NE(HttpGet(replica.http, "/").find("nark-keymanager"), std::string::npos);
  EXPECT_EQ(HttpGet(replica.http, "/nothing").substr(0, 3), "404");
  const SessionFiles session = world_.MakeSession({replica.listen}, {});
  const SecureSpaceFolder space = world_.MakeSecureSpace();
  world_.StartJoin(session, space, world_.MakeVoucher(session, space.id, "0-9"),
                   world_.Path("out"));
  const std::string metrics = HttpGet(replica.http, "/metrics");
  EXPECT_EQ(MetricOf(metrics, "nark_keymanager_grants_total"), 1) << metrics;
  EXPECT_EQ(MetricOf(metrics, "nark_keymanager_refusals_total"), 0) << metrics;
}

TEST_F(ProgramsTest, ServersEndWithinTheirTime) {
  Server replica = world_.StartKeyManager();
  const auto started = std::chrono::steady_clock::now();
  const Outcome end = replica.process->Stop();
  EXPECT_EQ(end.status, 0) << end.ToString();
  EXPECT_LT(std::chrono::steady_clock::now() - started, std::chrono::seconds(6));
  replica = world_.StartKeyManager();
  replica.process->Signal(SIGINT);
  EXPECT_EQ(replica.process->Wait().status, 0);
}

TEST_F(ProgramsTest, APortInUseIsALocalError) {
  Server replica = world_.StartKeyManager();
  for (const Words& address : {Words{"--listen", replica.listen},
                               Words{"--listen", "127.0.0.1:0", "--http", replica.http}}) {
    Words arguments = {"--pool", world_.pool(), "--issuer", world_.issuer() + "/issuer.pem"};
    arguments.insert(arguments.end(), address.begin(), address.end());
    const Outcome second = world_.Try("nark-keymanager", arguments);
    EXPECT_EQ(second.status, 1) << second.ToString();
    EXPECT_NE(second.err.find(address.back()), std::string::npos) << second.ToString();
  }
  EXPECT_TRUE(replica.process->running());
}

TEST_F(ProgramsTest, NamesWhatIsWrongWithASession) {
  const Words create = {
      "session",     "create", "--provider",          world_.provider(), "--pool",
      world_.pool(), "--out",  world_.Path("x.nark"), "--sender-out",    world_.Path("x.sender")};
  const std::vector<std::pair<Words, std::string>> bad = {
      {{"--transport", "udp://999.0.0.1:5004"}, "999.0.0.1"},
      {{"--transport", "239.0.0.1:5004"}, "239.0.0.1"},
      {{"--transport", "udp://239.0.0.1:99999"}, "99999"},
      {{"--transport", "udp://239.0.0.1:5004", "--cipher", "rot13"}, "rot13"},
      {{"--transport", "udp://239.0.0.1:5004", "--generator", "dice"}, "dice"},
      {{"--transport", "udp://239.0.0.1:5004", "--adu", "soon"}, "soon"},
      {{"--transport", "udp://239.0.0.1:5004", "--adu", "17MiB"}, "16MiB"},
      {{"--transport", "udp://239.0.0.1:5004", "--refund-cap", "101"}, "--refund-cap"},
  };
  for (const auto& [more, word] : bad) {
    Words arguments = create;
    arguments.insert(arguments.end(), more.begin(), more.end());
    const Outcome outcome = world_.Try("narkctl", arguments);
    EXPECT_EQ(outcome.status, 1) << outcome.ToString();
    EXPECT_NE(outcome.err.find(word), std::string::npos) << outcome.ToString();
    EXPECT_EQ(std::count(outcome.err.begin(), outcome.err.end(), '\n'), 1) << outcome.ToString();
    EXPECT_FALSE(std::filesystem::exists(world_.Path("x.nark")));
    EXPECT_FALSE(std::filesystem::exists(world_.Path("x.sender")));
  }
}

TEST_F(ProgramsTest, NamesWhatIsWrongWithASender) {
  const SessionFiles session = world_.MakeSession({"127.0.0.1:1"}, {});
  const std::string input = Input(1000);
  const std::vector<std::pair<Words, std::string>> bad = {
      {{"--input", "file:/no/such/input"}, "/no/such/input"},
      {{"--input", "file:" + input, "--output", "udp://239.1.2.3:5?adapter=nosuch0"}, "nosuch0"},
      {{"--input", "file:" + input, "--pace", "fast"}, "fast"},
      {{"--input", "file:" + input, "--http", "nowhere:x"}, "nowhere:x"},
      {{"--input", "file:" + input, "--state", "/no/such/folder/state"}, "/no/such/folder"},
  };
  for (const auto& [more, word] : bad) {
    Words arguments = {"--session", session.sender};
    arguments.insert(arguments.end(), more.begin(), more.end());
    const Outcome outcome = world_.Try("nark-sender", arguments);
    EXPECT_EQ(outcome.status, 1) << outcome.ToString();
    EXPECT_NE(outcome.err.find(word), std::string::npos) << outcome.ToString();
  }
}

TEST_F(ProgramsTest, InputThatIsNoTransportStreamIsCutBySize) {
  const SessionFiles session = world_.MakeSession({"127.0.0.1:1"}, {"--adu", "gop"});
  Capture capture(session.group.Uri());
  const std::string input = Input(150'000);
  const Outcome sent =
      world_.Try("nark-sender", {"--session", session.sender, "--input", "file:" + input});
  EXPECT_EQ(sent.status, 0) << sent.ToString();
  EXPECT_NE(sent.err.find("64 KiB"), std::string::npos) << sent.ToString();
  EXPECT_TRUE(Eventually([&] { return ByAdu(capture.datagrams()).size() == 3; }));
}

TEST_F(ProgramsTest, ASenderReadsStandardInput) {
  const SessionFiles session = world_.MakeSession({"127.0.0.1:1"}, {"--adu", "1000"});
  Capture capture(session.group.Uri());
  const std::string input = Input(5000);
  for (const char* name : {"-", "file://con"}) {
    const Outcome sent = world_.Try(
        "nark-sender", {"--session", session.sender, "--input", name, "--pace", "20M"}, input);
    EXPECT_EQ(sent.status, 0) << sent.ToString();
  }
  EXPECT_TRUE(Eventually([&] { return ByAdu(capture.datagrams()).size() == 10; }));
}

}  // namespace
}  // namespace nark::harness
