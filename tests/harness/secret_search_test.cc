#include "tests/harness/secret_search.h"

#include <gtest/gtest.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <filesystem>
#include <map>
#include <set>
#include <stdexcept>
#include <string>

#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "tests/harness/process.h"

namespace nark::harness {
namespace {

using Names = std::set<std::string>;

std::string Secret(char first) {
  std::string secret;
  for (int i = 0; i < 32; ++i) secret.push_back(static_cast<char>(first + 7 * i));
  return secret;
}

class SecretSearchTest : public testing::Test {
 protected:
  SecretSearchTest() {
    search_.Add("a", Secret(3));
    search_.Add("b", Secret(90));
  }
  SecretSearch search_;
};

TEST_F(SecretSearchTest, FindsEveryFormWhereverItStands) {
  const std::string secret = Secret(3);
  EXPECT_EQ(search_.FindIn("x" + secret + "y"), Names{"a"});
  EXPECT_EQ(search_.FindIn(std::string(secret.rbegin(), secret.rend())), Names{"a"});
  const std::string digits = absl::BytesToHexString(secret);
  EXPECT_EQ(search_.FindIn("key=" + digits), Names{"a"});
  EXPECT_EQ(search_.FindIn("key=" + absl::AsciiStrToUpper(digits)), Names{"a"});
  for (size_t before = 0; before < 7; ++before) {
    for (size_t after = 0; after < 4; ++after) {
      const std::string whole = std::string(before, '?') + secret + std::string(after, '!');
      EXPECT_EQ(search_.FindIn(absl::Base64Escape(whole)), Names{"a"}) << before << after;
      EXPECT_EQ(search_.FindIn(absl::WebSafeBase64Escape(whole)), Names{"a"}) << before << after;
    }
  }
  EXPECT_EQ(search_.FindIn(secret + Secret(90)), (Names{"a", "b"}));
}

TEST_F(SecretSearchTest, FindsNothingElse) {
  std::string almost = Secret(3);
  almost.back() ^= 1;
  EXPECT_EQ(search_.FindIn(almost), Names{});
  EXPECT_EQ(search_.FindIn(Secret(3).substr(0, 31)), Names{});
  EXPECT_EQ(search_.FindIn(""), Names{});
  EXPECT_THROW(search_.Add("c", "too short"), std::invalid_argument);
}

// A child that has written two pages and waits. What it writes is nowhere else in it, so the
// search for it is made after the fork.
class MemorySearchTest : public testing::Test {
 protected:
  MemorySearchTest() {
    char *ordinary = Map(), *left_out = Map();
    if (madvise(left_out, kPage, MADV_DONTDUMP) != 0) throw std::runtime_error("madvise");
    child_ = fork();
    if (child_ == 0) {
      for (int i = 0; i < 32; ++i) ordinary[i] = static_cast<char>(17 + 7 * i);
      for (int i = 0; i < 32; ++i) left_out[i] = static_cast<char>(18 + 7 * i);
      for (;;) pause();
    }
    munmap(ordinary, kPage);
    munmap(left_out, kPage);
    search_.Add("ordinary", Secret(17));
    search_.Add("left out", Secret(18));
  }
  ~MemorySearchTest() override {
    kill(child_, SIGKILL);
    waitpid(child_, nullptr, 0);
  }
  Names Find(Part part) { return search_.FindInMemory(child_, part); }

  pid_t child_ = -1;
  SecretSearch search_;

 private:
  static constexpr size_t kPage = 4096;
  static char* Map() {
    return static_cast<char*>(
        mmap(nullptr, kPage, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
  }
};

TEST_F(MemorySearchTest, TellsWhatAnImageHoldsFromWhatItLeavesOut) {
  ASSERT_TRUE(Eventually([&] { return Find(Part::kAll) == Names{"ordinary", "left out"}; }));
  EXPECT_EQ(Find(Part::kDumpable), Names{"ordinary"});
  EXPECT_EQ(Find(Part::kInCoreImage), Names{"ordinary"}) << "by the kernel's own filter";
  WriteAll("/proc/" + std::to_string(child_) + "/coredump_filter", "0");
  EXPECT_EQ(Find(Part::kInCoreImage), Names{});
  EXPECT_EQ(Find(Part::kDumpable), Names{"ordinary"});
}

TEST(VisitMemoryTest, SaysWhereThereIsNoSuchProcess) {
  EXPECT_THROW(VisitMemory(-1, Part::kAll, [](std::string_view) {}), std::runtime_error);
}

TEST(KeysInTest, FindsTheKeysOfPemFiles) {
  const std::string folder = testing::TempDir() + "/keys";
  std::filesystem::create_directories(folder + "/below");
  EXPECT_THROW(KeysIn(folder), std::runtime_error);
  const std::string raw = Secret(1),
                    pkcs8 = std::string(36, 'h') + Secret(2) + std::string(70, 't');
  WriteAll(folder + "/raw.key", "-----BEGIN NARK MAC KEY-----\n" + absl::Base64Escape(raw) +
                                    "\n-----END NARK MAC KEY-----\n");
  WriteAll(folder + "/below/p.pem", "-----BEGIN PRIVATE KEY-----\n" + absl::Base64Escape(pkcs8) +
                                        "\n-----END PRIVATE KEY-----\n");
  WriteAll(folder + "/c.pem", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n");
  EXPECT_EQ(KeysIn(folder),
            (std::map<std::string, std::string>{{"raw.key", raw}, {"below/p.pem", Secret(2)}}));
}

}  // namespace
}  // namespace nark::harness
