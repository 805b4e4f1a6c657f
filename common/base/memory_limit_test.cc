#include "common/base/memory_limit.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <string>

namespace nark {
namespace {

class MemoryLimitTest : public testing::Test {
 protected:
  void Write(const std::string& path, const std::string& text) {
    const std::filesystem::path file = root_ + path;
    std::filesystem::create_directories(file.parent_path());
    std::ofstream(file) << text;
  }
  uint64_t Limit() { return MemoryLimitAt(root_, 1000); }

  const std::string root_ =
      testing::TempDir() + "/" + testing::UnitTest::GetInstance()->current_test_info()->name();
};

TEST_F(MemoryLimitTest, IsTheMachinesWhereNothingElseIs) {
  EXPECT_EQ(Limit(), 1000u);
  Write("/proc/self/cgroup", "0::/nark.slice\n");
  EXPECT_EQ(Limit(), 1000u);
  Write("/sys/fs/cgroup/nark.slice/memory.max", "max\n");
  EXPECT_EQ(Limit(), 1000u);
  Write("/sys/fs/cgroup/nark.slice/memory.max", "5000\n");
  EXPECT_EQ(Limit(), 1000u);
}

TEST_F(MemoryLimitTest, IsTheLeastOfTheGroupsAboveOne) {
  Write("/proc/self/cgroup", "0::/nark.slice/one.service\n");
  Write("/sys/fs/cgroup/nark.slice/one.service/memory.max", "700\n");
  EXPECT_EQ(Limit(), 700u);
  Write("/sys/fs/cgroup/nark.slice/memory.max", "300\n");
  EXPECT_EQ(Limit(), 300u);
}

TEST_F(MemoryLimitTest, IsTheContainersInItsOwnNamespace) {
  Write("/proc/self/cgroup", "0::/\n");
  Write("/sys/fs/cgroup/memory.max", "500\n");
  EXPECT_EQ(Limit(), 500u);
}

TEST_F(MemoryLimitTest, KnowsTheFirstVersion) {
  Write("/proc/self/cgroup", "4:cpu,cpuacct:/x\n3:memory:/docker/7f\n0::/\n");
  Write("/sys/fs/cgroup/memory/memory.limit_in_bytes", "9223372036854771712\n");
  EXPECT_EQ(Limit(), 1000u);
  Write("/sys/fs/cgroup/memory/docker/7f/memory.limit_in_bytes", "400\n");
  EXPECT_EQ(Limit(), 400u);
}

TEST(MemoryLimitHereTest, IsSomething) { EXPECT_GT(MemoryLimit(), uint64_t{64} << 20); }

}  // namespace
}  // namespace nark
