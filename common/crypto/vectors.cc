#include "common/crypto/vectors.h"

#include <cstdlib>
#include <filesystem>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/base/status.h"
#include "common/base/storage.h"

namespace nark {
namespace {

// Bazel runs a test in a copy of the workspace made of links to the true files: the
// folder of a true file's workspace is where one of them leads.
std::vector<std::filesystem::path> Folders() {
  const char* given = std::getenv("NARK_VECTOR_DIR");
  if (given != nullptr && *given != '\0') return {given};
  std::error_code ignored;
  std::vector<std::filesystem::path> folders;
  for (const char* link : {"common/crypto/vectors.h", "../nark/common/crypto/vectors.h"}) {
    std::filesystem::path file = std::filesystem::canonical(link, ignored);
    if (!ignored) {
      std::filesystem::path workspace = file.parent_path().parent_path().parent_path();
      folders.push_back(workspace.parent_path() / "shared" / "vectors");
    }
  }
  return folders;
}

}  // namespace

std::optional<std::string> ReadVectors(std::string_view file) {
  for (const std::filesystem::path& folder : Folders()) {
    absl::StatusOr<Bytes> content = ReadFile(folder / file);
    if (content.ok()) return ToText(*content);
  }
  return std::nullopt;
}

std::string NoVectorsMessage(std::string_view file) {
  return absl::StrCat("NOT TESTED: third-party vectors ", Absl(file),
                      " not found; give their folder with --test_env=NARK_VECTOR_DIR=FOLDER");
}

}  // namespace nark
