#include "common/serve/shutdown.h"

#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <sys/signalfd.h>
#include <systemd/sd-daemon.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

namespace nark::serve {
namespace {

using std::chrono::microseconds;
using std::chrono::milliseconds;

// What fits into poll's argument.
constexpr milliseconds kLongestTurn = std::chrono::hours(24);

}  // namespace

absl::StatusOr<std::unique_ptr<Signals>> Signals::Take() {
  signal(SIGPIPE, SIG_IGN);
  sigset_t set;
  sigemptyset(&set);
  for (int number : {SIGINT, SIGTERM, SIGHUP}) sigaddset(&set, number);
  const int error = pthread_sigmask(SIG_BLOCK, &set, nullptr);
  if (error != 0) return absl::ErrnoToStatus(error, "signals can not be blocked");
  const int fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
  if (fd < 0) return absl::ErrnoToStatus(errno, "no descriptor for signals");
  uint64_t watchdog_us = 0;
  if (sd_watchdog_enabled(0, &watchdog_us) <= 0) watchdog_us = 0;
  return std::unique_ptr<Signals>(
      new Signals(fd, std::chrono::ceil<milliseconds>(microseconds(watchdog_us))));
}

Signals::~Signals() { close(fd_); }

milliseconds Signals::Beat() {
  if (watchdog_.count() == 0) return milliseconds::max();
  // Twice as often as it must be, as sd_watchdog_enabled(3) advises.
  const auto now = std::chrono::steady_clock::now();
  const milliseconds half = std::max(milliseconds(1), watchdog_ / 2);
  if (now >= beat_at_ + half) {
    beat_at_ = now;
    sd_notify(0, "WATCHDOG=1");
  }
  return std::max(milliseconds(1), std::chrono::ceil<milliseconds>(beat_at_ + half - now));
}

std::optional<Signals::Event> Signals::Next(milliseconds timeout) {
  const auto deadline = std::chrono::steady_clock::now() + std::max(timeout, milliseconds(0));
  pollfd wait{.fd = fd_, .events = POLLIN, .revents = 0};
  for (;;) {
    const milliseconds beat = Beat();
    milliseconds left =
        std::chrono::ceil<milliseconds>(deadline - std::chrono::steady_clock::now());
    if (timeout.count() < 0) left = milliseconds::max();
    const milliseconds turn = std::clamp(std::min(left, beat), milliseconds(0), kLongestTurn);
    const int ready = poll(&wait, 1, static_cast<int>(turn.count()));
    if (ready > 0) break;
    if (turn == left || left.count() <= 0) return std::nullopt;
  }
  signalfd_siginfo info;
  if (read(fd_, &info, sizeof info) != sizeof info) return std::nullopt;
  if (info.ssi_signo == SIGHUP) return Event::kReload;
  sd_notify(0, "STOPPING=1");
  return Event::kShutdown;
}

}  // namespace nark::serve
