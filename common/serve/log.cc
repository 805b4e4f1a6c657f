#include "common/serve/log.h"

#include <spdlog/async.h>
#include <spdlog/pattern_formatter.h>
#include <spdlog/sinks/stdout_sinks.h>
#include <spdlog/spdlog.h>

#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/base/status.h"

namespace nark::serve {
namespace {

constexpr size_t kQueueLines = 8192;

// Before the name of each field that follows a message, and before its value. Texts of
// strangers have lost their control characters before they are logged.
constexpr char kField = '\x1e', kValue = '\x1f';

thread_local const CallIds* current_call = nullptr;

// The message as the inside of a JSON string, and what fields follow it; in text, line
// breaks are escaped too, so that no peer can forge a line.
class EscapedMessage final : public spdlog::custom_flag_formatter {
 public:
  enum class Form { kText, kJson };
  explicit EscapedMessage(Form form) : form_(form) {}

  void format(const spdlog::details::log_msg& message, const std::tm&,
              spdlog::memory_buf_t& to) override {
    for (const char c : message.payload) Append(c, to);
  }
  std::unique_ptr<custom_flag_formatter> clone() const override {
    return std::make_unique<EscapedMessage>(form_);
  }

 private:
  void Append(char c, spdlog::memory_buf_t& to) const {
    constexpr char kHex[] = "0123456789abcdef";
    const auto byte = static_cast<unsigned char>(c);
    if (c == kField || c == kValue) {
      // The pattern closes the last string.
      const std::string_view between =
          form_ == Form::kText ? (c == kField ? " " : "=") : (c == kField ? "\",\"" : "\":\"");
      to.append(between.data(), between.data() + between.size());
    } else if (byte < 0x20 || byte == 0x7f) {
      const char escaped[] = {'\\', 'u', '0', '0', kHex[byte >> 4], kHex[byte & 15]};
      to.append(escaped, escaped + sizeof escaped);
    } else {
      if (form_ == Form::kJson && (c == '"' || c == '\\')) to.push_back('\\');
      to.push_back(c);
    }
  }
  const Form form_;
};

std::optional<spdlog::level::level_enum> ParseLevel(std::string_view level) {
  using spdlog::level::level_enum;
  if (level == "trace") return level_enum::trace;
  if (level == "debug") return level_enum::debug;
  if (level == "info") return level_enum::info;
  if (level == "warning") return level_enum::warn;
  if (level == "error") return level_enum::err;
  if (level == "off") return level_enum::off;
  return std::nullopt;
}

}  // namespace

absl::Status StartLog(std::string_view program, std::string_view level, std::string_view format) {
  const auto parsed = ParseLevel(level);
  if (!parsed) {
    return absl::InvalidArgumentError(absl::StrCat(
        "\"", Absl(level), "\" is no log level; take trace, debug, info, warning, error or off"));
  }
  if (format != "text" && format != "json") {
    return absl::InvalidArgumentError(
        absl::StrCat("\"", Absl(format), "\" is no log format; take text or json"));
  }
  spdlog::init_thread_pool(kQueueLines, 1);
  auto logger = std::make_shared<spdlog::async_logger>(
      std::string(program), std::make_shared<spdlog::sinks::stderr_sink_mt>(),
      spdlog::thread_pool(), spdlog::async_overflow_policy::overrun_oldest);
  auto formatter = std::make_unique<spdlog::pattern_formatter>(spdlog::pattern_time_type::utc);
  formatter->add_flag<EscapedMessage>(
      '*', format == "json" ? EscapedMessage::Form::kJson : EscapedMessage::Form::kText);
  formatter->set_pattern(
      format == "json"
          ? R"({"time":"%Y-%m-%dT%H:%M:%S.%eZ","level":"%l","program":"%n","message":"%*"})"
          : "%Y-%m-%dT%H:%M:%S.%eZ %l %n: %*");
  logger->set_formatter(std::move(formatter));
  logger->set_level(*parsed);
  logger->flush_on(spdlog::level::info);
  spdlog::set_default_logger(std::move(logger));
  return absl::OkStatus();
}

CallScope::CallScope(const CallIds& ids) { current_call = &ids; }
CallScope::~CallScope() { current_call = nullptr; }

std::string LogFields() {
  std::string fields;
  if (current_call == nullptr) return fields;
  for (const auto& [name, id] : {std::pair("request_id", &current_call->request_id),
                                 {"trace_id", &current_call->trace_id}}) {
    if (id->empty()) continue;
    fields += kField;
    fields += name;
    fields += kValue;
    fields += *id;
  }
  return fields;
}

void StopLog() { spdlog::shutdown(); }

}  // namespace nark::serve
