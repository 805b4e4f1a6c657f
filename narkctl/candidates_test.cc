#include "narkctl/candidates.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <optional>
#include <string>

#include "narkctl/session.h"
#include "narkctl/testing.h"
#include "narkctl/voucher.h"

namespace nark::narkctl {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::UnorderedElementsAre;

class CandidatesTest : public testing::Test {
 protected:
  CandidatesTest() {
    for (const char* name : {"s", "other"}) {
      SessionFlags flags = desk_.GoodSession(name);
      flags.cipher = "chameleon";
      auto session = CreateSession(flags, desk_.now(), desk_.random());
      EXPECT_TRUE(session.ok()) << session.status();
      if (name[0] == 's') session_.emplace(*std::move(session));
    }
  }
  // Of the session, unless of the other one.
  std::string Issue(char digit, const std::string& range, const std::string& session = "s") {
    VoucherFlags voucher = desk_.GoodVoucher(session);
    voucher.secure_space = std::string(64, digit);
    voucher.range = range;
    voucher.out = desk_.PathOf(session + "-" + digit + ".voucher");
    const auto issued = IssueVoucher(voucher, desk_.now(), desk_.random());
    EXPECT_TRUE(issued.ok()) << issued.status();
    return voucher.out;
  }
  std::string List(const std::string& text) {
    const std::string path = desk_.PathOf("list");
    std::ofstream(path) << text;
    return path;
  }
  absl::StatusOr<Candidates> Read(const std::string& path) {
    return ReadCandidates(path, desk_.provider(), *session_);
  }
  std::string RefusalOf(const std::string& path) {
    const absl::Status status = Read(path).status();
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << status;
    return std::string(status.message());
  }
  static Digest IdOf(char digit) {
    Digest id;
    id.fill(static_cast<uint8_t>(0x11 * (digit - 'a' + 10)));
    return id;
  }

  Desk desk_;
  std::optional<VerifiedSession> session_;
};

TEST_F(CandidatesTest, AreThoseWhomTheProviderIssuedVouchersUnlessNamed) {
  EXPECT_THAT(RefusalOf(""), HasSubstr("name --candidates"));
  Issue('a', "5-9");
  Issue('b', "3-4");
  const auto candidates = Read("");
  ASSERT_TRUE(candidates.ok()) << candidates.status();
  EXPECT_THAT(candidates->secure_spaces, ElementsAre(IdOf('a'), IdOf('b')));
  EXPECT_EQ(candidates->range, (std::pair<uint64_t, uint64_t>(3, 9)));
}

TEST_F(CandidatesTest, AFolderIsOfVouchersAndTheRestIsSaid) {
  const std::string folder = desk_.PathOf("folder");
  std::filesystem::create_directories(folder + "/deeper");
  EXPECT_THAT(RefusalOf(folder), HasSubstr("has no voucher of this session"));
  std::filesystem::copy(Issue('a', "5-9"), folder + "/one");
  std::filesystem::copy(Issue('b', "3-4", "other"), folder + "/another-session");
  std::ofstream(folder + "/readme") << "no voucher\n";
  const auto candidates = Read(folder);
  ASSERT_TRUE(candidates.ok()) << candidates.status();
  EXPECT_THAT(candidates->secure_spaces, ElementsAre(IdOf('a')));
  EXPECT_THAT(candidates->left_out, UnorderedElementsAre("another-session", "readme"));
  EXPECT_EQ(candidates->range, (std::pair<uint64_t, uint64_t>(5, 9)));
}

TEST_F(CandidatesTest, AFileIsOneVoucher) {
  const auto candidates = Read(Issue('c', "7-8"));
  ASSERT_TRUE(candidates.ok()) << candidates.status();
  EXPECT_THAT(candidates->secure_spaces, ElementsAre(IdOf('c')));
  EXPECT_EQ(candidates->range, (std::pair<uint64_t, uint64_t>(7, 8)));
  EXPECT_THAT(RefusalOf(Issue('c', "7-8", "other")), HasSubstr("no voucher of this session"));
}

TEST_F(CandidatesTest, OrAListOfIds) {
  const auto candidates = Read(List("# who came\n\n" + std::string(64, 'a') + " # twice\r\n" +
                                    std::string(64, 'a') + "\n" + std::string(64, 'B')));
  ASSERT_TRUE(candidates.ok()) << candidates.status();
  EXPECT_THAT(candidates->secure_spaces, ElementsAre(IdOf('a'), IdOf('a'), IdOf('b')));
  EXPECT_FALSE(candidates->range.has_value());
  EXPECT_THAT(RefusalOf(List("# nobody\n")), HasSubstr("no secure-space id"));
  EXPECT_THAT(RefusalOf(List(std::string(64, 'a') + "\n" + std::string(63, 'a'))),
              HasSubstr("list, line 2"));
  EXPECT_EQ(Read(desk_.PathOf("none")).status().code(), absl::StatusCode::kNotFound);
}

}  // namespace
}  // namespace nark::narkctl
