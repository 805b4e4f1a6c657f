#include "receiver/block_cache.h"

#include <gtest/gtest.h>
#include <stdlib.h>

#include <filesystem>
#include <string>

#include "common/base/status.h"
#include "common/base/storage.h"

namespace nark::receiver {
namespace {

class BlockCacheTest : public testing::Test {
 protected:
  BlockCacheTest() {
    const char* set = std::getenv("TEST_TMPDIR");
    root_ = std::string(set == nullptr ? "/tmp" : set) + "/cache-XXXXXX";
    if (::mkdtemp(root_.data()) == nullptr) std::abort();
  }
  ~BlockCacheTest() override {
    std::error_code ignored;
    std::filesystem::remove_all(root_, ignored);
  }
  static Digest Filled(uint8_t byte) {
    Digest digest;
    digest.fill(byte);
    return digest;
  }

  std::string root_;
};

TEST_F(BlockCacheTest, FindsWhatItKept) {
  const BlockCache cache(root_ + "/a/b");
  EXPECT_EQ(cache.Find(Filled(1), Filled(2)).status().code(), absl::StatusCode::kNotFound);
  const Bytes first(1000, 7), second(1000, 8);
  ASSERT_TRUE(cache.Keep(Filled(1), Filled(2), first).ok());
  ASSERT_TRUE(cache.Keep(Filled(1), Filled(3), second).ok());
  EXPECT_EQ(*BlockCache(root_ + "/a/b").Find(Filled(1), Filled(2)), first);
  EXPECT_EQ(*cache.Find(Filled(1), Filled(3)), second);
  ASSERT_TRUE(cache.Keep(Filled(1), Filled(2), second).ok());
  EXPECT_EQ(*cache.Find(Filled(1), Filled(2)), second);
  EXPECT_EQ(cache.Find(Filled(2), Filled(2)).status().code(), absl::StatusCode::kNotFound);
}

TEST_F(BlockCacheTest, IsItsOwnersAlone) {
  const BlockCache cache(root_ + "/mine");
  ASSERT_TRUE(cache.Keep(Filled(1), Filled(2), Bytes(10)).ok());
  using std::filesystem::perms;
  EXPECT_EQ(std::filesystem::status(root_ + "/mine").permissions(), perms::owner_all);
  for (const auto& entry : std::filesystem::directory_iterator(root_ + "/mine")) {
    EXPECT_EQ(entry.status().permissions(), perms::owner_read | perms::owner_write);
  }
}

TEST_F(BlockCacheTest, KeepsNothingWithoutAFolderAndSaysSo) {
  const BlockCache cache("");
  const absl::Status refused = cache.Keep(Filled(1), Filled(2), Bytes(10));
  EXPECT_EQ(refused.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_NE(Std(refused.message()).find("--cache"), std::string_view::npos);
  EXPECT_EQ(cache.Find(Filled(1), Filled(2)).status().code(), absl::StatusCode::kNotFound);
}

TEST_F(BlockCacheTest, SaysWhatKeptItFromKeeping) {
  const BlockCache cache("/proc/nowhere");
  const absl::Status refused = cache.Keep(Filled(1), Filled(2), Bytes(10));
  EXPECT_FALSE(refused.ok());
  EXPECT_NE(Std(refused.message()).find("/proc/nowhere"), std::string_view::npos);
}

TEST_F(BlockCacheTest, AFileInTheFoldersPlaceIsNamedOnce) {
  ASSERT_TRUE(WriteFile(root_ + "/file", Bytes(1), FileMode::kPublic).ok());
  for (const std::string& folder : {root_ + "/file", root_ + "/file/below"}) {
    const BlockCache cache(folder);
    EXPECT_EQ(cache.Find(Filled(1), Filled(2)).status().code(), absl::StatusCode::kNotFound);
    const absl::Status refused = cache.Keep(Filled(1), Filled(2), Bytes(10));
    EXPECT_EQ(refused.message(), "cannot make the folder " + folder + ": Not a directory");
  }
}

TEST_F(BlockCacheTest, TheFolderIsWhereUsersLook) {
  ::unsetenv("CACHE_DIRECTORY");
  ::unsetenv("XDG_CACHE_HOME");
  ::setenv("HOME", "/home/eve", 1);
  EXPECT_EQ(DefaultCacheFolder(), "/home/eve/.cache/nark");
  ::setenv("XDG_CACHE_HOME", "/var/eve", 1);
  EXPECT_EQ(DefaultCacheFolder(), "/var/eve/nark");
  ::setenv("CACHE_DIRECTORY", "/var/cache/nark:/var/cache/other", 1);
  EXPECT_EQ(DefaultCacheFolder(), "/var/cache/nark");
  ::unsetenv("CACHE_DIRECTORY");
  ::unsetenv("XDG_CACHE_HOME");
  ::unsetenv("HOME");
  EXPECT_EQ(DefaultCacheFolder(), "");
}

}  // namespace
}  // namespace nark::receiver
