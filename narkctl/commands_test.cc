// The commands as typed: exit status, what is printed, and one line an error.

#include "narkctl/commands.h"

#include <algorithm>
#include <filesystem>
#include <iostream>
#include <string>
#include <vector>

#include "common/base/storage.h"
#include "common/cli/program.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "narkctl/testing.h"
#include "nlohmann/json.hpp"

namespace nark::narkctl {
namespace {

using ::testing::HasSubstr;

struct Result {
  int exit_status = 0;
  std::string out;
  std::string err;
};

Result Narkctl(std::vector<std::string> words) {
  cli::Program program("narkctl", "under test");
  AddIssuerCommands(program.command());
  AddProviderCommands(program.command());
  AddPoolCommands(program.command());
  AddSessionCommands(program.command());
  AddVoucherCommands(program.command());
  AddNoteCommands(program.command());
  AddTraceCommands(program.command());
  words.insert(words.begin(), "narkctl");
  std::vector<char*> argv;
  for (std::string& word : words) argv.push_back(word.data());
  argv.push_back(nullptr);
  ::testing::internal::CaptureStdout();
  ::testing::internal::CaptureStderr();
  Result result;
  result.exit_status = program.Run(static_cast<int>(words.size()), argv.data());
  std::cout.flush();
  result.out = ::testing::internal::GetCapturedStdout();
  result.err = ::testing::internal::GetCapturedStderr();
  return result;
}

void ExpectOneLine(const Result& result, const std::string& part) {
  EXPECT_EQ(result.exit_status, 1) << result.err;
  EXPECT_EQ(result.out, "");
  EXPECT_EQ(std::count(result.err.begin(), result.err.end(), '\n'), 1) << result.err;
  EXPECT_THAT(result.err, HasSubstr(part));
}

class CommandsTest : public ::testing::Test {
 protected:
  CommandsTest() {
    EXPECT_EQ(CreateSessionAt("s").exit_status, 0);
    EXPECT_EQ(Narkctl(IssueWords("s")).exit_status, 0);
  }

  Result CreateSessionAt(const std::string& name) {
    return Narkctl({"session",         "create",
                    "--provider",      desk_.provider(),
                    "--pool",          desk_.pool(),
                    "--transport",     "udp://239.255.1.2:5004?adapter=lo",
                    "--title",         "News",
                    "--price-per-adu", "0.05",
                    "--currency",      "EUR",
                    "--key-manager",   "127.0.0.1:7443",
                    "--key-manager",   "127.0.0.1:7444",
                    "--out",           desk_.PathOf(name + ".nark"),
                    "--sender-out",    desk_.PathOf(name + ".sender")});
  }
  std::vector<std::string> IssueWords(const std::string& name) {
    return {"voucher",        "issue",
            "--provider",     desk_.provider(),
            "--session",      desk_.PathOf(name + ".nark"),
            "--secure-space", std::string(64, 'a'),
            "--range",        "0-9",
            "--out",          desk_.PathOf(name + ".voucher")};
  }
  void Overwrite(const std::string& path, ByteView content) {
    ASSERT_TRUE(WriteFile(path, content, FileMode::kPublic).ok());
  }

  Desk desk_;
};

TEST_F(CommandsTest, PrintsWhatAScriptWantsLast) {
  const Result session = CreateSessionAt("t");
  EXPECT_EQ(session.out.size(), 33u) << session.out;
  const Digest id = desk_.WriteRequest(desk_.PathOf("request.pem"));
  const Result certify = Narkctl({"issuer", "certify", desk_.issuer(), "--request",
                                  desk_.PathOf("request.pem"), "--out", desk_.PathOf("card.pem")});
  EXPECT_EQ(certify.out, ToHex(id) + "\n");
  const Result revoke =
      Narkctl({"issuer", "revoke", desk_.issuer(), "--certificate", desk_.PathOf("card.pem")});
  EXPECT_EQ(revoke.out, ToHex(id) + "\n") << revoke.err;
  const Result deny = Narkctl({"provider", "deny", desk_.provider(), "--secure-space", ToHex(id)});
  EXPECT_THAT(deny.out, HasSubstr("/deny.nark\n"));
}

TEST_F(CommandsTest, ShowsASessionToProgramsAndPeople) {
  const Result json = Narkctl({"session", "show", desk_.PathOf("s.nark"), "--json"});
  ASSERT_EQ(json.exit_status, 0) << json.err;
  const auto shown = nlohmann::json::parse(json.out);
  EXPECT_EQ(shown["title"], "News");
  EXPECT_EQ(shown["adu"]["duration_ms"], 1000);
  EXPECT_EQ(shown["price_per_adu"]["amount_minor"], 5);
  EXPECT_EQ(shown["key_managers"][1], "127.0.0.1:7444");
  EXPECT_EQ(shown["senders"][0]["may_control"], true);
  const auto ca = ReadFile(desk_.provider() + "/tls/certificate.pem");
  ASSERT_TRUE(ca.ok());
  EXPECT_EQ(shown["tls_ca_pem"], AsText(*ca));
  const Result text = Narkctl({"session", "show", desk_.PathOf("s.nark")});
  EXPECT_THAT(text.out, HasSubstr("News\n"));
  EXPECT_THAT(text.out, HasSubstr("0.05 EUR per ADU\n"));
}

TEST_F(CommandsTest, ShowsAVoucherToProgramsAndPeople) {
  const Result json = Narkctl({"voucher", "show", desk_.PathOf("s.voucher"), "--session",
                               desk_.PathOf("s.nark"), "--json"});
  ASSERT_EQ(json.exit_status, 0) << json.err;
  const auto shown = nlohmann::json::parse(json.out);
  EXPECT_EQ(shown["range"], nlohmann::json({0, 9}));
  EXPECT_EQ(shown["price"]["amount_minor"], 50);
  EXPECT_EQ(shown["secure_space_id"], std::string(64, 'a'));
  EXPECT_EQ(shown["provider_verified"], true);
  const Result alone = Narkctl({"voucher", "show", desk_.PathOf("s.voucher"), "--json"});
  EXPECT_EQ(nlohmann::json::parse(alone.out)["provider_verified"], false);
  const Result text = Narkctl({"voucher", "show", desk_.PathOf("s.voucher")});
  EXPECT_THAT(text.out, HasSubstr("0-9\n"));
}

TEST_F(CommandsTest, RefusesFilesOfEveryWrongKindInOneLine) {
  const std::string session = desk_.PathOf("s.nark"), voucher = desk_.PathOf("s.voucher");
  const std::string none = desk_.PathOf("none"), bad = desk_.PathOf("bad");
  const Bytes good = *ReadFile(session);
  ExpectOneLine(Narkctl({"session", "show", none}), none);
  ExpectOneLine(Narkctl({"session", "show", voucher}), "is a voucher, not a session descriptor");
  ExpectOneLine(Narkctl({"session", "show", desk_.provider()}), desk_.provider());
  ExpectOneLine(Narkctl({"session", "show", desk_.provider() + "/root.pem"}), "root.pem");
  ExpectOneLine(Narkctl({"voucher", "show", session}), "is a session descriptor, not a voucher");
  ExpectOneLine(Narkctl({"note", "show", session}), "is a session descriptor, not a delivery note");
  Overwrite(bad, {});
  ExpectOneLine(Narkctl({"session", "show", bad}), "bad is empty");
  Overwrite(bad, ByteView(good).first(good.size() / 2));
  ExpectOneLine(Narkctl({"session", "show", bad}), bad);
  for (size_t byte = 0; byte < good.size(); byte += 97) {
    Bytes flipped = good;
    flipped[byte] ^= 0x10;
    Overwrite(bad, flipped);
    ExpectOneLine(Narkctl({"session", "show", bad}), bad);
  }
}

TEST_F(CommandsTest, RefusesAVoucherOfAnotherSessionOrProvider) {
  ASSERT_EQ(CreateSessionAt("t").exit_status, 0);
  ExpectOneLine(
      Narkctl({"voucher", "show", desk_.PathOf("s.voucher"), "--session", desk_.PathOf("t.nark")}),
      "is for session");
  Desk other;
  VoucherFlags flags = other.GoodVoucher("s");
  ASSERT_TRUE(CreateSession(other.GoodSession("s"), other.now(), other.random()).ok());
  ASSERT_TRUE(IssueVoucher(flags, other.now(), other.random()).ok());
  ExpectOneLine(Narkctl({"voucher", "show", flags.out, "--session", desk_.PathOf("s.nark")}),
                "of provider");
}

TEST_F(CommandsTest, RefusesDamagedFoldersInOneLine) {
  const std::vector<std::string> files = {desk_.provider() + "/root.pem",
                                          desk_.provider() + "/till/certificate.pem",
                                          desk_.provider() + "/till/key.pem"};
  for (const std::string& path : files) {
    const Bytes good = *ReadFile(path);
    for (size_t byte = 0; byte < good.size(); byte += 61) {
      Bytes flipped = good;
      flipped[byte] ^= 0x01;
      Overwrite(path, flipped);
      ExpectOneLine(Narkctl(IssueWords("s")), desk_.provider());
    }
    std::filesystem::remove(path);
    ExpectOneLine(Narkctl(IssueWords("s")), path);
    Overwrite(path, good);
  }
  EXPECT_EQ(Narkctl(IssueWords("s")).exit_status, 0);
}

TEST_F(CommandsTest, RefusesToFoundTwice) {
  ExpectOneLine(Narkctl({"issuer", "init", desk_.issuer()}), "exists");
  ExpectOneLine(Narkctl({"provider", "init", desk_.provider()}), "exists");
  ExpectOneLine(Narkctl({"pool", "init", desk_.pool(), "--provider", desk_.provider()}), "exists");
  ExpectOneLine(Narkctl({"pool", "replica", desk_.pool(), "--provider", desk_.provider(), "--out",
                         desk_.pool()}),
                "is the pool itself");
}

TEST_F(CommandsTest, HelpsWithExamples) {
  for (const std::vector<std::string>& words :
       std::vector<std::vector<std::string>>{{"issuer", "init"},
                                             {"issuer", "certify"},
                                             {"issuer", "revoke"},
                                             {"provider", "init"},
                                             {"provider", "deny"},
                                             {"pool", "init"},
                                             {"pool", "rotate"},
                                             {"pool", "retire"},
                                             {"pool", "replica"},
                                             {"pool", "revoke"},
                                             {"pool", "import"},
                                             {"pool", "sweep"},
                                             {"session", "create"},
                                             {"session", "show"},
                                             {"voucher", "issue"},
                                             {"voucher", "show"},
                                             {"note", "show"}}) {
    std::vector<std::string> help = words;
    help.push_back("--help");
    const Result result = Narkctl(help);
    EXPECT_EQ(result.exit_status, 0);
    EXPECT_THAT(result.out, HasSubstr("narkctl " + words[0] + " " + words[1] + " "));
  }
}

TEST_F(CommandsTest, RefusesMissingFlags) {
  EXPECT_EQ(Narkctl({"session", "create"}).exit_status, 1);
  EXPECT_EQ(Narkctl({"session"}).exit_status, 1);
  EXPECT_EQ(Narkctl({"sessions"}).exit_status, 1);
}

}  // namespace
}  // namespace nark::narkctl
