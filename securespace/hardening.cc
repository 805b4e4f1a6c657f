#include "securespace/hardening.h"

#include <dlfcn.h>
#include <fcntl.h>
#include <sched.h>
#include <seccomp.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <initializer_list>
#include <memory>

#include "absl/strings/str_cat.h"
#include "common/base/status.h"
#include "common/crypto/secret_bytes.h"

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define NARK_SANITIZED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define NARK_SANITIZED 1
#endif
#endif

namespace nark::securespace {
namespace {

// What threads, the C library, gRPC's loops, the log and the state's files call.
[[maybe_unused]] constexpr int kAllowed[] = {
    // Memory and threads.
    SCMP_SYS(brk), SCMP_SYS(munmap), SCMP_SYS(mremap), SCMP_SYS(madvise), SCMP_SYS(mlock),
    SCMP_SYS(mlock2), SCMP_SYS(munlock), SCMP_SYS(futex), SCMP_SYS(exit), SCMP_SYS(exit_group),
    SCMP_SYS(set_robust_list), SCMP_SYS(rseq), SCMP_SYS(sched_yield), SCMP_SYS(sched_getaffinity),
    SCMP_SYS(membarrier), SCMP_SYS(gettid), SCMP_SYS(getpid), SCMP_SYS(getuid), SCMP_SYS(geteuid),
    SCMP_SYS(getgid), SCMP_SYS(getegid), SCMP_SYS(sigaltstack), SCMP_SYS(rt_sigaction),
    SCMP_SYS(rt_sigprocmask), SCMP_SYS(rt_sigreturn), SCMP_SYS(tgkill), SCMP_SYS(restart_syscall),
    SCMP_SYS(getcpu), SCMP_SYS(sysinfo), SCMP_SYS(sched_getparam), SCMP_SYS(sched_getscheduler),
    SCMP_SYS(sched_get_priority_max), SCMP_SYS(sched_get_priority_min),
    // Time and randomness.
    SCMP_SYS(clock_gettime), SCMP_SYS(clock_nanosleep), SCMP_SYS(clock_getres),
    SCMP_SYS(gettimeofday), SCMP_SYS(nanosleep), SCMP_SYS(getrandom),
    // Waiting.
    SCMP_SYS(poll), SCMP_SYS(ppoll), SCMP_SYS(epoll_create1), SCMP_SYS(epoll_ctl),
    SCMP_SYS(epoll_wait), SCMP_SYS(epoll_pwait), SCMP_SYS(eventfd2), SCMP_SYS(pipe2),
    // Descriptors that are open. Paths open files only: it may not start a program,
    // and sends to nobody but its peers.
    SCMP_SYS(read), SCMP_SYS(write), SCMP_SYS(readv), SCMP_SYS(writev), SCMP_SYS(pread64),
    SCMP_SYS(pwrite64), SCMP_SYS(lseek), SCMP_SYS(close), SCMP_SYS(fcntl), SCMP_SYS(fstat),
    SCMP_SYS(newfstatat), SCMP_SYS(stat), SCMP_SYS(lstat), SCMP_SYS(statx), SCMP_SYS(openat),
    SCMP_SYS(open), SCMP_SYS(access), SCMP_SYS(faccessat), SCMP_SYS(fsync), SCMP_SYS(fdatasync),
    SCMP_SYS(ftruncate), SCMP_SYS(fallocate), SCMP_SYS(fchmod), SCMP_SYS(rename),
    SCMP_SYS(renameat), SCMP_SYS(renameat2), SCMP_SYS(unlink), SCMP_SYS(unlinkat), SCMP_SYS(flock),
    SCMP_SYS(getdents64), SCMP_SYS(readlink), SCMP_SYS(readlinkat),
    // Peers of the socket that is listened on.
    SCMP_SYS(accept4), SCMP_SYS(recvmsg), SCMP_SYS(sendmsg), SCMP_SYS(recvfrom), SCMP_SYS(sendto),
    SCMP_SYS(shutdown), SCMP_SYS(getsockopt), SCMP_SYS(setsockopt), SCMP_SYS(getsockname),
    SCMP_SYS(getpeername)};

#ifndef NARK_SANITIZED
absl::Status Failed(int error, const char* what) {
  return absl::ErrnoToStatus(error, absl::StrCat("cannot confine system calls: ", what));
}

// glibc maps it when a thread is cancelled or ends by pthread_exit, which must not find
// mapping forbidden. Never closed.
absl::Status MapWhatIsMappedLate() {
  if (::dlopen("libgcc_s.so.1", RTLD_NOW) != nullptr) return absl::OkStatus();
  return absl::FailedPreconditionError("cannot confine system calls: libgcc_s.so.1 is missing");
}

int AddRules(scmp_filter_ctx filter, UnixSockets sockets) {
  for (int call : kAllowed) {
    if (int error = seccomp_rule_add(filter, SCMP_ACT_ALLOW, call, 0); error != 0) return error;
  }
  const auto allow = [filter](int call, scmp_arg_cmp condition) {
    return seccomp_rule_add(filter, SCMP_ACT_ALLOW, call, 1, condition);
  };
  int error = 0;
  const auto note = [&error](int result) { error = error != 0 ? error : result; };
  // Threads, never processes. glibc falls back to clone where clone3, whose flags no
  // filter can see, is not there.
  note(allow(SCMP_SYS(clone), SCMP_A0(SCMP_CMP_MASKED_EQ, CLONE_THREAD, CLONE_THREAD)));
  note(seccomp_rule_add(filter, SCMP_ACT_ERRNO(ENOSYS), SCMP_SYS(clone3), 0));
  // Nothing new is made to run: neither what was mapped to be written, nor a file.
  note(allow(SCMP_SYS(mmap), SCMP_A2(SCMP_CMP_MASKED_EQ, PROT_EXEC, 0)));
  note(allow(SCMP_SYS(mprotect), SCMP_A2(SCMP_CMP_MASKED_EQ, PROT_EXEC, 0)));
  note(allow(SCMP_SYS(prctl), SCMP_A0(SCMP_CMP_EQ, PR_SET_NAME)));
  note(allow(SCMP_SYS(ioctl), SCMP_A1(SCMP_CMP_EQ, FIONREAD)));
  note(allow(SCMP_SYS(ioctl), SCMP_A1(SCMP_CMP_EQ, FIONBIO)));
  note(allow(SCMP_SYS(socket), SCMP_A0(SCMP_CMP_EQ, AF_UNIX)));
  // No filter sees the address, but no socket of another family is there to connect.
  if (sockets == UnixSockets::kMayCall) {
    note(seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(connect), 0));
  }
  // Reading limits, not setting them: the new limit's pointer is null.
  note(seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(prlimit64), 1, SCMP_A2(SCMP_CMP_EQ, 0)));
  return error;
}
#endif

}  // namespace

absl::Status KeepMemoryPrivate() {
  RETURN_IF_ERROR(DisableCoreDumps());
  if (::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) {
    return absl::ErrnoToStatus(errno, "cannot give up new privileges");
  }
  // With a finite limit a later mmap would fail.
  rlimit limit{};
  if (::getrlimit(RLIMIT_MEMLOCK, &limit) == 0 && limit.rlim_cur == RLIM_INFINITY) {
    (void)::mlockall(MCL_CURRENT | MCL_FUTURE | MCL_ONFAULT);
  }
  // The first secret of its size makes the arena, while it may still be locked.
  SecretBytes arena(1024);
  return absl::OkStatus();
}

#ifdef NARK_SANITIZED
absl::Status ConfineSystemCalls(UnixSockets) { return absl::OkStatus(); }
bool SystemCallsAreConfined() { return false; }
#else
absl::Status ConfineSystemCalls(UnixSockets sockets) {
  RETURN_IF_ERROR(MapWhatIsMappedLate());
  const std::unique_ptr<void, void (*)(void*)> filter(seccomp_init(SCMP_ACT_KILL_PROCESS),
                                                      seccomp_release);
  if (filter == nullptr) return Failed(ENOMEM, "no filter");
  if (int error = AddRules(filter.get(), sockets); error != 0) return Failed(-error, "a rule");
  if (int error = seccomp_attr_set(filter.get(), SCMP_FLTATR_CTL_TSYNC, 1); error != 0) {
    return Failed(-error, "all threads at once");
  }
  if (int error = seccomp_load(filter.get()); error != 0) return Failed(-error, "load");
  return absl::OkStatus();
}
bool SystemCallsAreConfined() { return true; }
#endif

}  // namespace nark::securespace
