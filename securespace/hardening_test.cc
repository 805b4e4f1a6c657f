#include "securespace/hardening.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <pthread.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <fstream>
#include <functional>
#include <string>
#include <thread>

namespace nark::securespace {
namespace {

// How a confined child ends that does this; 0 for a clean end.
int EndOf(const std::function<void()>& deed, UnixSockets sockets = UnixSockets::kAreCalled) {
  const pid_t child = fork();
  if (child == 0) {
    if (!KeepMemoryPrivate().ok() || !ConfineSystemCalls(sockets).ok()) _exit(99);
    deed();
    _exit(0);
  }
  int status = 0;
  EXPECT_EQ(waitpid(child, &status, 0), child);
  return WIFSIGNALED(status) ? WTERMSIG(status) : 1000 * WEXITSTATUS(status);
}

std::string FieldOfStatus(const std::string& name) {
  std::ifstream file("/proc/self/status");
  for (std::string line; std::getline(file, line);) {
    if (line.rfind(name + ":", 0) == 0) return line.substr(name.size() + 2);
  }
  return "";
}

class HardeningTest : public testing::Test {
 protected:
  void SetUp() override {
    // The build says so by SystemCallsAreConfined, and serve to its log.
    if (!SystemCallsAreConfined()) kill_ = 0;
  }
  int kill_ = SIGSYS;
};

TEST_F(HardeningTest, WhatAThiefWouldCallKills) {
  EXPECT_EQ(EndOf([] {}), 0);
  if (kill_ == 0) return;
  EXPECT_EQ(EndOf([] { execl("/bin/true", "true", nullptr); }), SIGSYS);
  EXPECT_EQ(EndOf([] { (void)socket(AF_INET, SOCK_STREAM, 0); }), SIGSYS);
  EXPECT_EQ(EndOf([] { (void)socket(AF_INET6, SOCK_DGRAM, 0); }), SIGSYS);
  EXPECT_EQ(EndOf([] { (void)ptrace(PTRACE_TRACEME, 0, nullptr, nullptr); }), SIGSYS);
  EXPECT_EQ(EndOf([] { (void)process_vm_readv(getpid(), nullptr, 0, nullptr, 0, 0); }), SIGSYS);
  EXPECT_EQ(EndOf([] { (void)fork(); }), SIGSYS);
  EXPECT_EQ(EndOf([] {
              void* page = mmap(nullptr, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
              (void)mprotect(page, 4096, PROT_READ | PROT_EXEC);
            }),
            SIGSYS);
  EXPECT_EQ(EndOf([] {
              rlimit limit{1, 1};
              (void)setrlimit(RLIMIT_CORE, &limit);
            }),
            SIGSYS);
}

TEST_F(HardeningTest, NothingNewMayRun) {
  if (kill_ == 0) return;
  constexpr int kExecutable = PROT_READ | PROT_EXEC;
  EXPECT_EQ(
      EndOf([] { (void)mmap(nullptr, 4096, kExecutable, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0); }),
      SIGSYS);
  const int file = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
  ASSERT_GE(file, 0);
  EXPECT_EQ(EndOf([file] { (void)mmap(nullptr, 4096, kExecutable, MAP_PRIVATE, file, 0); }),
            SIGSYS);
  EXPECT_EQ(EndOf([file] {
              if (mmap(nullptr, 4096, PROT_READ, MAP_PRIVATE, file, 0) == MAP_FAILED) _exit(1);
            }),
            0);
  close(file);
}

// Which unwinds its stack by a library that glibc maps then.
TEST_F(HardeningTest, AThreadEndsInItsMiddle) {
  EXPECT_EQ(EndOf([] {
              pthread_t thread;
              const auto end = [](void*) -> void* { pthread_exit(nullptr); };
              if (pthread_create(&thread, nullptr, end, nullptr) != 0) _exit(1);
              if (pthread_join(thread, nullptr) != 0) _exit(2);
            }),
            0);
}

TEST_F(HardeningTest, UnixSocketsAreCalledOnlyWhereThatIsAskedFor) {
  const auto call = [] {
    sockaddr_un nobody{.sun_family = AF_UNIX, .sun_path = "/tmp/nobody"};
    const int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    (void)connect(fd, reinterpret_cast<const sockaddr*>(&nobody), sizeof(nobody));
  };
  EXPECT_EQ(EndOf(call), kill_);
  EXPECT_EQ(EndOf(call, UnixSockets::kMayCall), 0);
  EXPECT_EQ(EndOf([] { (void)socket(AF_INET, SOCK_STREAM, 0); }, UnixSockets::kMayCall), kill_);
}

TEST_F(HardeningTest, ThreadsStartAndFilesOpen) {
  EXPECT_EQ(EndOf([] {
              std::thread([] {}).join();
              const int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
              if (fd < 0 || socket(AF_UNIX, SOCK_STREAM, 0) < 0) _exit(1);
            }),
            0);
}

TEST_F(HardeningTest, TheKernelSaysSo) {
  EXPECT_EQ(EndOf([] {
              if (FieldOfStatus("NoNewPrivs") != "1") _exit(1);
              if (SystemCallsAreConfined() && FieldOfStatus("Seccomp") != "2") _exit(2);
              if (FieldOfStatus("VmLck").find_first_not_of("\t 0kB") == std::string::npos) _exit(3);
              rlimit limit{};
              if (getrlimit(RLIMIT_CORE, &limit) != 0 || limit.rlim_max != 0) _exit(4);
            }),
            0);
}

}  // namespace
}  // namespace nark::securespace
