#include "common/crypto/secret_file.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include "common/base/storage.h"

namespace nark {
namespace {

class SecretFileTest : public testing::Test {
 protected:
  ~SecretFileTest() override { ::unlink(path_.c_str()); }
  std::string path_ = testing::TempDir() + "/secret-" + std::to_string(::getpid());
};

TEST_F(SecretFileTest, ReadsTheWholeFile) {
  for (size_t size : {size_t{0}, size_t{5}, size_t{100'000}}) {
    ASSERT_TRUE(WriteFile(path_, Bytes(size, 7), FileMode::kSecret).ok());
    EXPECT_EQ(ToBytes(ReadSecretFile(path_).value().Reveal()), Bytes(size, 7));
  }
}

TEST_F(SecretFileTest, KeepsItsLimit) {
  ASSERT_TRUE(WriteFile(path_, Bytes(100, 7), FileMode::kSecret).ok());
  EXPECT_TRUE(ReadSecretFile(path_, 100).ok());
  EXPECT_EQ(ReadSecretFile(path_, 99).status().code(), absl::StatusCode::kResourceExhausted);
}

TEST_F(SecretFileTest, NamesTheFileItCannotRead) {
  absl::Status status = ReadSecretFile(path_).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kNotFound);
  EXPECT_NE(status.message().find(path_), absl::string_view::npos);
  EXPECT_EQ(ReadSecretFile(testing::TempDir()).status().code(), absl::StatusCode::kInvalidArgument);
}

}  // namespace
}  // namespace nark
