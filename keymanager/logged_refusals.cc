#include "keymanager/logged_refusals.h"

#include <spdlog/spdlog.h>

#include <algorithm>
#include <string>

#include "common/serve/log.h"

namespace nark::keymanager {
namespace {

constexpr int kLinesPerSecond = 20;

// A detail may quote a stranger.
std::string Printable(std::string_view detail) {
  std::string text(detail);
  std::ranges::replace_if(
      text, [](char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7f; }, '?');
  return text;
}

}  // namespace

LoggedRefusals::LoggedRefusals(serve::Metrics& metrics) {
  for (int i = 0; i < kCauses; ++i) {
    counters_[i] = &metrics.AddCounter("nark_keymanager_refusals_total",
                                       "Requests refused, by what was wrong.",
                                       {{"detail", std::string(CauseName(static_cast<Cause>(i)))}});
  }
}

void LoggedRefusals::OnRefusal(Cause cause, std::string_view detail) {
  counters_[static_cast<int>(cause)]->Increment();
  const bool own = cause == Cause::kInternal || cause == Cause::kKeysUnavailable;
  const int left_out = (own ? failures_ : refusals_).Take();
  if (left_out < 0) return;
  if (left_out > 0) {
    spdlog::warn("{} more {} were not logged; see nark_keymanager_refusals_total", left_out,
                 own ? "failures" : "refusals");
  }
  if (own) {
    spdlog::error("a join failed: {}{}", Printable(detail), serve::LogFields());
  } else {
    spdlog::info("refused ({}): {}{}", CauseName(cause), Printable(detail), serve::LogFields());
  }
}

int LoggedRefusals::Budget::Take() {
  const auto now = std::chrono::steady_clock::now();
  absl::MutexLock lock(&mutex_);
  int left_out = 0;
  if (now - second_ >= std::chrono::seconds(1)) {
    left_out = std::max(0, lines_ - kLinesPerSecond);
    second_ = now;
    lines_ = 0;
  }
  return ++lines_ <= kLinesPerSecond ? left_out : -1;
}

}  // namespace nark::keymanager
