#include "refunds/command_payer.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/base/status.h"
#include "common/net/descriptor.h"

namespace nark::refunds {
namespace {

absl::Status SystemError(std::string_view what, int error) {
  return absl::UnavailableError(absl::StrCat(Absl(what), ": ", std::strerror(error)));
}

// The order as a file: a pipe could fill up, or break with a signal.
absl::StatusOr<net::Descriptor> OrderFile(const std::string& json) {
  net::Descriptor file(::memfd_create("payment order", MFD_CLOEXEC));
  if (file.fd() < 0) return SystemError("memfd_create", errno);
  const std::string text = json + "\n";
  for (size_t done = 0; done < text.size();) {
    const ssize_t wrote = ::write(file.fd(), text.data() + done, text.size() - done);
    if (wrote < 0) return SystemError("payment order", errno);
    done += static_cast<size_t>(wrote);
  }
  if (::lseek(file.fd(), 0, SEEK_SET) < 0) return SystemError("payment order", errno);
  return file;
}

// How to start it: a process group of its own, so that it can be killed whole; no
// descriptor and no blocked signal of this process.
class SpawnSettings {
 public:
  explicit SpawnSettings(int input) {
    posix_spawn_file_actions_init(&actions_);
    posix_spawn_file_actions_adddup2(&actions_, input, 0);
    posix_spawn_file_actions_adddup2(&actions_, 2, 1);
    posix_spawn_file_actions_addclosefrom_np(&actions_, 3);
    posix_spawnattr_init(&attributes_);
    sigset_t none, defaults;
    sigemptyset(&none);
    sigemptyset(&defaults);
    sigaddset(&defaults, SIGPIPE);
    posix_spawnattr_setsigmask(&attributes_, &none);
    posix_spawnattr_setsigdefault(&attributes_, &defaults);
    posix_spawnattr_setpgroup(&attributes_, 0);
    posix_spawnattr_setflags(
        &attributes_, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETPGROUP);
  }
  ~SpawnSettings() {
    posix_spawnattr_destroy(&attributes_);
    posix_spawn_file_actions_destroy(&actions_);
  }
  SpawnSettings(const SpawnSettings&) = delete;
  SpawnSettings& operator=(const SpawnSettings&) = delete;

  const posix_spawn_file_actions_t* actions() const { return &actions_; }
  const posix_spawnattr_t* attributes() const { return &attributes_; }

 private:
  posix_spawn_file_actions_t actions_;
  posix_spawnattr_t attributes_;
};

// What the program finds in its environment: all but what the desk's own ledger and flags
// are set by, a password of the database's perhaps.
std::vector<char*> EnvironmentForOthers() {
  std::vector<char*> variables;
  for (char** variable = environ; *variable != nullptr; ++variable) {
    const std::string_view text = *variable;
    if (!text.starts_with("PG") && !text.starts_with("NARK_")) variables.push_back(*variable);
  }
  variables.push_back(nullptr);
  return variables;
}

class CommandPayer final : public Payer {
 public:
  CommandPayer(std::string path, std::chrono::milliseconds timeout, net::Descriptor cancelled)
      : path_(std::move(path)), timeout_(timeout), cancelled_(std::move(cancelled)) {}

  absl::Status Pay(const PaymentOrder& order) override {
    ASSIGN_OR_RETURN(const net::Descriptor input, OrderFile(order.json));
    const SpawnSettings settings(input.fd());
    char* const arguments[] = {const_cast<char*>(path_.c_str()), nullptr};
    pid_t pid = -1;
    const int error = ::posix_spawn(&pid, path_.c_str(), settings.actions(), settings.attributes(),
                                    arguments, EnvironmentForOthers().data());
    if (error != 0) return SystemError(path_, error);
    return Wait(pid);
  }

  std::chrono::milliseconds longest() const override { return timeout_; }

  void Cancel() override { ::eventfd_write(cancelled_.fd(), 1); }

 private:
  absl::Status Wait(pid_t pid) {
    const net::Descriptor ended(static_cast<int>(::syscall(SYS_pidfd_open, pid, 0)));
    const absl::Status waited =
        ended.fd() >= 0 ? WaitUntil(ended.fd()) : SystemError("pidfd_open", errno);
    // Also what it left behind.
    if (!waited.ok()) ::kill(-pid, SIGKILL);
    int status = 0;
    while (::waitpid(pid, &status, 0) < 0) {
      if (errno != EINTR) return SystemError("waitpid", errno);
    }
    RETURN_IF_ERROR(waited);
    if (WIFEXITED(status) && WEXITSTATUS(status) == 0) return absl::OkStatus();
    return absl::UnavailableError(
        WIFEXITED(status) ? absl::StrCat(path_, ": exit status ", WEXITSTATUS(status))
                          : absl::StrCat(path_, ": ended by signal ", WTERMSIG(status)));
  }

  absl::Status WaitUntil(int ended) const {
    const auto end = std::chrono::steady_clock::now() + timeout_;
    pollfd waits[] = {{ended, POLLIN, 0}, {cancelled_.fd(), POLLIN, 0}};
    for (;;) {
      const auto left =
          std::chrono::ceil<std::chrono::milliseconds>(end - std::chrono::steady_clock::now());
      if (left.count() <= 0) {
        return absl::DeadlineExceededError(
            absl::StrCat(path_, ": not done within ", timeout_.count(), " ms"));
      }
      const int ready = ::poll(waits, 2, static_cast<int>(left.count()));
      if (ready < 0 && errno != EINTR) return SystemError("poll", errno);
      if (waits[0].revents != 0) return absl::OkStatus();
      if (waits[1].revents != 0) return absl::CancelledError("the desk is ending");
    }
  }

  const std::string path_;
  const std::chrono::milliseconds timeout_;
  const net::Descriptor cancelled_;  // never read: stays readable
};

}  // namespace

absl::StatusOr<std::unique_ptr<Payer>> MakeCommandPayer(const std::string& path,
                                                        std::chrono::milliseconds timeout) {
  struct stat found {};
  if (::stat(path.c_str(), &found) != 0) {
    return absl::InvalidArgumentError(absl::StrCat(path, ": ", std::strerror(errno)));
  }
  if (!S_ISREG(found.st_mode) || ::access(path.c_str(), X_OK) != 0) {
    return absl::InvalidArgumentError(
        absl::StrCat(path, ": no program that may be run; a command has no arguments here"));
  }
  // Where this process was started with it ignored, no exit status would come back, and
  // what was paid would be paid again.
  ::signal(SIGCHLD, SIG_DFL);
  net::Descriptor cancelled(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  if (cancelled.fd() < 0) return SystemError("eventfd", errno);
  return std::make_unique<CommandPayer>(path, timeout, std::move(cancelled));
}

}  // namespace nark::refunds
