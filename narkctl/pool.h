#ifndef NARK_NARKCTL_POOL_H_
#define NARK_NARKCTL_POOL_H_

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/base/clock.h"
#include "common/crypto/random.h"
#include "common/object/pool_folder.h"

// The desk of a key-manager pool. Its folder: common/object/pool_folder.h.
namespace nark::narkctl {

// Founds a pool in a new folder. Returns the id of its HPKE key.
absl::StatusOr<Digest> InitPool(const std::string& folder, const std::string& provider,
                                Timestamp now, Random& random);

// Adds an HPKE key, keeps the old ones, and rewrites each session file in `reseal`
// so that its seed is sealed to all of them. Everything is read and checked before
// anything is written. Returns the id of the new key.
absl::StatusOr<Digest> RotatePool(const std::string& folder, const std::string& provider,
                                  const std::vector<std::string>& reseal, Timestamp now,
                                  Random& random);

// Makes a new folder with the pool's HPKE and MAC keys and a signing and a TLS
// key of its own.
absl::Status MakeReplica(const std::string& folder, const std::string& provider,
                         const std::string& out, Timestamp now);

// Loads the pool and checks that it is the provider's.
absl::StatusOr<PoolFolder> LoadPoolOf(const std::string& folder, const Certificate& provider_root,
                                      Timestamp now);

// Of every HPKE key of the pool.
std::vector<X25519PublicKey> PublicKeysOf(const PoolFolder& pool);

}  // namespace nark::narkctl

#endif  // NARK_NARKCTL_POOL_H_
