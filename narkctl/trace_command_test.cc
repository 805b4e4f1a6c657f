#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <iostream>
#include <memory>
#include <string>
#include <vector>

#include "common/audit/family.h"
#include "common/audit/stream_keys.h"
#include "common/base/storage.h"
#include "common/cli/program.h"
#include "common/crypto/chameleon.h"
#include "narkctl/audit_secrets.h"
#include "narkctl/commands.h"
#include "narkctl/session.h"
#include "narkctl/testing.h"
#include "narkctl/voucher.h"
#include "nlohmann/json.hpp"

namespace nark::narkctl {
namespace {

using ::testing::HasSubstr;

struct Result {
  int exit_status = 0;
  std::string out, err;
};

class TraceCommandTest : public ::testing::Test {
 protected:
  TraceCommandTest() {
    SessionFlags flags = desk_.GoodSession("s");
    flags.cipher = "chameleon";
    session_.emplace(*CreateSession(flags, desk_.now(), desk_.random()));
    for (const char digit : {'a', 'b', 'c'}) {
      VoucherFlags voucher = desk_.GoodVoucher("s");
      voucher.secure_space = std::string(64, digit);
      voucher.out = desk_.PathOf(std::string(1, digit) + ".voucher");
      EXPECT_TRUE(IssueVoucher(voucher, desk_.now(), desk_.random()).ok());
    }
  }

  // Half a second of one channel, of ADU 12, as the secure space of this digit has it.
  std::string WriteCopy(char digit) {
    const auto family = ReadAuditSecret(desk_.provider(), session_->terms().audit());
    EXPECT_TRUE(family.ok()) << family.status();
    Digest id;
    id.fill(static_cast<uint8_t>(0x11 * (digit - 'a' + 10)));
    const auto key = family->StreamKey(session_->name(), 0, 1);
    const audit::AduMarkKeys keys = *audit::MarkKeysOf(*key, 12);
    Bytes sound(44100);
    for (size_t i = 0; i < sound.size(); ++i) sound[i] = static_cast<uint8_t>(i * i / 700 % 7);
    EXPECT_TRUE(audit::LsbPlane::Create()->Set(keys.plane, sound).ok());
    const SecretBytes base_key = *family->BaseBlockKey();
    std::vector<ChameleonBlock> blocks;
    blocks.push_back(*ChameleonBlock::Of(*audit::BaseBlockBytes(base_key, family->words_log2())));
    blocks.push_back(*family->MarkedBlockOf(id));
    for (ChameleonBlock& block : blocks) {
      const auto cipher =
          Chameleon::Create(std::make_shared<const ChameleonBlock>(std::move(block)));
      EXPECT_TRUE((*cipher)->Apply(keys.index, sound, sound).ok());
    }
    const std::string path = desk_.PathOf("leak.raw");
    EXPECT_TRUE(WriteFile(path, sound, FileMode::kPublic).ok());
    return path;
  }

  Result Trace(const std::vector<std::string>& more) {
    cli::Program program("narkctl", "under test");
    AddTraceCommands(program.command());
    std::vector<std::string> words = {
        "narkctl",    "trace",          "--session", desk_.PathOf("s.nark"),
        "--provider", desk_.provider(), "--raw",     "44100,1"};
    words.insert(words.end(), more.begin(), more.end());
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

  Desk desk_;
  std::optional<VerifiedSession> session_;
};

TEST_F(TraceCommandTest, NamesWhoLeakedAmongThoseWhoBought) {
  const std::string plot = desk_.PathOf("plot.svg");
  const Result traced =
      Trace({"--leak", WriteCopy('b'), "--json", "--adus", "0-30", "--plot", plot});
  ASSERT_EQ(traced.exit_status, 0) << traced.err;
  const auto json = nlohmann::json::parse(traced.out);
  EXPECT_EQ(json["accused"], nlohmann::json::array({std::string(64, 'b')}));
  EXPECT_EQ(json["candidates"].size(), 3u);
  EXPECT_EQ(json["error_probability"], 1e-6);
  EXPECT_GT(json["candidates"][0]["score"], json["threshold"]);
  EXPECT_TRUE(std::filesystem::exists(plot));
}

TEST_F(TraceCommandTest, SaysNobodyAndSucceedsWhereTheLeakerIsNoCandidate) {
  const std::string leak = WriteCopy('b'), list = desk_.PathOf("list");
  std::ofstream(list) << "# two\n"
                      << std::string(64, 'a') << "  # one\n\n"
                      << std::string(64, 'd') << "\n";
  const Result traced = Trace({"--leak", leak, "--candidates", list, "--adus", "0-30"});
  EXPECT_EQ(traced.exit_status, 0) << traced.err;
  EXPECT_TRUE(traced.out.ends_with("Accused      nobody\n")) << traced.out;
}

TEST_F(TraceCommandTest, TakesTheVouchersOfAFolderAndIgnoresTheRest) {
  const std::string folder = desk_.PathOf("vouchers");
  std::filesystem::create_directories(folder + "/deeper");
  std::filesystem::copy(desk_.PathOf("a.voucher"), folder + "/a");
  std::filesystem::copy(desk_.PathOf("b.voucher"), folder + "/b.voucher");
  std::filesystem::copy(desk_.PathOf("c.voucher"), folder + "/deeper/c.voucher");
  std::filesystem::copy(desk_.PathOf("s.nark"), folder + "/s.nark");
  std::ofstream(folder + "/readme") << "not a voucher\n";
  // The vouchers name ADUs 10 to 19: no --adus.
  const Result traced = Trace({"--leak", WriteCopy('b'), "--candidates", folder, "--json"});
  ASSERT_EQ(traced.exit_status, 0) << traced.err;
  const auto json = nlohmann::json::parse(traced.out);
  EXPECT_EQ(json["accused"], nlohmann::json::array({std::string(64, 'b')}));
  EXPECT_EQ(json["candidates"].size(), 2u);
}

TEST_F(TraceCommandTest, SaysWhatIsMissing) {
  const auto refused = [&](const std::vector<std::string>& more, const std::string& part) {
    const Result result = Trace(more);
    EXPECT_EQ(result.exit_status, 1) << result.out;
    EXPECT_THAT(result.err, HasSubstr(part));
  };
  const std::string leak = WriteCopy('a'), empty = desk_.PathOf("empty");
  std::filesystem::create_directories(empty);
  refused({"--leak", desk_.PathOf("none")}, "none");
  refused({"--leak", leak, "--candidates", empty}, "has no voucher");
  refused({"--leak", leak, "--candidates", desk_.PathOf("s.nark")}, ", line ");
  refused({"--leak", leak, "--sender", "9"}, "no such stream");
  refused({"--leak", leak, "--adus", "x"}, "--adus");
  refused({"--leak", leak, "--adus", "18446744073709551614-18446744073709551615"},
          "the session's last ADU is");
  // Before the search, and before the sound is read.
  refused({"--leak", desk_.PathOf("none"), "--plot", desk_.PathOf("no/such/plot.svg")},
          "no/such/plot.svg");
  ASSERT_TRUE(CreateSession(desk_.GoodSession("plain"), desk_.now(), desk_.random()).ok());
  std::filesystem::copy_file(desk_.PathOf("plain.nark"), desk_.PathOf("s.nark"),
                             std::filesystem::copy_options::overwrite_existing);
  refused({"--leak", leak}, "has no audit trail");
}

TEST_F(TraceCommandTest, SaysWhereTheAuditSecretIsMissed) {
  const std::string secret = desk_.provider() + "/audit/" +
                             ToHex(AsBytes(session_->terms().audit().block_id())) + ".secret";
  ASSERT_TRUE(std::filesystem::remove(secret));
  const Result result = Trace({"--leak", desk_.PathOf("none")});
  EXPECT_EQ(result.exit_status, 1);
  EXPECT_THAT(result.err, HasSubstr("there is no " + secret));
  EXPECT_THAT(result.err, HasSubstr("restore the file from a copy"));
}

TEST_F(TraceCommandTest, SaysWhichPartItSearched) {
  const std::string leak = WriteCopy('b');
  EXPECT_THAT(Trace({"--leak", leak}).out, HasSubstr("Searched     ADU 10 to 19\n"));
  EXPECT_THAT(Trace({"--leak", leak, "--adus", "11-13"}).out,
              HasSubstr("Searched     ADU 11 to 13 of 10 to 19; --adus names others\n"));
}

}  // namespace
}  // namespace nark::narkctl
