#include "keymanager/logged_refusals.h"

#include <gtest/gtest.h>
#include <spdlog/sinks/ostream_sink.h>
#include <spdlog/spdlog.h>

#include <memory>
#include <sstream>
#include <string>

namespace nark::keymanager {
namespace {

// What is logged while it lives.
class Log {
 public:
  Log() : before_(spdlog::default_logger()) {
    spdlog::set_default_logger(std::make_shared<spdlog::logger>(
        "test", std::make_shared<spdlog::sinks::ostream_sink_mt>(lines_)));
  }
  ~Log() { spdlog::set_default_logger(before_); }
  size_t Count(const std::string& what) const {
    const std::string all = lines_.str();
    size_t count = 0;
    for (size_t at = all.find(what); at != all.npos; at = all.find(what, at + 1)) ++count;
    return count;
  }

 private:
  std::ostringstream lines_;
  std::shared_ptr<spdlog::logger> before_;
};

// Whoever sends junk decides how much of it is refused, not what the operator reads.
TEST(LoggedRefusalsTest, StrangersHideNoFailure) {
  const Log log;
  serve::Metrics metrics;
  LoggedRefusals refusals(metrics);
  for (int i = 0; i < 1000; ++i) refusals.OnRefusal(Cause::kMalformed, "junk");
  EXPECT_GE(log.Count("refused (malformed): junk"), 20u);
  EXPECT_LT(log.Count("refused (malformed): junk"), 500u);
  refusals.OnRefusal(Cause::kInternal, "no memory");
  refusals.OnRefusal(Cause::kKeysUnavailable, "no token");
  EXPECT_EQ(log.Count("a join failed: no memory"), 1u);
  EXPECT_EQ(log.Count("a join failed: no token"), 1u);
  EXPECT_NE(metrics.Exposition().find(R"(nark_keymanager_refusals_total{detail="malformed"} 1000)"),
            std::string::npos)
      << metrics.Exposition();
}

TEST(LoggedRefusalsTest, LogsNoStrangersControlCharacters) {
  const Log log;
  serve::Metrics metrics;
  LoggedRefusals refusals(metrics);
  refusals.OnRefusal(Cause::kMalformed, "a\nb\x1b");
  EXPECT_EQ(log.Count("refused (malformed): a?b?"), 1u);
}

}  // namespace
}  // namespace nark::keymanager
