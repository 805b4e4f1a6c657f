#ifndef NARK_COMMON_CLI_PROGRAM_H_
#define NARK_COMMON_CLI_PROGRAM_H_

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"

namespace nark::cli {

enum class Need { kOptional, kRequired };

// The arguments of a program or of one of its subcommands. Each value comes from
// the command line, else from the environment (NARK_ and the flag's name, as in
// NARK_LOG_LEVEL for --log-level), else from the TOML file of --config (a key
// named as the flag; a subcommand's in a table named as the subcommand), else it
// stays what it was. Targets must outlive Run. One thread only.
class Command {
 public:
  virtual ~Command() = default;

  // `flag` is "--name" or, for a positional, "NAME".
  virtual Command& Text(std::string_view flag, std::string* value, std::string_view help,
                        Need need = Need::kOptional) = 0;
  virtual Command& Texts(std::string_view flag, std::vector<std::string>* values,
                         std::string_view help, Need need = Need::kOptional) = 0;
  virtual Command& Number(std::string_view flag, uint64_t* value, std::string_view help,
                          Need need = Need::kOptional) = 0;
  virtual Command& Number(std::string_view flag, std::optional<uint64_t>* value,
                          std::string_view help) = 0;
  virtual Command& Duration(std::string_view flag, std::chrono::microseconds* value,
                            std::string_view help) = 0;
  virtual Command& Switch(std::string_view flag, bool* value, std::string_view help) = 0;
  // One of `choices`.
  virtual Command& Choice(std::string_view flag, std::string* value,
                          std::vector<std::string> choices, std::string_view help) = 0;

  // Shown at the end of --help, as they would be typed.
  virtual Command& Examples(std::string_view text) = 0;
  // A subcommand; one of them must then be given, unless Action is set here too: then
  // what is required here is so only without a subcommand.
  virtual Command& Subcommand(std::string_view name, std::string_view help) = 0;
  // What to do once all arguments are read.
  virtual Command& Action(std::function<absl::Status()> action) = 0;
};

struct LogSettings {
  std::string level = "info";   // --log-level: trace debug info warning error off
  std::string format = "text";  // --log-format: text json
};

// A program of Nark: its arguments, --help, --version, --config, --log-level and
// --log-format, its one-line errors and its exit status.
class Program {
 public:
  Program(std::string_view name, std::string_view description);
  ~Program();

  Command& command();
  const LogSettings& log() const;

  // Reads the arguments, runs the action, prints an error as one line
  // "NAME: message" on stderr, and returns the exit status: 0 done; 1 a local
  // error; 2 the other side refused or could not be reached (IsRemote).
  int Run(int argc, char** argv);

 private:
  class State;
  std::unique_ptr<State> state_;
};

// The exit status for `status`.
int ExitStatus(const absl::Status& status);

}  // namespace nark::cli

#endif  // NARK_COMMON_CLI_PROGRAM_H_
