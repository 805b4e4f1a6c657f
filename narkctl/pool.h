#ifndef NARK_NARKCTL_POOL_H_
#define NARK_NARKCTL_POOL_H_

#include <chrono>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/base/clock.h"
#include "common/crypto/random.h"
#include "common/object/pool_folder.h"
#include "common/object/provider.h"

// The desk of a key-manager pool. Its folder: common/object/pool_folder.h.
namespace nark::narkctl {

// Founds a pool in a new folder. Returns the id of its HPKE key.
absl::StatusOr<Digest> InitPool(const std::string& folder, const std::string& provider,
                                Timestamp now, Random& random);

// Where a pool lies, whose it is, and the session files that are to be sealed to the keys
// that it has then. Everything is read and checked before anything is written.
struct PoolChange {
  std::string folder;
  std::string provider;
  std::vector<std::string> reseal;
};

// Adds an HPKE and a challenge key, keeps the old ones, and gives the folder new signing
// and TLS keys. Challenges are made with the new key from `challenges_after` on: by then
// all replicas must have it. Returns the id of the new HPKE key.
absl::StatusOr<Digest> RotatePool(const PoolChange& change,
                                  std::chrono::microseconds challenges_after, Timestamp now,
                                  Random& random);

// Takes the HPKE and challenge keys away that were made more than `age` ago, except those
// that are in use: the newest HPKE key, and challenge keys from that on with which
// challenges are made now. Sessions that were sealed to none of the rest, and challenges
// made with none of it, are refused from then on. Returns how many keys went.
absl::StatusOr<int> RetireKeys(const PoolChange& change, std::chrono::microseconds age,
                               Timestamp now, Random& random);

// Revokes the key manager whose certificate is the first one of the PEM file `certificate`:
// the sessions of `change.reseal`, at least one, name it from now on, and so does every
// session that is created or resealed with this pool's folder later. A pool's own signing key
// that is revoked is replaced. Replicas lose nothing by it but the one that signs with this
// key. Returns the key's id. INVALID_ARGUMENT where the certificate is no key manager's of
// this provider.
absl::StatusOr<Digest> RevokeReplica(const PoolChange& change, const std::string& certificate,
                                     Timestamp now, Random& random);

// Makes a folder with the pool's HPKE and challenge keys and a signing and a TLS key of its
// own; a replica's folder that is there already is brought up to date in place.
absl::Status MakeReplica(const std::string& folder, const std::string& provider,
                         const std::string& out, Timestamp now);

// Loads the pool and checks that it is the provider's.
absl::StatusOr<PoolFolder> LoadPoolOf(const std::string& folder, const Certificate& provider_root,
                                      Timestamp now);

// What a session that is sealed to the pool says of it: every HPKE key, and whom it revoked.
SessionPool SessionPoolOf(const PoolFolder& pool);

}  // namespace nark::narkctl

#endif  // NARK_NARKCTL_POOL_H_
