// The configurations that deploy/ hands to operators, read by the programs they are for:
// as they stand, and with each example that is commented out in force.

#include <gtest/gtest.h>

#include <cctype>
#include <ostream>
#include <sstream>
#include <string>
#include <vector>

#include "tests/harness/process.h"

namespace nark::harness {
namespace {

struct Example {
  std::string name;  // the test's
  std::string program;
  std::string path;
  std::vector<std::string> arguments;  // as the unit gives them, before and after --config
  std::string ends_at;                 // what is not there on a machine that runs tests
};

const std::vector<Example> kExamples = {
    {"KeyManager",
     "nark-keymanager",
     "deploy/systemd/examples/keymanager.toml",
     {},
     "/etc/nark/keymanager/pool"},
    {"Refunds",
     "nark-refunds",
     "deploy/systemd/examples/refunds.toml",
     {},
     "/var/lib/nark-refunds/ledger.db"},
    {"Relay", "nark-relay", "deploy/systemd/examples/relay.toml", {}, "/etc/nark/relay/news.nark"},
    {"Sender",
     "nark-sender",
     "deploy/systemd/examples/sender.toml",
     {"--session", "/nonexistent/session", "--state", "/nonexistent/state"},
     "/nonexistent/session"},
    {"Receiver",
     "nark-receiver",
     "deploy/systemd/examples/receiver.toml",
     {"join", "--secure-space", "unix:/nonexistent/socket", "/nonexistent/news.nark"},
     "/nonexistent/news.nark"},
    {"KubernetesKeyManager",
     "nark-keymanager",
     "deploy/kubernetes/keymanager.toml",
     {},
     "/etc/nark/pool"},
    {"KubernetesRefunds",
     "nark-refunds",
     "deploy/kubernetes/refunds.toml",
     {},
     "LEDGER_UNAVAILABLE"},
};

std::vector<std::string> Lines(const std::string& text) {
  std::vector<std::string> lines;
  std::istringstream stream(text);
  for (std::string line; std::getline(stream, line);) lines.push_back(line);
  return lines;
}

// "key" of "#key = value", which is an example; "# Text" is for people.
std::string SwitchedOff(const std::string& line) {
  if (line.size() < 2 || line[0] != '#' || std::islower(line[1]) == 0) return "";
  const size_t end = line.find(" = ");
  return end == std::string::npos ? "" : line.substr(1, end - 1);
}

// `text` with the example of line `on` in force, in place of whatever has its key.
std::string SwitchOn(const std::vector<std::string>& lines, size_t on) {
  const std::string key = SwitchedOff(lines[on]);
  std::string text;
  for (size_t i = 0; i < lines.size(); ++i) {
    if (i == on) {
      text += lines[i].substr(1) + "\n";
    } else if (lines[i].rfind(key + " = ", 0) != 0) {
      text += lines[i] + "\n";
    }
  }
  return text;
}

// Tests ask no name server: who is named elsewhere is looked for on loopback.
std::string OnLoopback(std::string text) {
  for (const std::string& host :
       {std::string("db.example"), std::string("postgres.database.svc")}) {
    for (size_t at; (at = text.find(host)) != std::string::npos;) {
      text.replace(at, host.size(), "127.0.0.1");
    }
  }
  return text;
}

void PrintTo(const Example& example, std::ostream* out) { *out << example.path; }

class ConfigurationExample : public testing::TestWithParam<Example> {
 protected:
  static Outcome Read(const std::string& configuration) {
    const std::string path = testing::TempDir() + "/" + GetParam().name + ".variant.toml";
    WriteAll(path, OnLoopback(configuration));
    CommandLine command{GetParam().program, GetParam().arguments, "", {}};
    command.arguments.push_back("--config");
    command.arguments.push_back(path);
    return Execute(command, testing::TempDir());
  }
};

TEST_P(ConfigurationExample, IsReadUpToTheFilesThatItNames) {
  const std::string text = ReadAll(GetParam().path);
  ASSERT_NE(text, "") << GetParam().path;
  const Outcome outcome = Read(text);
  EXPECT_NE(outcome.status, 0);
  EXPECT_NE(outcome.err.find(GetParam().ends_at), std::string::npos) << outcome.ToString();
}

TEST_P(ConfigurationExample, HasNothingInItsCommentsThatIsRefused) {
  const std::vector<std::string> lines = Lines(ReadAll(GetParam().path));
  for (size_t i = 0; i < lines.size(); ++i) {
    if (SwitchedOff(lines[i]).empty()) continue;
    const Outcome outcome = Read(SwitchOn(lines, i));
    // What is wrong with a value or a key is said with the file or the flag's name.
    for (const std::string& complaint : {std::string("--config"), std::string(".variant.toml")}) {
      EXPECT_EQ(outcome.err.find(complaint), std::string::npos) << lines[i] << "\n"
                                                                << outcome.ToString();
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Examples, ConfigurationExample, testing::ValuesIn(kExamples),
                         [](const auto& info) { return info.param.name; });

}  // namespace
}  // namespace nark::harness
