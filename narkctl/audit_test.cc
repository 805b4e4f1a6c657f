#include "narkctl/audit.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <atomic>
#include <filesystem>
#include <fstream>
#include <string>
#include <thread>
#include <vector>

#include "common/audit/code_length.h"
#include "common/base/status.h"
#include "common/base/storage.h"
#include "narkctl/audit_secrets.h"
#include "narkctl/issued_list.h"
#include "narkctl/session.h"
#include "narkctl/show.h"
#include "narkctl/testing.h"
#include "narkctl/voucher.h"

namespace nark::narkctl {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

class AuditTest : public testing::Test {
 protected:
  SessionFlags Audited(const std::string& name) const {
    SessionFlags flags = desk_.GoodSession(name);
    flags.cipher = "chameleon";
    return flags;
  }
  absl::StatusOr<VerifiedSession> Create(const SessionFlags& flags) {
    return CreateSession(flags, desk_.now(), desk_.random());
  }
  std::string Refused(const SessionFlags& flags) {
    const absl::Status status = Create(flags).status();
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << status;
    return std::string(Std(status.message()));
  }

  std::string ListOf(const VerifiedSession& session) const {
    return desk_.provider() + "/audit/issued/" +
           ToHex(AsBytes(session.terms().audit().block_id())) + "/" +
           ToHex(session.name().session_id);
  }
  absl::Status Append(const VerifiedSession& session, char id) const {
    v1::Voucher voucher;
    voucher.set_secure_space_id(std::string(32, id));
    voucher.set_voucher_id(std::string(16, 7));
    voucher.mutable_policy()->mutable_range()->set_last(9);
    return AppendIssued(desk_.provider(), session, voucher);
  }

  Desk desk_;
};

TEST_F(AuditTest, ASessionPromisesWhatItsFlagsAskFor) {
  SessionFlags flags = Audited("s");
  flags.audit = {.colluders = 15, .false_accusation = "1e-9", .block = "512KiB", .family = ""};
  const auto session = Create(flags);
  ASSERT_TRUE(session.ok()) << session.status();
  const v1::AuditTrail& trail = session->terms().audit();
  EXPECT_EQ(trail.block_words_log2(), 16u);
  EXPECT_EQ(trail.colluders(), 15u);
  EXPECT_EQ(trail.false_accusation_one_in(), 1'000'000'000u);
  EXPECT_THAT(DescribeAudit(trail), HasSubstr("codewords of 65536 symbols in blocks of 512 KiB "
                                              "find up to 15 colluders"));
  EXPECT_EQ(ReadAuditSecret(desk_.provider(), trail)->id(),
            ReadAuditSecret(desk_.provider(), trail)->id());
  EXPECT_THAT(ShowSession(*session).ToText(), HasSubstr("once in 1000000000"));
  EXPECT_THAT(ShowSession(*session).ToJson(), HasSubstr("\"symbols\":65536"));
}

TEST_F(AuditTest, DefaultsAreWhatTheBlockSufficesFor) {
  const auto large = Create(Audited("large"));
  ASSERT_TRUE(large.ok()) << large.status();
  EXPECT_EQ(large->terms().audit().colluders(), 8u);
  EXPECT_EQ(large->terms().audit().false_accusation_one_in(), 1'000'000u);
  SessionFlags flags = Audited("small");
  flags.audit.block = "64KiB";
  const auto small = Create(flags);
  ASSERT_TRUE(small.ok()) << small.status();
  EXPECT_EQ(small->terms().audit().colluders(), 5u);
  flags = Audited("least");
  flags.audit.block = "8KiB";
  const auto least = Create(flags);
  ASSERT_TRUE(least.ok()) << least.status();
  EXPECT_THAT(DescribeAudit(least->terms().audit()), HasSubstr("find a single leaker of a"));
}

TEST_F(AuditTest, SessionsShareTheOneFamilyThereIs) {
  const auto first = Create(Audited("first")), second = Create(Audited("second"));
  ASSERT_TRUE(first.ok() && second.ok());
  EXPECT_EQ(first->terms().audit().block_id(), second->terms().audit().block_id());

  SessionFlags fresh = Audited("third");
  fresh.audit.family = "new";
  const auto third = Create(fresh);
  ASSERT_TRUE(third.ok()) << third.status();
  EXPECT_NE(third->terms().audit().block_id(), first->terms().audit().block_id());

  const std::string refused = Refused(Audited("fourth"));
  EXPECT_THAT(refused, HasSubstr("name one with --audit-family"));
  for (const auto& session : {first, third}) {
    EXPECT_THAT(refused, HasSubstr(ToHex(AsBytes(session->terms().audit().block_id()))));
  }
  SessionFlags named = Audited("fifth");
  named.audit.family = ToHex(AsBytes(first->terms().audit().block_id()));
  const auto fifth = Create(named);
  ASSERT_TRUE(fifth.ok()) << fifth.status();
  EXPECT_EQ(fifth->terms().audit().block_id(), first->terms().audit().block_id());
}

TEST_F(AuditTest, RefusesFlagsThatCanNotBe) {
  SessionFlags flags = Audited("s");
  flags.audit.colluders = 16;
  EXPECT_THAT(Refused(flags),
              HasSubstr("blocks of 512 KiB suffice for --colluders 1 to 15, not 16"));
  flags.audit.block = "8KiB";
  flags.audit.colluders = 2;
  EXPECT_THAT(Refused(flags), HasSubstr("--colluders 1, not 2; a larger --audit-block finds more"));
  flags.audit = {};
  flags.audit.colluders = 0;
  EXPECT_THAT(Refused(flags), HasSubstr("--colluders"));
  for (const char* text : {"0", "0.5", "1e-13", "never", "nan"}) {
    flags.audit = {};
    flags.audit.false_accusation = text;
    EXPECT_THAT(Refused(flags), HasSubstr("--false-accusation")) << text;
  }
  for (const char* text : {"4KiB", "1MiB", "500KiB", "large"}) {
    flags.audit = {};
    flags.audit.block = text;
    EXPECT_THAT(Refused(flags), HasSubstr("--audit-block")) << text;
  }
  flags.audit = {};
  flags.audit.family = "abc";
  EXPECT_THAT(Refused(flags), HasSubstr("--audit-family"));
  flags = desk_.GoodSession("s");
  flags.audit.colluders = 2;
  EXPECT_THAT(Refused(flags), HasSubstr("go with --cipher chameleon"));
  flags = Audited("s");
  flags.adu = "gop";
  EXPECT_THAT(Refused(flags), HasSubstr("--adu"));
  flags = Audited("s");
  flags.sub_sessions = {"5=Adverts"};
  flags.demanded_digests = {"5"};
  EXPECT_THAT(Refused(flags), HasSubstr("--demand-digest"));
  EXPECT_FALSE(std::filesystem::exists(desk_.provider() + "/audit")) << "nothing was kept";
}

TEST_F(AuditTest, RefusesASecretThatWasChanged) {
  const auto session = Create(Audited("s"));
  ASSERT_TRUE(session.ok()) << session.status();
  const v1::AuditTrail& trail = session->terms().audit();
  const std::string path =
      desk_.provider() + "/audit/" + ToHex(AsBytes(trail.block_id())) + ".secret";
  EXPECT_EQ(std::filesystem::status(path).permissions(),
            std::filesystem::perms::owner_read | std::filesystem::perms::owner_write);
  Bytes secret = *ReadFile(path);
  secret[5] ^= 1;
  ASSERT_TRUE(WriteFile(path, secret, FileMode::kSecret).ok());
  EXPECT_THAT(Std(ReadAuditSecret(desk_.provider(), trail).status().message()), HasSubstr(path));
  // No other family takes its place without a word, cut short or changed.
  EXPECT_THAT(Refused(Audited("next")), HasSubstr(path));
  ASSERT_TRUE(WriteFile(path, Bytes(20), FileMode::kSecret).ok());
  EXPECT_THAT(Refused(Audited("next")), HasSubstr(path));
}

TEST_F(AuditTest, ListsToWhomVouchersWereIssued) {
  const auto session = Create(Audited("s"));
  ASSERT_TRUE(session.ok()) << session.status();
  EXPECT_TRUE(ReadIssued(desk_.provider(), *session)->secure_spaces.empty());
  VoucherFlags voucher = desk_.GoodVoucher("s");
  for (const char* digit : {"b", "a", "b"}) {
    voucher.secure_space = std::string(64, *digit);
    voucher.range = *digit == 'a' ? "0-5" : "7-900";
    voucher.out = desk_.PathOf(std::string(digit) + ".voucher");
    ASSERT_TRUE(IssueVoucher(voucher, desk_.now(), desk_.random()).ok());
  }
  Digest a, b;
  a.fill(0xaa);
  b.fill(0xbb);
  const IssuedVouchers issued = *ReadIssued(desk_.provider(), *session);
  EXPECT_THAT(issued.secure_spaces, ElementsAre(b, a));
  EXPECT_EQ(issued.range, (std::pair<uint64_t, uint64_t>(0, 900)));
  // Their blocks play another session of the family, too.
  const auto later = Create(Audited("later"));
  ASSERT_TRUE(later.ok()) << later.status();
  EXPECT_THAT(ReadIssued(desk_.provider(), *later)->secure_spaces, ElementsAre(b, a));
  EXPECT_FALSE(ReadIssued(desk_.provider(), *later)->range.has_value());
  SessionFlags apart = Audited("apart");
  apart.audit.family = "new";
  EXPECT_TRUE(ReadIssued(desk_.provider(), *Create(apart))->secure_spaces.empty());
}

TEST_F(AuditTest, AListThatACrashCutShortGoesOn) {
  const auto session = Create(Audited("s"));
  ASSERT_TRUE(session.ok()) << session.status();
  const std::string path = ListOf(*session);
  const auto append = [&](char id) { return Append(*session, id).ok(); };
  const auto read = [&] { return ReadIssued(desk_.provider(), *session); };
  ASSERT_TRUE(append(1));
  const Bytes whole = *ReadFile(path);
  for (size_t kept = 1; kept < whole.size(); ++kept) {
    Bytes cut = whole;
    cut.insert(cut.end(), whole.begin(), whole.begin() + static_cast<ptrdiff_t>(kept));
    ASSERT_TRUE(WriteFile(path, cut, FileMode::kSecret).ok());
    ASSERT_TRUE(read().ok()) << kept;
    EXPECT_EQ(read()->secure_spaces.size(), 1u) << kept;
    ASSERT_TRUE(append(2));
    ASSERT_TRUE(read().ok()) << kept << " " << read().status();
    EXPECT_EQ(read()->secure_spaces.size(), 2u) << kept;
  }
  ASSERT_TRUE(WriteFile(path, AsBytes(std::string(132, 'x')), FileMode::kSecret).ok());
  EXPECT_THAT(Std(read().status().message()), HasSubstr(path + ", line 1"));
}

TEST_F(AuditTest, NobodyElseLooksIntoTheList) {
  const auto session = Create(Audited("s"));
  ASSERT_TRUE(session.ok()) << session.status();
  ASSERT_TRUE(Append(*session, 1).ok());
  for (std::filesystem::path path = ListOf(*session); path.filename() != "provider";
       path = path.parent_path()) {
    EXPECT_EQ(std::filesystem::status(path).permissions() & std::filesystem::perms(077),
              std::filesystem::perms::none)
        << path;
  }
}

// Whether somebody waits for a lock on this file, as the kernel lists them.
bool SomebodyWaitsFor(const std::string& path) {
  struct stat status;
  EXPECT_EQ(::stat(path.c_str(), &status), 0);
  const std::string inode = ":" + std::to_string(status.st_ino) + " ";
  std::ifstream locks("/proc/locks");
  for (std::string line; std::getline(locks, line);) {
    if (line.find("-> FLOCK") != std::string::npos && line.find(inode) != std::string::npos) {
      return true;
    }
  }
  return false;
}

TEST_F(AuditTest, TwoThatAppendAtOnceTakeTurns) {
  const auto session = Create(Audited("s"));
  ASSERT_TRUE(session.ok()) << session.status();
  ASSERT_TRUE(Append(*session, 1).ok());
  const std::string path = ListOf(*session);
  const Bytes line = *ReadFile(path);
  // One of them has written the half of its line.
  const int file = ::open(path.c_str(), O_WRONLY | O_APPEND | O_CLOEXEC);
  ASSERT_GE(file, 0);
  ASSERT_EQ(::flock(file, LOCK_EX), 0);
  ASSERT_EQ(::write(file, line.data(), 40), 40);
  std::atomic<bool> done = false;
  std::thread other([&] {
    EXPECT_TRUE(Append(*session, 2).ok());
    done = true;
  });
  while (!done && !SomebodyWaitsFor(path)) std::this_thread::yield();
  EXPECT_FALSE(done);
  ASSERT_EQ(::write(file, &line[40], line.size() - 40), static_cast<ssize_t>(line.size()) - 40);
  ::close(file);
  other.join();
  EXPECT_EQ(ReadFile(path)->size(), 3 * line.size());
  const auto issued = ReadIssued(desk_.provider(), *session);
  ASSERT_TRUE(issued.ok()) << issued.status();
  EXPECT_EQ(issued->secure_spaces.size(), 2u);
}

}  // namespace
}  // namespace nark::narkctl
