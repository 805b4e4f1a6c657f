#include "keymanager/check.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "common/base/storage.h"
#include "common/object/pool_folder.h"
#include "common/rpc/server.h"
#include "keymanager/replica_fixture.h"
#include "keymanager/testing.h"

namespace nark::keymanager {
namespace {

class CheckTest : public ReplicaTest {
 protected:
  std::vector<Finding> Check() {
    options_.files = Files();
    return CheckReplica(options_, clock_, random_);
  }
  // The worst that is said of something.
  static std::string GradeOf(const std::vector<Finding>& findings, const std::string& what) {
    std::string worst = "nothing";
    for (const Finding& one : findings) {
      if (one.what != what) continue;
      if (one.grade == Grade::kBad) return "bad";
      if (one.grade == Grade::kWarning) worst = "warning";
      if (one.grade == Grade::kGood && worst == "nothing") worst = "good";
    }
    return worst;
  }
  ReplicaOptions options_{.files = {}, .listen = "127.0.0.1:0"};
};

TEST_F(CheckTest, FindsNothingBadInAGoodReplica) {
  WriteCrl({}, std::chrono::hours(48));
  WriteDeny({}, std::chrono::hours(48));
  const auto findings = Check();
  EXPECT_TRUE(AllServes(findings)) << ShowText(findings);
  for (const std::string what : {"pool", "root", "signing", "tls", "issuer", "hpke key",
                                 "challenge key", "lists", "listen"}) {
    EXPECT_EQ(GradeOf(findings, what), "good") << what << "\n" << ShowText(findings);
  }
}

TEST_F(CheckTest, WarnsOfWhatSoonEnds) {
  WriteCrl({}, std::chrono::hours(1));
  const auto findings = Check();
  EXPECT_TRUE(AllServes(findings)) << ShowText(findings);
  EXPECT_EQ(GradeOf(findings, "lists"), "warning") << ShowText(findings);
}

TEST_F(CheckTest, SaysWhatIsBad) {
  WriteCrl({}, -std::chrono::hours(1));
  EXPECT_EQ(GradeOf(Check(), "lists"), "bad");
  Write("crl.pem", AsBytes("damaged"));
  const auto findings = Check();
  EXPECT_FALSE(AllServes(findings));
  EXPECT_EQ(GradeOf(findings, "files"), "bad");
  EXPECT_NE(ShowText(findings).find("crl.pem"), std::string::npos) << ShowText(findings);
  EXPECT_NE(ShowJson(findings).find("\"ok\": false"), std::string::npos) << ShowJson(findings);
}

TEST_F(CheckTest, WarnsOfKeysThatThePoolNoLongerLists) {
  EXPECT_EQ(GradeOf(Check(), "files"), "nothing");
  Write("pool/signing-0123abcd.key", AsBytes("an old one"));
  const auto findings = Check();
  EXPECT_TRUE(AllServes(findings)) << ShowText(findings);
  EXPECT_EQ(GradeOf(findings, "files"), "warning");
  EXPECT_TRUE(absl::StrContains(ShowText(findings), "does not list signing-0123abcd.key:"))
      << ShowText(findings);
  Write("pool/tls-0123abcd.key", AsBytes("another"));
  EXPECT_TRUE(absl::StrContains(ShowText(Check()), "signing-0123abcd.key and 1 more:"));
}

TEST_F(CheckTest, SaysThatAnAddressIsTaken) {
  const Running running = Start();
  options_.listen = running.server->address();
  EXPECT_EQ(GradeOf(Check(), "listen"), "bad");
}

TEST_F(CheckTest, SaysThatTwoServersWantOneAddress) {
  options_.http = options_.listen;
  EXPECT_EQ(GradeOf(Check(), "http"), "good");  // each gets a port
  std::string free;
  {
    const Running running = Start();
    free = running.server->address();
  }
  options_.listen = options_.http = free;
  EXPECT_EQ(GradeOf(Check(), "http"), "bad");
}

TEST_F(CheckTest, WarnsOfATlsCertificateThatReceiversWouldNotTake) {
  PoolFolder pool = provider_.MakePool();
  const auto other = MakeTlsServer("refunds.nark", provider_.tls_ca, RealNow());
  ASSERT_TRUE(other.ok()) << other.status();
  pool.tls_certificates_pem = other->certificate.ToPem();
  pool.tls_key_pem = *other->key.ToPem();
  ASSERT_TRUE(WritePoolFolder(folder_ + "/pool", pool, provider_.pool_role, RealNow()).ok());
  EXPECT_EQ(GradeOf(Check(), "tls"), "warning");
}

}  // namespace
}  // namespace nark::keymanager
