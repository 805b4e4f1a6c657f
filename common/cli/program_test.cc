#include "common/cli/program.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <optional>
#include <string>
#include <vector>

#include "common/base/status.h"
#include "common/base/storage.h"

namespace nark::cli {
namespace {

// A program with one of everything, run on what a test types.
struct Example {
  std::string pool;
  std::vector<std::string> outputs;
  uint64_t count = 7;
  std::optional<uint64_t> first;
  std::chrono::microseconds timeout{10'000'000};
  bool plaintext = false;
  std::string timeliness = "live";
  std::string file;
  std::string ran;

  int Run(std::vector<std::string> typed, absl::Status result = absl::OkStatus()) {
    Program program("nark-example", "Shows how arguments are read.");
    program.command().Text("--pool", &pool, "folder of the pool");
    Command& join = program.command().Subcommand("join", "joins").Examples("  nark-example join x");
    join.Text("FILE", &file, "the session", Need::kRequired)
        .Texts("--output", &outputs, "where to")
        .Number("--count", &count, "how many")
        .Number("--first", &first, "where from")
        .Duration("--timeout", &timeout, "how long")
        .Switch("--plaintext", &plaintext, "no TLS")
        .Choice("--timeliness", &timeliness, {"live", "none"}, "lateness");
    join.Action([this, result] {
      ran = "join";
      return result;
    });
    typed.insert(typed.begin(), "nark-example");
    std::vector<char*> argv;
    for (std::string& word : typed) argv.push_back(word.data());
    return program.Run(static_cast<int>(argv.size()), argv.data());
  }
};

// Runs `run` and returns what it wrote to stderr.
template <typename Run>
std::string ErrorOf(Run run) {
  testing::internal::CaptureStderr();
  run();
  return testing::internal::GetCapturedStderr();
}

TEST(ProgramTest, ReadsWhatIsTyped) {
  Example example;
  EXPECT_EQ(example.Run({"join", "x.nark", "--output", "-", "--output", "file:y", "--count", "3",
                         "--first", "0", "--timeout", "2s", "--plaintext", "--timeliness", "none",
                         "--pool", "p"}),
            0);
  EXPECT_EQ(example.ran, "join");
  EXPECT_EQ(example.file, "x.nark");
  EXPECT_EQ(example.outputs, (std::vector<std::string>{"-", "file:y"}));
  EXPECT_EQ(example.count, 3u);
  EXPECT_EQ(example.first, 0u);
  EXPECT_EQ(example.timeout, std::chrono::seconds(2));
  EXPECT_TRUE(example.plaintext);
  EXPECT_EQ(example.timeliness, "none");
  EXPECT_EQ(example.pool, "p");
}

TEST(ProgramTest, TakesPositionalsBehindFlags) {
  Example example;
  EXPECT_EQ(example.Run({"join", "--count", "3", "--output", "a", "--plaintext", "--output", "b",
                         "--pool", "p", "--log-level", "error", "x.nark"}),
            0);
  EXPECT_EQ(example.file, "x.nark");
  EXPECT_EQ(example.outputs, (std::vector<std::string>{"a", "b"}));
  EXPECT_EQ(example.pool, "p");
}

TEST(ProgramTest, NamesTheFirstWordThatItDoesNotExpect) {
  Example example;
  std::string error = ErrorOf([&] { EXPECT_EQ(example.Run({"join", "x", "y", "z"}), 1); });
  EXPECT_EQ(error, "nark-example: unexpected argument 'y'; see --help\n");
}

TEST(ProgramTest, TypedBeatsEnvironmentBeatsFile) {
  std::string config = testing::TempDir() + "/program_test.toml";
  ASSERT_TRUE(WriteFile(config,
                        AsBytes("pool = 'file'\n[join]\ncount = 1\ntimeliness = 'none'\n"
                                "output = ['a', 'b']\nplaintext = true\n"),
                        FileMode::kPublic)
                  .ok());
  setenv("NARK_COUNT", "2", 1);
  setenv("NARK_POOL", "environment", 1);
  Example example;
  EXPECT_EQ(example.Run({"join", "x", "--pool", "typed", "--config", config}), 0);
  unsetenv("NARK_COUNT");
  unsetenv("NARK_POOL");
  EXPECT_EQ(example.pool, "typed");
  EXPECT_EQ(example.count, 2u);
  EXPECT_EQ(example.timeliness, "none");
  EXPECT_EQ(example.outputs, (std::vector<std::string>{"a", "b"}));
  EXPECT_TRUE(example.plaintext);
}

TEST(ProgramTest, RefusesUnknownKeysOfTheFile) {
  std::string config = testing::TempDir() + "/program_test_unknown.toml";
  ASSERT_TRUE(WriteFile(config, AsBytes("[join]\ncuont = 1\n"), FileMode::kPublic).ok());
  Example example;
  std::string error = ErrorOf([&] {
    EXPECT_EQ(example.Run({"join", "x", "--config", config}), 1);
  });
  EXPECT_NE(error.find("knows no 'cuont'"), std::string::npos) << error;
  EXPECT_EQ(example.ran, "");
}

TEST(ProgramTest, EveryLocalErrorIsOneLineAndStatusOne) {
  const std::vector<std::vector<std::string>> wrong = {
      {},
      {"leave"},
      {"join"},
      {"join", "x", "--no-such-flag"},
      {"join", "x", "--count", "many"},
      {"join", "x", "--count", "-1"},
      {"join", "x", "--count", "1", "--count", "2"},
      {"join", "x", "--timeout", "10"},
      {"join", "x", "--timeliness", "sometimes"},
      {"join", "x", "y"},
      {"join", "x", "--config", "/nonexistent/nark.toml"},
  };
  for (const auto& typed : wrong) {
    Example example;
    std::string error = ErrorOf([&] { EXPECT_EQ(example.Run(typed), 1); });
    EXPECT_EQ(error.rfind("nark-example: ", 0), 0u) << error;
    EXPECT_EQ(std::count(error.begin(), error.end(), '\n'), 1) << error;
    EXPECT_EQ(example.ran, "");
  }
}

TEST(ProgramTest, StatusTwoIsTheOtherSide) {
  EXPECT_EQ(ExitStatus(absl::InternalError("x")), 1);
  EXPECT_EQ(ExitStatus(MarkRemote(absl::UnavailableError("x"))), 2);
  EXPECT_EQ(ExitStatus(Refusal(absl::StatusCode::kPermissionDenied, "DENIED", "x")), 2);
  Example example;
  std::string error = ErrorOf([&] {
    EXPECT_EQ(example.Run({"join", "x"},
                          Refusal(absl::StatusCode::kPermissionDenied, "DENIED", "no grant")),
              2);
  });
  EXPECT_EQ(error, "nark-example: no grant [DENIED]\n");
}

TEST(ProgramTest, HelpAndVersionEndWithZero) {
  Example example;
  testing::internal::CaptureStdout();
  EXPECT_EQ(example.Run({"join", "--help"}), 0);
  EXPECT_EQ(example.Run({"--version"}), 0);
  std::string out = testing::internal::GetCapturedStdout();
  EXPECT_NE(out.find("nark-example join x"), std::string::npos) << out;
  EXPECT_NE(out.find("10s"), std::string::npos) << out;
}

TEST(ProgramTest, ARequiredFlagMayStandInTheFile) {
  std::string config = testing::TempDir() + "/program_test_required.toml";
  ASSERT_TRUE(WriteFile(config, AsBytes("input = \"file\"\n"), FileMode::kPublic).ok());
  std::string input;
  Program program("nark-test", "A program without subcommands.");
  program.command().Text("--input", &input, "what to read", Need::kRequired).Action([] {
    return absl::OkStatus();
  });
  std::string words[] = {"nark-test", "--config", config};
  char* argv[] = {words[0].data(), words[1].data(), words[2].data(), nullptr};
  EXPECT_EQ(program.Run(3, argv), 0);
  EXPECT_EQ(input, "file");
}

}  // namespace
}  // namespace nark::cli
