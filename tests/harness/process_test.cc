#include "tests/harness/process.h"

#include <gtest/gtest.h>
#include <signal.h>

#include <chrono>
#include <stdexcept>
#include <string>

namespace nark::harness {
namespace {

const std::string kFolder = testing::TempDir();

TEST(ProcessTest, GivesExitStatusAndBothStreams) {
  const Outcome outcome =
      Execute({"/bin/sh", {"-c", "echo media; echo log >&2; exit 7"}, "", {}}, kFolder);
  EXPECT_EQ(outcome.status, 7);
  EXPECT_EQ(outcome.out, "media\n");
  EXPECT_EQ(outcome.err, "log\n");
}

TEST(ProcessTest, ReadsItsInputFromAFile) {
  WriteAll(kFolder + "/input", "abc");
  EXPECT_EQ(Execute({"/bin/cat", {}, kFolder + "/input", {}}, kFolder).out, "abc");
  EXPECT_EQ(Execute({"/bin/cat", {}, "", {}}, kFolder).out, "");
}

TEST(ProcessTest, AddsToTheEnvironment) {
  const Outcome outcome = Execute({"/bin/sh", {"-c", "echo $NARK_X"}, "", {"NARK_X=9"}}, kFolder);
  EXPECT_EQ(outcome.out, "9\n");
}

TEST(ProcessTest, SaysWhichSignalEndedIt) {
  Process process({"/bin/sleep", {"1000"}, "", {}}, kFolder);
  EXPECT_TRUE(process.running());
  EXPECT_EQ(process.Kill().status, 128 + SIGKILL);
  EXPECT_FALSE(process.running());
}

TEST(ProcessTest, GivesUpOnWhatDoesNotEnd) {
  Process process({"/bin/sleep", {"1000"}, "", {}}, kFolder);
  EXPECT_THROW(process.Wait(std::chrono::milliseconds(20)), std::runtime_error);
  EXPECT_FALSE(process.running());
}

TEST(ProcessTest, RefusesAProgramThatIsNotThere) {
  EXPECT_THROW(Execute({"/no/such/program", {}, "", {}}, kFolder), std::runtime_error);
}

}  // namespace
}  // namespace nark::harness
