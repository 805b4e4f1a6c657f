// A secure space in a process of its own.

#include <gtest/gtest.h>
#include <signal.h>

#include <memory>
#include <sstream>
#include <string>

#include "tests/harness/process.h"
#include "tests/harness/world.h"

namespace nark::harness {
namespace {

constexpr size_t kAduBytes = 16 << 10;

std::string StatusOf(const Process& process, const std::string& name) {
  std::istringstream lines(ReadAll("/proc/" + std::to_string(process.pid()) + "/status"));
  for (std::string line; std::getline(lines, line);) {
    if (line.rfind(name + ":", 0) == 0) return line.substr(name.size() + 2);
  }
  return "";
}

class SecureSpaceProcessTest : public testing::Test {
 protected:
  World world_;
};

TEST_F(SecureSpaceProcessTest, JoinsPlaysAndGivesNotesOverItsSocket) {
  const Server replica = world_.StartKeyManager();
  const SessionFiles session = world_.MakeSession({replica.listen}, {"--adu", "16KiB"});
  const SecureSpaceFolder folder = world_.MakeSecureSpace();
  const std::string socket = world_.Path("x.socket");
  const Server served = world_.StartServer("nark-securespace",
                                           {"serve", folder.folder, "--listen", "unix:" + socket});
  SecureSpaceFolder remote = folder;
  remote.folder = "unix:" + socket;

  const std::string input = world_.NewPath("input"), output = world_.Path("out");
  WriteAll(input, RandomBytes(8 * kAduBytes, 5));
  auto join =
      world_.StartJoin(session, remote, world_.MakeVoucher(session, folder.id, "0-999"), output);
  world_.SendAll(session, input, {"--pace", "20M"});
  EXPECT_TRUE(Eventually([&] { return ReadAll(output).size() == 8 * kAduBytes; }));
  EXPECT_EQ(join->Stop().status, 0) << join->err();
  EXPECT_TRUE(ReadAll(output) == ReadAll(input));

  const std::string note = world_.Path("note");
  world_.Do("nark-receiver",
            {"note", session.session, "--secure-space", remote.folder, "--final", "--out", note});
  EXPECT_EQ(JsonField(world_.Do("narkctl", {"note", "show", note, "--json"}), "delivered"), "8");

  EXPECT_EQ(StatusOf(*served.process, "NoNewPrivs"), "1");
  // A sanitized build says that it leaves system calls free.
  if (served.process->err().find("system calls are free") == std::string::npos) {
    EXPECT_EQ(StatusOf(*served.process, "Seccomp"), "2");
  }
  EXPECT_NE(ReadAll("/proc/" + std::to_string(served.process->pid()) + "/limits")
                .find("Max core file size        0                    0"),
            std::string::npos);
  // Over a clean end and a new beginning the state stands.
  EXPECT_EQ(served.process->Stop().status, 0) << served.process->err();
  EXPECT_NE(world_.Do("nark-securespace", {"show", folder.folder}).find(folder.id),
            std::string::npos);
}

// Two hosts of one secure space at once, of which one buys more for the other.
TEST_F(SecureSpaceProcessTest, IsAmendedOverItsSocketWhileItPlays) {
  const Server replica = world_.StartKeyManager();
  const SessionFiles session = world_.MakeSession({replica.listen}, {"--adu", "16KiB"});
  const SecureSpaceFolder folder = world_.MakeSecureSpace();
  const std::string socket = world_.Path("x.socket"), output = world_.Path("out");
  const Server served = world_.StartServer("nark-securespace",
                                           {"serve", folder.folder, "--listen", "unix:" + socket});
  SecureSpaceFolder remote = folder;
  remote.folder = "unix:" + socket;
  const std::string first = world_.NewPath("input"), second = world_.NewPath("input");
  WriteAll(first, RandomBytes(8 * kAduBytes, 1));
  WriteAll(second, RandomBytes(8 * kAduBytes, 2));
  const std::string more = world_.MakeVoucher(session, folder.id, "8-11");
  const auto amend = [&](const std::string& space) {
    return world_.Do("nark-receiver",
                     {"amend", session.session, "--secure-space", space, "--voucher", more});
  };

  auto join =
      world_.StartJoin(session, remote, world_.MakeVoucher(session, folder.id, "0-3"), output);
  world_.SendAll(session, first, {"--pace", "20M"});
  const std::string bought = ReadAll(first).substr(0, 4 * kAduBytes);
  ASSERT_TRUE(Eventually([&] { return ReadAll(output) == bought; }));
  EXPECT_EQ(amend(remote.folder), "installed\n");
  world_.SendAll(session, second, {"--pace", "20M"});
  const std::string both = bought + ReadAll(second).substr(0, 4 * kAduBytes);
  EXPECT_TRUE(Eventually([&] { return ReadAll(output) == both; }));
  EXPECT_EQ(amend(remote.folder), "installed already\n");
  // Whoever names the folder finds the process that has it open.
  EXPECT_EQ(amend(folder.folder), "installed already\n");
  EXPECT_EQ(join->Stop().status, 0) << join->err();
  EXPECT_TRUE(ReadAll(output) == both);

  const std::string note = world_.Path("note");
  world_.Do("nark-receiver",
            {"note", session.session, "--secure-space", remote.folder, "--final", "--out", note});
  const std::string shown = world_.Do("narkctl", {"note", "show", note, "--json"});
  EXPECT_EQ(JsonField(shown, "bought"), "8") << shown;
  EXPECT_EQ(JsonField(shown, "delivered"), "8") << shown;
}

}  // namespace
}  // namespace nark::harness
