#include "common/base/storage.h"

#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>

namespace nark {
namespace {

class StorageTest : public testing::Test {
 protected:
  StorageTest() {
    std::string pattern = testing::TempDir() + "/nark-storage-XXXXXX";
    folder_ = ::mkdtemp(pattern.data());
  }
  ~StorageTest() override { std::filesystem::remove_all(folder_); }

  static mode_t ModeOf(const std::string& path) {
    struct stat info {};
    EXPECT_EQ(::stat(path.c_str(), &info), 0) << path;
    return info.st_mode & 0777;
  }
  size_t Files() const {
    size_t count = 0;
    for (const auto& entry : std::filesystem::directory_iterator(folder_)) {
      (void)entry;
      ++count;
    }
    return count;
  }

  std::string folder_;
};

TEST_F(StorageTest, ReadsWhatWasReplaced) {
  FolderStorage storage(folder_);
  ASSERT_TRUE(storage.Replace("state", AsBytes("one")).ok());
  ASSERT_TRUE(storage.Replace("state", AsBytes("two, longer")).ok());
  ASSERT_TRUE(storage.Replace("state", AsBytes("3")).ok());
  EXPECT_EQ(storage.Read("state").value(), ToBytes(AsBytes("3")));
  EXPECT_EQ(Files(), 1u) << "a temporary file was left";
}

TEST_F(StorageTest, WhatIsNotThereIsNotFoundAndNamed) {
  FolderStorage storage(folder_);
  absl::Status status = storage.Read("nothing").status();
  EXPECT_EQ(status.code(), absl::StatusCode::kNotFound);
  EXPECT_NE(status.message().find(folder_ + "/nothing"), absl::string_view::npos) << status;
}

TEST_F(StorageTest, StateIsReadableByItsOwnerAlone) {
  FolderStorage storage(folder_);
  ASSERT_TRUE(storage.Replace("state", AsBytes("x")).ok());
  EXPECT_EQ(ModeOf(folder_ + "/state"), 0600u);
  ASSERT_TRUE(storage.OpenAppend("journal").ok());
  EXPECT_EQ(ModeOf(folder_ + "/journal"), 0600u);
}

TEST_F(StorageTest, AppendingContinuesAtTheEnd) {
  FolderStorage storage(folder_);
  for (std::string_view part : {"ab", "", "cd"}) {
    auto file = storage.OpenAppend("journal");
    ASSERT_TRUE(file.ok());
    ASSERT_TRUE((*file)->Append(AsBytes(part)).ok());
    ASSERT_TRUE((*file)->Sync().ok());
  }
  EXPECT_EQ(AsText(storage.Read("journal").value()), "abcd");
}

TEST_F(StorageTest, RemovingIsRepeatable) {
  FolderStorage storage(folder_);
  ASSERT_TRUE(storage.Replace("state", AsBytes("x")).ok());
  EXPECT_TRUE(storage.Remove("state").ok());
  EXPECT_TRUE(storage.Remove("state").ok());
  EXPECT_EQ(storage.Read("state").status().code(), absl::StatusCode::kNotFound);
}

TEST_F(StorageTest, NamesThatLeaveTheFolderAreRefused) {
  FolderStorage storage(folder_);
  for (std::string_view name : {"", ".", "..", "a/b", "/etc/passwd", "../x"}) {
    EXPECT_EQ(storage.Read(name).status().code(), absl::StatusCode::kInvalidArgument) << name;
    EXPECT_EQ(storage.Replace(name, {}).code(), absl::StatusCode::kInvalidArgument) << name;
    EXPECT_EQ(storage.OpenAppend(name).status().code(), absl::StatusCode::kInvalidArgument) << name;
    EXPECT_EQ(storage.Remove(name).code(), absl::StatusCode::kInvalidArgument) << name;
  }
}

TEST_F(StorageTest, WriteFileSetsTheModeWhateverStoodThere) {
  std::string path = folder_ + "/key.pem";
  ASSERT_TRUE(WriteFile(path, AsBytes("public"), FileMode::kPublic).ok());
  EXPECT_EQ(ModeOf(path), 0644u);
  ASSERT_TRUE(WriteFile(path + ".new", AsBytes("left by a crash"), FileMode::kPublic).ok());
  ASSERT_TRUE(WriteFile(path, AsBytes("secret"), FileMode::kSecret).ok());
  EXPECT_EQ(ModeOf(path), 0600u);
  EXPECT_EQ(AsText(ReadFile(path).value()), "secret");
}

TEST_F(StorageTest, WriteFileDoesNotFollowALinkLeftInItsPlace) {
  std::string victim = folder_ + "/victim";
  ASSERT_TRUE(WriteFile(victim, AsBytes("precious"), FileMode::kPublic).ok());
  ASSERT_EQ(::symlink(victim.c_str(), (folder_ + "/file.new").c_str()), 0);
  ASSERT_TRUE(WriteFile(folder_ + "/file", AsBytes("x"), FileMode::kPublic).ok());
  EXPECT_EQ(AsText(ReadFile(victim).value()), "precious");
}

TEST_F(StorageTest, AFailedWriteLeavesTheOldFile) {
  absl::Status status = WriteFile(folder_ + "/no/such/file", AsBytes("x"), FileMode::kPublic);
  EXPECT_EQ(status.code(), absl::StatusCode::kNotFound);
  ASSERT_EQ(::mkdir((folder_ + "/taken").c_str(), 0700), 0);
  EXPECT_FALSE(WriteFile(folder_ + "/taken", AsBytes("x"), FileMode::kPublic).ok());
  EXPECT_EQ(Files(), 1u) << "a temporary file was left";
}

TEST_F(StorageTest, WhetherAFileCanBeWrittenIsKnownBefore) {
  const std::string path = folder_ + "/file";
  EXPECT_TRUE(CheckCanWrite(path).ok());
  EXPECT_EQ(Files(), 0u) << "it was tried, and no more";
  ASSERT_TRUE(WriteFile(path, AsBytes("old"), FileMode::kPublic).ok());
  EXPECT_TRUE(CheckCanWrite(path).ok());
  EXPECT_EQ(AsText(ReadFile(path).value()), "old");
  EXPECT_EQ(CheckCanWrite(folder_ + "/no/such/file").code(), absl::StatusCode::kNotFound);
  EXPECT_FALSE(CheckCanWrite(folder_).ok());
}

TEST_F(StorageTest, ReadFileKeepsItsLimit) {
  std::string path = folder_ + "/big";
  ASSERT_TRUE(WriteFile(path, Bytes(100'000, 7), FileMode::kPublic).ok());
  EXPECT_EQ(ReadFile(path, 100'000).value().size(), 100'000u);
  EXPECT_EQ(ReadFile(path, 99'999).status().code(), absl::StatusCode::kResourceExhausted);
}

TEST_F(StorageTest, AFolderIsNotAFile) {
  EXPECT_EQ(ReadFile(folder_).status().code(), absl::StatusCode::kInvalidArgument);
}

}  // namespace
}  // namespace nark
