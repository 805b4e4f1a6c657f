#include "common/serve/shutdown.h"

#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include <cerrno>

namespace nark::serve {

absl::StatusOr<std::unique_ptr<Signals>> Signals::Take() {
  signal(SIGPIPE, SIG_IGN);
  sigset_t set;
  sigemptyset(&set);
  for (int number : {SIGINT, SIGTERM, SIGHUP}) sigaddset(&set, number);
  const int error = pthread_sigmask(SIG_BLOCK, &set, nullptr);
  if (error != 0) return absl::ErrnoToStatus(error, "signals can not be blocked");
  const int fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
  if (fd < 0) return absl::ErrnoToStatus(errno, "no descriptor for signals");
  return std::unique_ptr<Signals>(new Signals(fd));
}

Signals::~Signals() { close(fd_); }

std::optional<Signals::Event> Signals::Next(std::chrono::milliseconds timeout) {
  pollfd wait{.fd = fd_, .events = POLLIN, .revents = 0};
  const int wait_ms = timeout.count() < 0 ? -1 : static_cast<int>(timeout.count());
  if (poll(&wait, 1, wait_ms) <= 0) return std::nullopt;
  signalfd_siginfo info;
  if (read(fd_, &info, sizeof info) != sizeof info) return std::nullopt;
  return info.ssi_signo == SIGHUP ? Event::kReload : Event::kShutdown;
}

}  // namespace nark::serve
