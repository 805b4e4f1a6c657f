#include "receiver/block_progress.h"

#include <spdlog/spdlog.h>
#include <unistd.h>

#include <chrono>
#include <cstdio>

namespace nark::receiver {
namespace {

using Clock = std::chrono::steady_clock;

constexpr std::chrono::seconds kLogEvery{5};

void Show(size_t done_bytes, size_t total_bytes) {
  if (done_bytes == 0) return spdlog::info("fetching the marked block");
  std::fprintf(stderr, "\rmarked block: %zu of %zu KiB%s", done_bytes >> 10, total_bytes >> 10,
               done_bytes == total_bytes ? "\n" : "");
  std::fflush(stderr);
}

}  // namespace

keymanager::Client::BlockProgress TellBlockProgress() {
  if (::isatty(STDERR_FILENO) == 1) return Show;
  return [told = Clock::time_point()](size_t done_bytes, size_t total_bytes) mutable {
    const Clock::time_point now = Clock::now();
    if (done_bytes == 0) {
      spdlog::info("fetching the marked block, {} KiB", total_bytes >> 10);
    } else if (done_bytes < total_bytes && now - told >= kLogEvery) {
      spdlog::info("{} of {} KiB of the marked block are there", done_bytes >> 10,
                   total_bytes >> 10);
    } else {
      return;
    }
    told = now;
  };
}

}  // namespace nark::receiver
