#include "narkctl/trace/apart.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <fstream>
#include <string>

#include "common/net/descriptor.h"

namespace nark::trace {
namespace {

using testing::HasSubstr;

class ApartTest : public testing::Test {
 protected:
  // What `work` wrote.
  absl::Status Do(absl::FunctionRef<int()> work) {
    return DoApart(file_.fd(), work, [this](ByteView bytes) {
      written_ += AsText(bytes);
      return absl::OkStatus();
    });
  }
  // How it ended.
  std::string EndOf(absl::FunctionRef<int()> work) { return std::string(Do(work).message()); }

  static std::string Made() {
    const std::string path = testing::TempDir() + "/file";
    std::ofstream(path) << "sound";
    return path;
  }
  const net::Descriptor file_{::open(Made().c_str(), O_RDONLY | O_CLOEXEC)};
  std::string written_;
};

TEST_F(ApartTest, ReadsItsFileAndWritesToItsParent) {
  const absl::Status status = Do([] {
    char buffer[16];
    const ssize_t got = ::read(STDIN_FILENO, buffer, sizeof buffer);
    return got > 0 && ::write(STDOUT_FILENO, buffer, static_cast<size_t>(got)) == got ? 0 : 1;
  });
  EXPECT_TRUE(status.ok()) << status;
  EXPECT_EQ(written_, "sound");
}

TEST_F(ApartTest, SaysHowItEnded) {
  EXPECT_THAT(EndOf([] { return 3; }), HasSubstr("failed"));
  EXPECT_THAT(EndOf([]() -> int { __builtin_trap(); }), HasSubstr("ended: Illegal instruction"));
}

TEST_F(ApartTest, HasNoOtherFile) {
  const net::Descriptor other(::open("/dev/null", O_RDONLY));
  const absl::Status status = Do([&] {
    char byte;
    return ::read(other.fd(), &byte, 1) < 0 && errno == EBADF ? 0 : 1;
  });
  EXPECT_TRUE(status.ok()) << status;
}

TEST_F(ApartTest, MayDoNothingElse) {
  const char* const ended = "ended: Bad system call";
  const absl::Status opened =
      Do([] { return ::open("/etc/passwd", O_RDONLY) < 0 && errno == ENOENT ? 0 : 1; });
  EXPECT_TRUE(opened.ok()) << opened;
  EXPECT_THAT(EndOf([] { return ::socket(AF_INET, SOCK_STREAM, 0) < 0 ? 0 : 0; }),
              HasSubstr(ended));
  EXPECT_THAT(EndOf([] { return ::unlink("/nowhere") < 0 ? 0 : 0; }), HasSubstr(ended));
  EXPECT_THAT(EndOf([]() -> int { return ::execl("/bin/true", "true", nullptr); }),
              HasSubstr(ended));
  EXPECT_THAT(EndOf([] { return ::fork() < 0 ? 0 : 0; }), HasSubstr(ended));
  EXPECT_THAT(EndOf([] { return ::kill(::getppid(), 0); }), HasSubstr(ended));
  EXPECT_THAT(EndOf([]() -> int { std::abort(); }), HasSubstr(ended));
}

TEST_F(ApartTest, EndsWhereItsParentHasEnough) {
  const absl::Status status = DoApart(
      file_.fd(),
      [] {
        for (const char bytes[4096] = {}; ::write(STDOUT_FILENO, bytes, sizeof bytes) > 0;)
          continue;
        return 0;
      },
      [](ByteView) { return absl::ResourceExhaustedError("enough"); });
  EXPECT_EQ(status.message(), "enough");
}

}  // namespace
}  // namespace nark::trace
