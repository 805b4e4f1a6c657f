#include "narkctl/trace/apart.h"

#include <fcntl.h>
#include <seccomp.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <csignal>
#include <cstring>
#include <memory>

#include "absl/strings/str_cat.h"
#include "common/base/sanitized.h"
#include "common/base/status.h"
#include "common/net/descriptor.h"

namespace nark::trace {
namespace {

constexpr size_t kPipeBytes = 1 << 18;
constexpr rlim_t kMostSeconds = 300;
constexpr int kNotConfined = 125;

// Files that are open, memory, the end, and what the C library asks of the machine (qsort how
// much memory there is). No signals: not even abort()'s, which ends it all the same.
constexpr int kAllowed[] = {
    SCMP_SYS(read),         SCMP_SYS(pread64),      SCMP_SYS(write),
    SCMP_SYS(lseek),        SCMP_SYS(fstat),        SCMP_SYS(close),
    SCMP_SYS(brk),          SCMP_SYS(munmap),       SCMP_SYS(mremap),
    SCMP_SYS(madvise),      SCMP_SYS(futex),        SCMP_SYS(exit),
    SCMP_SYS(exit_group),   SCMP_SYS(rt_sigaction), SCMP_SYS(rt_sigprocmask),
    SCMP_SYS(rt_sigreturn), SCMP_SYS(getrandom),    SCMP_SYS(clock_gettime),
    SCMP_SYS(sched_yield),  SCMP_SYS(sysinfo),      SCMP_SYS(sched_getaffinity)};

int AddRules(scmp_filter_ctx filter) {
  int error = 0;
  const auto note = [&error](int result) { error = error != 0 ? error : result; };
  for (const int call : kAllowed) note(seccomp_rule_add(filter, SCMP_ACT_ALLOW, call, 0));
  // libsndfile looks beside a file for what else a Macintosh would keep of it.
  for (const int call : {SCMP_SYS(open), SCMP_SYS(openat)}) {
    note(seccomp_rule_add(filter, SCMP_ACT_ERRNO(ENOENT), call, 0));
  }
  // fstat as glibc calls it: of a descriptor, and no path.
  note(seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(newfstatat), 1,
                        SCMP_A3(SCMP_CMP_EQ, AT_EMPTY_PATH)));
  note(seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(mmap), 1,
                        SCMP_A2(SCMP_CMP_MASKED_EQ, PROT_EXEC, 0)));
  note(seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(mprotect), 1,
                        SCMP_A2(SCMP_CMP_MASKED_EQ, PROT_EXEC, 0)));
  return error;
}

bool Confine() {
  // Not beyond its parent.
  if (::prctl(PR_SET_PDEATHSIG, SIGKILL) != 0) return false;
  const rlimit seconds{kMostSeconds, kMostSeconds}, none{0, 0};
  if (::setrlimit(RLIMIT_CPU, &seconds) != 0 || ::setrlimit(RLIMIT_CORE, &none) != 0 ||
      ::setrlimit(RLIMIT_FSIZE, &none) != 0) {
    return false;
  }
  if (kSanitized) return true;
  const std::unique_ptr<void, void (*)(void*)> filter(seccomp_init(SCMP_ACT_KILL_PROCESS),
                                                      seccomp_release);
  return filter != nullptr && AddRules(filter.get()) == 0 && seccomp_load(filter.get()) == 0;
}

// What a stranger has a say in does not reach the terminal; sanitizers tell there what they find.
constexpr int kFirstClosed = kSanitized ? STDERR_FILENO + 1 : STDERR_FILENO;

// In the child, which has memory of its parent's and must leave without its destructors.
[[noreturn]] void BeChild(int file, int pipe, absl::FunctionRef<int()> work) {
  const bool ready = ::dup2(file, STDIN_FILENO) >= 0 && ::dup2(pipe, STDOUT_FILENO) >= 0;
  ::closefrom(kFirstClosed);
  ::_exit(ready && Confine() ? work() : kNotConfined);
}

absl::Status TakeAll(int pipe, absl::FunctionRef<absl::Status(ByteView)> take) {
  Bytes buffer(kPipeBytes);
  for (;;) {
    const ssize_t got = ::read(pipe, buffer.data(), buffer.size());
    if (got == 0) return absl::OkStatus();
    if (got > 0) {
      RETURN_IF_ERROR(take(ByteView(buffer).first(static_cast<size_t>(got))));
    } else if (errno != EINTR) {
      return absl::ErrnoToStatus(errno, "cannot read what a process wrote");
    }
  }
}

absl::Status EndOf(pid_t child) {
  int status = 0;
  while (::waitpid(child, &status, 0) < 0) {
    if (errno != EINTR) return absl::ErrnoToStatus(errno, "cannot wait for a process");
  }
  if (WIFEXITED(status) && WEXITSTATUS(status) == 0) return absl::OkStatus();
  if (WIFSIGNALED(status)) {
    return absl::InternalError(
        absl::StrCat("the process that read it was ended: ", ::strsignal(WTERMSIG(status))));
  }
  if (WEXITSTATUS(status) == kNotConfined) {
    return absl::FailedPreconditionError(
        "the kernel lets no process be confined (seccomp), and none else reads a stranger's file");
  }
  return absl::InternalError("the process that read it failed");
}

}  // namespace

absl::Status DoApart(int file, absl::FunctionRef<int()> work,
                     absl::FunctionRef<absl::Status(ByteView)> take) {
  std::array<int, 2> ends;
  if (::pipe2(ends.data(), O_CLOEXEC) != 0) return absl::ErrnoToStatus(errno, "no pipe");
  const net::Descriptor read_end(ends[0]);
  net::Descriptor write_end(ends[1]);
  const pid_t child = ::fork();
  if (child < 0) return absl::ErrnoToStatus(errno, "no process");
  if (child == 0) BeChild(file, write_end.fd(), work);
  write_end = net::Descriptor();
  const absl::Status taken = TakeAll(read_end.fd(), take);
  if (!taken.ok()) (void)::kill(child, SIGKILL);
  const absl::Status ended = EndOf(child);
  return taken.ok() ? ended : taken;
}

}  // namespace nark::trace
