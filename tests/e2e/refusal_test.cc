// Joins that must not succeed: who refuses, with which reason and exit status.

#include <gtest/gtest.h>
#include <signal.h>

#include <algorithm>
#include <chrono>
#include <filesystem>
#include <string>
#include <utility>
#include <vector>

#include "tests/harness/process.h"
#include "tests/harness/world.h"

namespace nark::harness {
namespace {

class RefusalTest : public testing::Test {
 protected:
  Outcome Join(const SessionFiles& session, const SecureSpaceFolder& space,
               const std::string& voucher, const Words& more = {}) {
    Words arguments = world_.JoinArguments(session, space, voucher, world_.Path("out"));
    arguments.insert(arguments.end(), more.begin(), more.end());
    return Execute({"nark-receiver", arguments, "", {"NARK_LOG_LEVEL=off"}}, world_.Path("logs"));
  }

  // One line on stderr with these words, nothing on stdout, this status.
  static void ExpectRefused(const Outcome& outcome, int status, const Words& words) {
    EXPECT_EQ(outcome.status, status) << outcome.ToString();
    EXPECT_EQ(outcome.out, "");
    EXPECT_EQ(std::count(outcome.err.begin(), outcome.err.end(), '\n'), 1) << outcome.ToString();
    for (const std::string& word : words) {
      EXPECT_NE(outcome.err.find(word), std::string::npos)
          << "says nothing of '" << word << "': " << outcome.ToString();
    }
  }

  World world_;
};

TEST_F(RefusalTest, AnIssuerThatNobodyTrusts) {
  const Server replica = world_.StartKeyManager();
  const SessionFiles session = world_.MakeSession({replica.listen}, {});
  world_.Do("narkctl", {"issuer", "init", world_.Path("nobody")});
  const SecureSpaceFolder space = world_.MakeSecureSpace(world_.Path("nobody"));
  ExpectRefused(Join(session, space, world_.MakeVoucher(session, space.id, "0-9")), 2,
                {"NOT_ATTESTED", replica.listen});
  // The detail is for the operator.
  const std::string metrics = HttpGet(replica.http, "/metrics");
  EXPECT_EQ(MetricOf(metrics, "nark_keymanager_refusals_total", "certificate_untrusted"), 1)
      << metrics;
}

TEST_F(RefusalTest, AVoucherMadeOutToAnotherSecureSpace) {
  const Server replica = world_.StartKeyManager();
  const SessionFiles session = world_.MakeSession({replica.listen}, {});
  const SecureSpaceFolder owner = world_.MakeSecureSpace(), other = world_.MakeSecureSpace();
  const std::string voucher = world_.MakeVoucher(session, owner.id, "0-9");
  ExpectRefused(Join(session, other, voucher), 2, {"VOUCHER_OTHER_SECURE_SPACE", replica.listen});
  // Its owner loses nothing by it.
  EXPECT_EQ(world_.StartJoin(session, owner, voucher, world_.Path("out"))->Stop().status, 0);
}

TEST_F(RefusalTest, ASecureSpaceThatIsDenied) {
  const SecureSpaceFolder denied = world_.MakeSecureSpace(), other = world_.MakeSecureSpace();
  const std::string list = world_.Path("deny");
  world_.Do("narkctl",
            {"provider", "deny", world_.provider(), "--secure-space", denied.id, "--out", list});
  const Server replica = world_.StartKeyManager({"--deny", list});
  const SessionFiles session = world_.MakeSession({replica.listen}, {});
  ExpectRefused(Join(session, denied, world_.MakeVoucher(session, denied.id, "0-9")), 2,
                {"SECURE_SPACE_DENIED", replica.listen});
  EXPECT_EQ(world_
                .StartJoin(session, other, world_.MakeVoucher(session, other.id, "0-9"),
                           world_.Path("out"))
                ->Stop()
                .status,
            0);
}

TEST_F(RefusalTest, ACertificateThatIsRevoked) {
  const SecureSpaceFolder revoked = world_.MakeSecureSpace(), other = world_.MakeSecureSpace();
  world_.Do("narkctl", {"issuer", "revoke", world_.issuer(), "--certificate", revoked.certificate});
  const Server replica = world_.StartKeyManager({"--crl", world_.issuer() + "/crl.pem"});
  const SessionFiles session = world_.MakeSession({replica.listen}, {});
  ExpectRefused(Join(session, revoked, world_.MakeVoucher(session, revoked.id, "0-9")), 2,
                {"NOT_ATTESTED"});
  EXPECT_EQ(world_
                .StartJoin(session, other, world_.MakeVoucher(session, other.id, "0-9"),
                           world_.Path("out"))
                ->Stop()
                .status,
            0);
}

TEST_F(RefusalTest, AVoucherThatHasExpired) {
  const Server replica = world_.StartKeyManager();
  const SessionFiles session = world_.MakeSession({replica.listen}, {});
  const SecureSpaceFolder space = world_.MakeSecureSpace();
  const std::string voucher = world_.MakeVoucher(session, space.id, "0-9", {"--expires", "1ms"});
  ExpectRefused(Join(session, space, voucher), 2, {"VOUCHER_EXPIRED"});
}

TEST_F(RefusalTest, NoCertificateInstalled) {
  const Server replica = world_.StartKeyManager();
  const SessionFiles session = world_.MakeSession({replica.listen}, {});
  SecureSpaceFolder space;
  space.folder = world_.Path("bare");
  const std::string said = world_.Do("nark-securespace", {"init", space.folder});
  space.id = said.substr(said.find_last_of(" \n", said.size() - 2) + 1, 64);
  ExpectRefused(Join(session, space, world_.MakeVoucher(session, space.id, "0-9")), 1,
                {"nark-securespace install"});
}

TEST_F(RefusalTest, AVoucherForAnotherSessionOrProvider) {
  const Server replica = world_.StartKeyManager();
  const SessionFiles session = world_.MakeSession({replica.listen}, {});
  const SessionFiles other = world_.MakeSession({replica.listen}, {});
  const SecureSpaceFolder space = world_.MakeSecureSpace();
  const std::string elsewhere = world_.MakeVoucher(other, space.id, "0-9");
  ExpectRefused(Join(session, space, elsewhere), 1, {elsewhere});

  World foreign;
  const SessionFiles theirs = foreign.MakeSession({replica.listen}, {});
  const std::string foreign_voucher = foreign.MakeVoucher(theirs, space.id, "0-9");
  ExpectRefused(Join(session, space, foreign_voucher), 1, {foreign_voucher});
  // A pool serves its own provider only; its TLS certificate is not theirs.
  ExpectRefused(Join(theirs, space, foreign_voucher, {"--timeout", "1s"}), 2, {replica.listen});
}

TEST_F(RefusalTest, NoKeyManagerIsReached) {
  const SecureSpaceFolder space = world_.MakeSecureSpace();
  const std::string closed = "127.0.0.1:" + std::to_string(FreePort());
  const SessionFiles session = world_.MakeSession({closed}, {});
  const auto started = std::chrono::steady_clock::now();
  ExpectRefused(
      Join(session, space, world_.MakeVoucher(session, space.id, "0-9"), {"--timeout", "1s"}), 2,
      {"no key manager", closed});
  EXPECT_LT(std::chrono::steady_clock::now() - started, std::chrono::seconds(10));
}

TEST_F(RefusalTest, AKeyManagerThatNeverAnswers) {
  Server replica = world_.StartKeyManager();
  const SecureSpaceFolder space = world_.MakeSecureSpace();
  const SessionFiles session = world_.MakeSession({replica.listen}, {});
  replica.process->Signal(SIGSTOP);
  ExpectRefused(
      Join(session, space, world_.MakeVoucher(session, space.id, "0-9"), {"--timeout", "1s"}), 2,
      {"no key manager", replica.listen});
  replica.process->Signal(SIGCONT);
}

TEST_F(RefusalTest, AReceiverWithoutTlsWhereTlsIsSpoken) {
  const Server replica = world_.StartKeyManager();
  const SecureSpaceFolder space = world_.MakeSecureSpace();
  const SessionFiles session = world_.MakeSession({replica.listen}, {});
  const std::string voucher = world_.MakeVoucher(session, space.id, "0-9");
  ExpectRefused(Join(session, space, voucher, {"--plaintext", "--timeout", "1s"}), 2,
                {replica.listen});
  const Server plain = world_.StartKeyManager({"--plaintext"});
  const SessionFiles open = world_.MakeSession({plain.listen}, {});
  const std::string voucher_there = world_.MakeVoucher(open, space.id, "0-9");
  ExpectRefused(Join(open, space, voucher_there, {"--timeout", "1s"}), 2, {plain.listen});
  EXPECT_EQ(world_.StartJoin(open, space, voucher_there, world_.Path("out"), {"--plaintext"})
                ->Stop()
                .status,
            0);
}

TEST_F(RefusalTest, OutputsThatCanNotBeOpened) {
  const Server replica = world_.StartKeyManager();
  const SecureSpaceFolder space = world_.MakeSecureSpace();
  const SessionFiles session = world_.MakeSession({replica.listen}, {});
  const std::string voucher = world_.MakeVoucher(session, space.id, "0-9");
  const std::string nowhere = world_.Path("no/such/folder/out");
  for (const auto& [output, word] : std::vector<std::pair<std::string, std::string>>{
           {"file:" + nowhere, nowhere},
           {"udp://239.255.0.1", "udp://239.255.0.1"},
           {"udp://239.255.0.1:5004?adapter=nosuch0", "nosuch0"},
           {"gopher://x", "gopher://x"}}) {
    ExpectRefused(Join(session, space, voucher, {"--output", output}), 1, {word});
  }
  ExpectRefused(
      Join(session, space, voucher, {"--input", "udp://239.255.0.1:5004?adapter=nosuch0"}), 1,
      {"nosuch0"});
}

}  // namespace
}  // namespace nark::harness
