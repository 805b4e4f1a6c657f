// A secure space whose counter is in a TPM, by the real programs and a software TPM.

#include <gtest/gtest.h>
#include <signal.h>

#include <filesystem>
#include <memory>
#include <string>

#include "tests/harness/process.h"
#include "tests/harness/swtpm.h"
#include "tests/harness/world.h"

namespace nark::harness {
namespace {

constexpr size_t kAduBytes = 16 << 10;
constexpr size_t kAdus = 6;

bool Contains(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

class TpmTest : public testing::Test {
 protected:
  Server Serve(const SecureSpaceFolder& space) {
    return world_.StartServer("nark-securespace",
                              {"serve", space.folder, "--listen", "unix:" + Socket(space)});
  }
  static std::string Socket(const SecureSpaceFolder& space) { return space.folder + ".socket"; }
  static SecureSpaceFolder Remote(SecureSpaceFolder space) {
    space.folder = "unix:" + Socket(space);
    return space;
  }
  // Plays the next ADUs of the session; how many came out.
  size_t Play(const SessionFiles& session, const SecureSpaceFolder& space) {
    const std::string input = world_.NewPath("input"), output = world_.NewPath("out");
    WriteAll(input, RandomBytes(kAdus * kAduBytes, ++seed_));
    auto join = world_.StartJoin(session, space, voucher_, output);
    world_.SendAll(session, input, {"--pace", "4M"});
    (void)Eventually([&] { return ReadAll(output).size() == kAdus * kAduBytes; },
                     std::chrono::seconds(10));
    EXPECT_EQ(join->Stop().status, 0) << join->err();
    return ReadAll(output).size() / kAduBytes;
  }
  // The folder as it stands, socket and all.
  std::string Copy(const std::string& folder) {
    const std::string copy = world_.NewPath("copy");
    std::filesystem::copy(folder, copy, std::filesystem::copy_options::recursive);
    return copy;
  }
  void Restore(const std::string& copy, const std::string& folder) {
    std::filesystem::remove_all(folder);
    std::filesystem::copy(copy, folder, std::filesystem::copy_options::recursive);
    std::filesystem::permissions(folder, std::filesystem::perms::owner_all);
  }
  void Begin(const SecureSpaceFolder& space) {
    replica_ = world_.StartKeyManager();
    session_ = world_.MakeSession({replica_.listen}, {"--adu", "16KiB"});
    voucher_ = world_.MakeVoucher(session_, space.id, "0-999");
  }

  Swtpm tpm_;
  World world_;
  Server replica_;
  SessionFiles session_;
  std::string voucher_;
  uint64_t seed_ = 1;
};

TEST_F(TpmTest, ARestoredCopyIsRefused) {
  const SecureSpaceFolder space = world_.MakeTpmSecureSpace(tpm_.tcti());
  Begin(space);
  {
    const Server served = Serve(space);
    EXPECT_EQ(Play(session_, Remote(space)), kAdus);
    // Under the filter, which counting went through.
    if (!Contains(served.process->err(), "system calls are free")) {
      EXPECT_TRUE(Contains(ReadAll("/proc/" + std::to_string(served.process->pid()) + "/status"),
                           "Seccomp:\t2"));
    }
    EXPECT_EQ(served.process->Stop().status, 0) << served.process->err();
  }
  const std::string old = Copy(space.folder);
  // Straight from the folder, as a receiver opens it itself.
  EXPECT_EQ(Play(session_, space), kAdus);
  const std::string newest = Copy(space.folder);

  Restore(old, space.folder);
  for (const Words& use : {Words{"show", space.folder},
                           Words{"serve", space.folder, "--listen", "unix:" + Socket(space)}}) {
    const Outcome refused = world_.Try("nark-securespace", use);
    EXPECT_EQ(refused.status, 1) << refused.ToString();
    EXPECT_TRUE(Contains(refused.err, "old copy")) << refused.ToString();
    EXPECT_TRUE(Contains(refused.err, space.folder)) << refused.ToString();
  }
  const Outcome joined = world_.Try(
      "nark-receiver", world_.JoinArguments(session_, space, voucher_, world_.NewPath("out")));
  EXPECT_EQ(joined.status, 1) << joined.ToString();
  EXPECT_TRUE(Contains(joined.err, "old copy")) << joined.ToString();

  Restore(newest, space.folder);
  const std::string shown = world_.Do("nark-securespace", {"show", space.folder, "--json"});
  EXPECT_TRUE(Contains(shown, "\"assurance\":\"tpm\"")) << shown;
  EXPECT_TRUE(Contains(shown, "\"counter\":{\"kind\":\"tpm\",\"value\":")) << shown;
  EXPECT_EQ(Play(session_, space), kAdus);
}

TEST_F(TpmTest, WithoutACounterARestoredCopyIsNotNoticed) {
  const SecureSpaceFolder space = world_.MakeSecureSpace();
  Begin(space);
  const std::string old = Copy(space.folder);
  EXPECT_EQ(Play(session_, space), kAdus);
  Restore(old, space.folder);
  EXPECT_EQ(world_.Try("nark-securespace", {"show", space.folder}).status, 0);
  EXPECT_TRUE(Contains(world_.Do("nark-securespace", {"show", space.folder, "--json"}),
                       "\"counter\":{\"kind\":\"none\"}"));
}

TEST_F(TpmTest, TheFileThatNamesTheCounterCannotBeLeftOut) {
  const SecureSpaceFolder space = world_.MakeTpmSecureSpace(tpm_.tcti());
  std::filesystem::rename(space.folder + "/tpm", space.folder + "/tpm.away");
  Outcome refused = world_.Try("nark-securespace", {"show", space.folder});
  EXPECT_EQ(refused.status, 1) << refused.ToString();
  EXPECT_TRUE(Contains(refused.err, "no file tpm")) << refused.ToString();
  // Nor by leaving out the certificate that says so.
  std::filesystem::remove(space.folder + "/certificate.pem");
  refused = world_.Try("nark-securespace", {"show", space.folder});
  EXPECT_EQ(refused.status, 1) << refused.ToString();
  EXPECT_TRUE(Contains(refused.err, "its file tpm is missing")) << refused.ToString();
}

TEST_F(TpmTest, WithoutItsTpmNoKeyLeavesAndNothingIsLost) {
  const SecureSpaceFolder space = world_.MakeTpmSecureSpace(tpm_.tcti());
  Begin(space);
  Server served = Serve(space);
  EXPECT_EQ(Play(session_, Remote(space)), kAdus);
  tpm_.Crash();
  const std::string input = world_.NewPath("input"), output = world_.NewPath("out");
  WriteAll(input, RandomBytes(kAdus * kAduBytes, ++seed_));
  auto join = world_.StartJoin(session_, Remote(space), voucher_, output);
  world_.SendAll(session_, input, {"--pace", "4M"});
  const Outcome joined = join->Wait();
  EXPECT_EQ(joined.status, 2) << joined.ToString();
  EXPECT_TRUE(Contains(joined.err, tpm_.tcti())) << joined.ToString();
  EXPECT_EQ(ReadAll(output), "");
  EXPECT_TRUE(served.process->running()) << served.process->err();
  EXPECT_EQ(served.process->Stop().status, 0) << served.process->err();
  const Outcome refused = world_.Try("nark-securespace", {"show", space.folder});
  EXPECT_EQ(refused.status, 1) << refused.ToString();
  EXPECT_TRUE(Contains(refused.err, tpm_.tcti())) << refused.ToString();
  tpm_.Start();
  served = Serve(space);
  EXPECT_EQ(Play(session_, Remote(space)), kAdus);
}

// Killed while it counts, again and again: it opens, and what was out stays out.
TEST_F(TpmTest, AKilledProcessLeavesAStateThatOpens) {
  const SecureSpaceFolder space = world_.MakeTpmSecureSpace(tpm_.tcti());
  Begin(space);
  for (int round = 0; round < 5; ++round) {
    const Server served = Serve(space);
    const std::string input = world_.NewPath("input"), output = world_.NewPath("out");
    WriteAll(input, RandomBytes(200 * kAduBytes, ++seed_));
    auto join = world_.StartJoin(session_, Remote(space), voucher_, output);
    auto sender = world_.Start(
        "nark-sender", {"--session", session_.sender, "--input", "file:" + input, "--pace", "20M"});
    EXPECT_TRUE(Eventually([&] { return ReadAll(output).size() >= kAduBytes; }));
    served.process->Kill();
    EXPECT_EQ(sender->Stop().status, 0) << sender->err();
    (void)join->Stop();
    const Outcome shown = world_.Try("nark-securespace", {"show", space.folder});
    ASSERT_EQ(shown.status, 0) << "round " << round << ": " << shown.ToString();
  }
}

}  // namespace
}  // namespace nark::harness
