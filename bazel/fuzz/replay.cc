// Runs a fuzz target over its committed corpus as a plain test:
//   REPLAY NAME [FILE|FOLDER]...

#include <gtest/gtest.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
#include <utility>
#include <vector>

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size);

namespace {

std::vector<std::filesystem::path> FilesUnder(const std::filesystem::path& root) {
  if (!std::filesystem::is_directory(root)) return {root};
  std::vector<std::filesystem::path> files;
  for (const auto& entry : std::filesystem::recursive_directory_iterator(root)) {
    if (entry.is_regular_file()) files.push_back(entry.path());
  }
  std::sort(files.begin(), files.end());
  return files;
}

class CorpusTest : public testing::Test {
 public:
  explicit CorpusTest(std::vector<std::filesystem::path> roots) : roots_(std::move(roots)) {}

  void TestBody() override {
    LLVMFuzzerTestOneInput(nullptr, 0);
    for (const auto& root : roots_) {
      const auto files = FilesUnder(root);
      EXPECT_FALSE(files.empty()) << root << " holds no inputs";
      for (const auto& file : files) Replay(file);
    }
  }

 private:
  static void Replay(const std::filesystem::path& file) {
    SCOPED_TRACE(file.string());
    std::ifstream stream(file, std::ios::binary);
    ASSERT_TRUE(stream) << "cannot read " << file;
    // Exactly as long as the input, so that a sanitizer sees any read beyond it.
    const std::vector<char> input{std::istreambuf_iterator<char>(stream), {}};
    LLVMFuzzerTestOneInput(reinterpret_cast<const uint8_t*>(input.data()), input.size());
  }

  std::vector<std::filesystem::path> roots_;
};

}  // namespace

int main(int argc, char** argv) {
  testing::InitGoogleTest(&argc, argv);
  const std::string name = argc > 1 ? argv[1] : "Fuzz";
  const std::vector<std::filesystem::path> roots(argv + std::min(argc, 2), argv + argc);
  // GoogleTest keeps what it is given until the program ends.
  // NOLINTNEXTLINE(clang-analyzer-cplusplus.NewDeleteLeaks)
  testing::RegisterTest(name.c_str(), "ReplaysItsCorpus", nullptr, nullptr, __FILE__, __LINE__,
                        [roots]() -> testing::Test* { return new CorpusTest(roots); });
  return RUN_ALL_TESTS();
}
