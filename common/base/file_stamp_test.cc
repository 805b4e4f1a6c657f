#include "common/base/file_stamp.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include "common/base/bytes.h"
#include "common/base/storage.h"

namespace nark {
namespace {

TEST(FileStampTest, IsAnotherWhereAFileWasReplacedRewrittenOrRemoved) {
  const std::string path = testing::TempDir() + "/stamped";
  const auto write = [&] { ASSERT_TRUE(WriteFile(path, AsBytes("x"), FileMode::kPublic).ok()); };
  write();
  const FileStamp first = StampOf(path);
  EXPECT_NE(first, FileStamp{});
  EXPECT_EQ(StampOf(path), first);
  write();  // the same bytes in another file
  EXPECT_NE(StampOf(path), first);
  const FileStamp second = StampOf(path);
  ASSERT_EQ(truncate(path.c_str(), 0), 0);
  EXPECT_NE(StampOf(path), second);
  unlink(path.c_str());
  EXPECT_EQ(StampsOf({path, testing::TempDir()}), std::vector<FileStamp>(2));
}

}  // namespace
}  // namespace nark
