#ifndef NARK_TESTS_HARNESS_PROCESS_H_
#define NARK_TESTS_HARNESS_PROCESS_H_

#include <sys/types.h>

#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace nark::harness {

// Everything here throws std::runtime_error where the test cannot go on (a
// program that does not start, a deadline passed), with what the program said.

// Sanitized programs on a busy machine are slow; nothing waits this long in vain
// unless it fails.
inline constexpr std::chrono::seconds kPatience{60};

// Waits until `condition` holds, looking often; false once `patience` is over.
bool Eventually(const std::function<bool()>& condition,
                std::chrono::milliseconds patience = kPatience);

// The built program of a room: "narkctl", "nark-sender", ...
std::string ProgramPath(const std::string& program);

struct CommandLine {
  std::string program;  // for ProgramPath, or with a slash
  std::vector<std::string> arguments;
  std::string input;                     // file for stdin; empty: /dev/null
  std::vector<std::string> environment;  // "NAME=value", besides the test's own
};
std::string ToString(const CommandLine& command);

struct Outcome {
  int status = 0;  // exit status; 128 and the signal where a signal ended it
  std::string out;
  std::string err;
  bool left_image = false;  // the kernel made a core image of it
  // For messages of tests.
  std::string ToString() const;
};

// A running program. Killed, if need be, when it goes. One thread only.
class Process {
 public:
  // `folder` gets the program's stdout and stderr as files.
  Process(const CommandLine& command, const std::string& folder);
  ~Process();
  Process(const Process&) = delete;
  Process& operator=(const Process&) = delete;

  pid_t pid() const { return pid_; }
  bool running();
  void Signal(int signal);
  // Waits for its end.
  Outcome Wait(std::chrono::milliseconds patience = kPatience);
  // SIGTERM, then Wait.
  Outcome Stop();
  // SIGKILL, then Wait.
  Outcome Kill();
  // What it has written so far.
  std::string out() const;
  std::string err() const;
  std::string out_path() const { return out_path_; }

 private:
  std::optional<int> Reap(int options);
  std::string name_;
  std::string out_path_;
  std::string err_path_;
  pid_t pid_ = -1;
  std::optional<int> status_;
  bool left_image_ = false;
};

// Runs a program to its end.
Outcome Execute(const CommandLine& command, const std::string& folder,
                std::chrono::milliseconds patience = kPatience);

// Whole files; ReadAll is empty where there is none.
std::string ReadAll(const std::string& path);
void WriteAll(const std::string& path, const std::string& content);

}  // namespace nark::harness

#endif  // NARK_TESTS_HARNESS_PROCESS_H_
