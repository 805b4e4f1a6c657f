#ifndef NARK_RECEIVER_BLOCK_CACHE_H_
#define NARK_RECEIVER_BLOCK_CACHE_H_

#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/base/bytes.h"

namespace nark::receiver {

// Where a host keeps sealed marked blocks between runs, a file for each family and secure
// space: sessions of a provider share them. What is kept is of use to nobody without the
// secure space, and is found out where it was changed when the secure space opens it.
// Soft: a block can be fetched again. Thread-compatible.
class BlockCache {
 public:
  // Keeps nothing, and says so, where `folder` is empty. It is made, for the owner alone, when
  // first needed.
  explicit BlockCache(std::string folder) : folder_(std::move(folder)) {}

  // NOT_FOUND, also where there is no folder, or what kept it from being read.
  absl::StatusOr<Bytes> Find(const Digest& block_id, const Digest& secure_space_id) const;
  // Replaces it whole. Messages name the file or the folder.
  absl::Status Keep(const Digest& block_id, const Digest& secure_space_id, ByteView sealed) const;

  // The file of a block.
  std::string PathOf(const Digest& block_id, const Digest& secure_space_id) const;

 private:
  const std::string folder_;
};

// What a user's programs may forget: of the first that is set, $CACHE_DIRECTORY (a
// service's, by systemd), $XDG_CACHE_HOME/nark, $HOME/.cache/nark; empty where none is.
std::string DefaultCacheFolder();

}  // namespace nark::receiver

#endif  // NARK_RECEIVER_BLOCK_CACHE_H_
