#include "common/cli/program.h"

#include <toml++/toml.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cctype>
#include <cstdlib>
#include <iostream>
#include <map>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "common/base/status.h"
#include "common/base/storage.h"
#include "common/base/version.h"
#include "common/cli/units.h"

namespace nark::cli {
namespace {

using Values = std::vector<std::string>;
using Setter = std::function<absl::Status(const Values&)>;

// One flag or positional: CLI11 only finds it on the command line; where the
// value comes from, and what it means, is decided here.
struct Argument {
  std::string flag;  // "--name" or "NAME"
  Setter set;
  Need need;
  CLI::Option* option;
  Values typed;
};

std::string KeyOf(const std::string& flag) {
  return flag.substr(std::min(flag.find_first_not_of('-'), flag.size()));
}

std::string EnvironmentOf(const std::string& flag) {
  std::string name = "NARK_" + KeyOf(flag);
  for (char& c : name) c = c == '-' ? '_' : static_cast<char>(std::toupper(c));
  return name;
}

bool IsPositional(const std::string& flag) { return flag.rfind("--", 0) != 0; }

absl::StatusOr<bool> ParseSwitch(const std::string& text) {
  if (text == "true" || text == "1" || text == "yes" || text == "on") return true;
  if (text == "false" || text == "0" || text == "no" || text == "off") return false;
  return absl::InvalidArgumentError(absl::StrCat("'", text, "' is neither true nor false"));
}

// One TOML value as the text that would have been typed.
absl::StatusOr<std::string> TextOf(const toml::node& node) {
  if (auto text = node.value_exact<std::string>()) return *text;
  if (auto number = node.value_exact<int64_t>()) return absl::StrCat(*number);
  if (auto flag = node.value_exact<bool>()) return std::string(*flag ? "true" : "false");
  return absl::InvalidArgumentError("is neither text, whole number, true nor false");
}

absl::StatusOr<Values> ValuesOf(const toml::node& node) {
  Values values;
  if (const toml::array* list = node.as_array()) {
    for (const toml::node& entry : *list) {
      ASSIGN_OR_RETURN(std::string text, TextOf(entry));
      values.push_back(std::move(text));
    }
    return values;
  }
  ASSIGN_OR_RETURN(std::string text, TextOf(node));
  values.push_back(std::move(text));
  return values;
}

class CliCommand final : public Command {
 public:
  explicit CliCommand(CLI::App* app) : app_(app) {}

  Command& Text(std::string_view flag, std::string* value, std::string_view help,
                Need need) override {
    return AddOne(flag, help, need, "TEXT", [value](const std::string& text) {
      *value = text;
      return absl::OkStatus();
    });
  }

  Command& Texts(std::string_view flag, std::vector<std::string>* values, std::string_view help,
                 Need need) override {
    Argument& argument = Add(flag, need, [values](const Values& typed) {
      *values = typed;
      return absl::OkStatus();
    });
    Bind(argument, help, "TEXT");
    if (IsPositional(argument.flag)) argument.option->expected(-1);
    return *this;
  }

  Command& Number(std::string_view flag, uint64_t* value, std::string_view help,
                  Need need) override {
    // 0 mostly stands for something that the help explains.
    const std::string with_default =
        *value == 0 ? std::string(help) : absl::StrCat(Absl(help), " [", *value, "]");
    return AddOne(flag, with_default, need, "NUMBER", [value](const std::string& text) {
      ASSIGN_OR_RETURN(*value, ParseNumber(text));
      return absl::OkStatus();
    });
  }

  Command& Number(std::string_view flag, std::optional<uint64_t>* value,
                  std::string_view help) override {
    return AddOne(flag, help, Need::kOptional, "NUMBER", [value](const std::string& text) {
      ASSIGN_OR_RETURN(*value, ParseNumber(text));
      return absl::OkStatus();
    });
  }

  Command& Duration(std::string_view flag, std::chrono::microseconds* value,
                    std::string_view help) override {
    std::string with_default = absl::StrCat(Absl(help), " [", FormatDuration(*value), "]");
    return AddOne(flag, with_default, Need::kOptional, "DURATION",
                  [value](const std::string& text) {
                    ASSIGN_OR_RETURN(*value, ParseDuration(text));
                    return absl::OkStatus();
                  });
  }

  Command& Switch(std::string_view flag, bool* value, std::string_view help) override {
    Argument& argument = Add(flag, Need::kOptional, [value](const Values& typed) {
      if (typed.empty()) return absl::InvalidArgumentError("wants true or false");
      ASSIGN_OR_RETURN(*value, ParseSwitch(typed.back()));
      return absl::OkStatus();
    });
    const std::string description(help);
    argument.option = app_->add_flag(argument.flag, description);
    return *this;
  }

  Command& Choice(std::string_view flag, std::string* value, std::vector<std::string> choices,
                  std::string_view help) override {
    std::string with_choices =
        absl::StrCat(Absl(help), ": ", absl::StrJoin(choices, ", "), " [", *value, "]");
    return AddOne(flag, with_choices, Need::kOptional, "CHOICE",
                  [value, choices](const std::string& text) {
                    if (std::find(choices.begin(), choices.end(), text) == choices.end()) {
                      return absl::InvalidArgumentError(
                          absl::StrCat("'", text, "' is none of ", absl::StrJoin(choices, ", ")));
                    }
                    *value = text;
                    return absl::OkStatus();
                  });
  }

  Command& Examples(std::string_view text) override {
    app_->footer("Examples:\n" + std::string(text));
    return *this;
  }

  Command& Subcommand(std::string_view name, std::string_view help) override {
    CLI::App* sub = app_->add_subcommand(std::string(name), std::string(help));
    sub->fallthrough();
    subcommands_.push_back(std::make_unique<CliCommand>(sub));
    return *subcommands_.back();
  }

  Command& Action(std::function<absl::Status()> action) override {
    action_ = std::move(action);
    return *this;
  }

  // The subcommand that was typed; nullptr where none was.
  CliCommand* Chosen() {
    for (auto& sub : subcommands_) {
      if (sub->app_->parsed()) return sub.get();
    }
    return nullptr;
  }

  // Fills what the command line left open from environment and file.
  absl::Status Resolve(const toml::table* file) {
    // What a command itself needs, its subcommands need not.
    const bool acts = !action_ || Chosen() == nullptr;
    for (auto& argument : arguments_) {
      RETURN_IF_ERROR(ResolveOne(*argument, file, acts ? argument->need : Need::kOptional));
    }
    return absl::OkStatus();
  }

  // One argument, from the command line or the environment only.
  absl::Status ResolveAlone(std::string_view flag) {
    for (auto& argument : arguments_) {
      if (argument->flag == flag) return ResolveOne(*argument, nullptr, argument->need);
    }
    return absl::OkStatus();
  }

  absl::Status CheckKeys(const toml::table& file) const {
    for (const auto& [key, node] : file) {
      std::string name(key.str());
      bool known = std::any_of(arguments_.begin(), arguments_.end(),
                               [&](const auto& argument) { return KeyOf(argument->flag) == name; });
      if (node.is_table()) {
        known = std::any_of(subcommands_.begin(), subcommands_.end(),
                            [&](const auto& sub) { return sub->app_->get_name() == name; });
      }
      if (!known) return absl::InvalidArgumentError(absl::StrCat("knows no '", name, "'"));
    }
    return absl::OkStatus();
  }

  const std::function<absl::Status()>& action() const { return action_; }
  std::string name() const { return app_->get_name(); }
  std::string SubcommandNames() const {
    return absl::StrJoin(subcommands_, ", ", [](std::string* out, const auto& sub) {
      out->append(sub->app_->get_name());
    });
  }

 private:
  Argument& Add(std::string_view flag, Need need, Setter set) {
    arguments_.push_back(
        std::make_unique<Argument>(Argument{std::string(flag), std::move(set), need, nullptr, {}}));
    return *arguments_.back();
  }

  Command& AddOne(std::string_view flag, std::string_view help, Need need, const char* type,
                  std::function<absl::Status(const std::string&)> set) {
    Argument& argument = Add(flag, need, [set = std::move(set)](const Values& typed) {
      if (typed.size() != 1) return absl::InvalidArgumentError("wants one value");
      return set(typed.front());
    });
    Bind(argument, help, type);
    return *this;
  }

  // Every flag takes one value each time it is typed: what follows is not its own.
  void Bind(Argument& argument, std::string_view help, const char* type) {
    std::string description(help);
    if (argument.need == Need::kRequired) description += " (required)";
    argument.option = app_->add_option(argument.flag, argument.typed, description);
    argument.option->type_name(type)->type_size(1)->expected(1)->allow_extra_args(false);
    argument.option->multi_option_policy(CLI::MultiOptionPolicy::TakeAll);
  }

  absl::Status ResolveOne(Argument& argument, const toml::table* file, Need need) {
    if (argument.option->count() > 0) {
      return Annotate(argument.set(argument.option->results()), argument.flag);
    }
    if (!IsPositional(argument.flag)) {
      std::string variable = EnvironmentOf(argument.flag);
      if (const char* text = std::getenv(variable.c_str())) {
        return Annotate(argument.set({text}), variable);
      }
      if (const toml::node* node = file ? file->get(KeyOf(argument.flag)) : nullptr) {
        std::string where = absl::StrCat("--config, key ", KeyOf(argument.flag));
        auto values = ValuesOf(*node);
        if (!values.ok()) return Annotate(values.status(), where);
        return Annotate(argument.set(*values), where);
      }
    }
    if (need == Need::kRequired) {
      return absl::InvalidArgumentError(absl::StrCat(argument.flag, " is missing; see --help"));
    }
    return absl::OkStatus();
  }

  CLI::App* app_;
  std::vector<std::unique_ptr<Argument>> arguments_;
  std::vector<std::unique_ptr<CliCommand>> subcommands_;
  std::function<absl::Status()> action_;
};

absl::StatusOr<toml::table> ReadConfig(const std::string& path) {
  ASSIGN_OR_RETURN(Bytes text, ReadFile(path, 1 << 20));
  try {
    return toml::parse(AsText(text), path);
  } catch (const toml::parse_error& error) {
    return absl::InvalidArgumentError(absl::StrCat(path, ", line ", error.source().begin.line, ": ",
                                                   std::string(error.description())));
  }
}

}  // namespace

class Program::State {
 public:
  State(std::string_view name, std::string_view description)
      : name_(name), app_(std::string(description), std::string(name)), command_(&app_) {
    app_.set_version_flag("--version", absl::StrCat(name_, " ", kProgramVersion));
    command_.Text("--config", &config_, "TOML file with values for flags that are not typed",
                  Need::kOptional);
    command_.Choice("--log-level", &log_.level,
                    {"trace", "debug", "info", "warning", "error", "off"}, "what to log on stderr");
    command_.Choice("--log-format", &log_.format, {"text", "json"}, "how to log");
  }

  int Run(int argc, char** argv) {
    try {
      app_.parse(argc, argv);
    } catch (const CLI::Success& asked_for_help_or_version) {
      return app_.exit(asked_for_help_or_version);
    } catch (const CLI::ExtrasError&) {
      const Values stray = app_.remaining(true);
      return Fail(absl::InvalidArgumentError(absl::StrCat(
          "unexpected argument '", stray.empty() ? "" : stray.front(), "'; see --help")));
    } catch (const CLI::ParseError& error) {
      return Fail(absl::InvalidArgumentError(error.what()));
    }
    return Fail(ResolveAndAct());
  }

  Command& command() { return command_; }
  const LogSettings& log() const { return log_; }

 private:
  absl::Status ResolveAndAct() {
    // The file that it names may hold every other flag.
    RETURN_IF_ERROR(command_.ResolveAlone("--config"));
    toml::table file;
    if (!config_.empty()) {
      ASSIGN_OR_RETURN(file, ReadConfig(config_));
    }
    const toml::table* table = &file;
    CliCommand* command = &command_;
    for (;;) {
      if (table != nullptr) {
        RETURN_IF_ERROR(Annotate(command->CheckKeys(*table), config_));
      }
      RETURN_IF_ERROR(command->Resolve(table));
      CliCommand* chosen = command->Chosen();
      if (chosen == nullptr) break;
      command = chosen;
      table = table != nullptr ? table->get_as<toml::table>(command->name()) : nullptr;
    }
    if (!command->action()) {
      return absl::InvalidArgumentError(
          absl::StrCat("a command is missing: ", command->SubcommandNames(), "; see --help"));
    }
    return command->action()();
  }

  int Fail(const absl::Status& status) {
    if (!status.ok()) {
      std::string line(status.message());
      std::replace(line.begin(), line.end(), '\n', ' ');
      std::string reason = ReasonOf(status);
      std::cerr << name_ << ": " << line << (reason.empty() ? "" : " [" + reason + "]")
                << std::endl;
    }
    return ExitStatus(status);
  }

  std::string name_;
  std::string config_;
  LogSettings log_;
  CLI::App app_;
  CliCommand command_;
};

Program::Program(std::string_view name, std::string_view description)
    : state_(std::make_unique<State>(name, description)) {}
Program::~Program() = default;
Command& Program::command() { return state_->command(); }
const LogSettings& Program::log() const { return state_->log(); }
int Program::Run(int argc, char** argv) { return state_->Run(argc, argv); }

int ExitStatus(const absl::Status& status) {
  if (status.ok()) return 0;
  return IsRemote(status) ? 2 : 1;
}

}  // namespace nark::cli
