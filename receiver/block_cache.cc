#include "receiver/block_cache.h"

#include <cstdlib>
#include <filesystem>
#include <system_error>

#include "absl/strings/str_cat.h"
#include "common/base/file_operations.h"
#include "common/base/status.h"
#include "common/base/storage.h"

namespace nark::receiver {
namespace {

// The largest block and its tag fit.
constexpr size_t kMostBytes = 1 << 20;
constexpr size_t kNameBytes = 16;  // of each hash

std::string Variable(const char* name) {
  const char* value = std::getenv(name);
  return value == nullptr ? "" : value;
}

}  // namespace

std::string BlockCache::PathOf(const Digest& block_id, const Digest& secure_space_id) const {
  return absl::StrCat(folder_, "/", ToHex(ByteView(block_id).first(kNameBytes)), "-",
                      ToHex(ByteView(secure_space_id).first(kNameBytes)), ".block");
}

absl::StatusOr<Bytes> BlockCache::Find(const Digest& block_id,
                                       const Digest& secure_space_id) const {
  // A folder that is none is told of by Keep, once.
  std::error_code ignored;
  if (!std::filesystem::is_directory(folder_, ignored)) {
    return absl::NotFoundError("no folder keeps marked blocks");
  }
  return ReadFile(PathOf(block_id, secure_space_id), kMostBytes);
}

absl::Status BlockCache::Keep(const Digest& block_id, const Digest& secure_space_id,
                              ByteView sealed) const {
  if (folder_.empty()) {
    return absl::FailedPreconditionError("no folder keeps marked blocks; give --cache DIR");
  }
  std::error_code error;
  const bool made = std::filesystem::create_directories(folder_, error);
  if (error) return FileError(error.value(), "cannot make the folder", folder_);
  if (made) {
    std::filesystem::permissions(folder_, std::filesystem::perms::owner_all, error);
    if (error) return FileError(error.value(), "cannot set the mode of", folder_);
  }
  return WriteFile(PathOf(block_id, secure_space_id), sealed, FileMode::kSecret);
}

std::string DefaultCacheFolder() {
  // systemd separates several by colons.
  if (const std::string given = Variable("CACHE_DIRECTORY"); !given.empty()) {
    return given.substr(0, given.find(':'));
  }
  if (const std::string base = Variable("XDG_CACHE_HOME"); !base.empty()) return base + "/nark";
  if (const std::string home = Variable("HOME"); !home.empty()) return home + "/.cache/nark";
  return "";
}

}  // namespace nark::receiver
