// The model itself: that it still says what is committed, and that its own
// cryptography is the standards'.

#include <gtest/gtest.h>

#include <array>
#include <cstdio>
#include <fstream>
#include <iterator>
#include <string>

#include "tests/model/vectors.h"

namespace nark::model {
namespace {

struct Finished {
  int status = -1;
  std::string output;
};

Finished RunPython(const std::string& arguments) {
  Finished finished;
  FILE* pipe = popen(("python3 -B " + arguments + " 2>&1").c_str(), "r");
  if (pipe == nullptr) return finished;
  std::array<char, 65536> piece;
  while (const size_t size = std::fread(piece.data(), 1, piece.size(), pipe)) {
    finished.output.append(piece.data(), size);
  }
  finished.status = pclose(pipe);
  return finished;
}

class ModelTest : public testing::Test {
 protected:
  void SetUp() override {
    if (RunPython("-c 'pass'").status != 0) {
      GTEST_SKIP() << "NO python3: the model cannot be compared with its committed vectors";
    }
  }
};

TEST_F(ModelTest, AgreesWithPublishedExamplesInItsOwnCryptography) {
  const Finished finished = RunPython(ModelFile("nark_model.py") + " --self-test");
  EXPECT_EQ(finished.status, 0) << finished.output;
}

TEST_F(ModelTest, StillGeneratesTheCommittedVectors) {
  std::ifstream file(ModelFile("vectors.json"));
  const std::string committed{std::istreambuf_iterator<char>(file), {}};
  ASSERT_FALSE(committed.empty());
  const Finished finished = RunPython(ModelFile("nark_model.py"));
  ASSERT_EQ(finished.status, 0) << finished.output;
  EXPECT_TRUE(finished.output == committed)
      << "run: python3 tests/model/nark_model.py > tests/model/vectors.json, and mind that a "
         "changed vector is a changed format";
}

}  // namespace
}  // namespace nark::model
