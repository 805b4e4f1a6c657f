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
#include "common/pkcs11/token_keys.h"

// The desk of a key-manager pool. Its folder: common/object/pool_folder.h.
namespace nark::narkctl {

// Where a pool's private keys lie that are no files. All but the TLS key can.
struct PoolToken {
  pkcs11::TokenKeys* keys = nullptr;  // null: none lies in a token
  // The label of the token in which new keys are made. Empty: that in which the pool's
  // signing key lies, or files where that is one.
  std::string label;
};

// Founds a pool in a new folder. Returns the id of its HPKE key.
absl::StatusOr<Digest> InitPool(const std::string& folder, const std::string& provider,
                                Timestamp now, Random& random, const PoolToken& token = {});

// Where a pool lies, whose it is, and the session files that are to be sealed to the keys
// that it has then. Everything is read and checked before anything is written.
struct PoolChange {
  std::string folder;
  std::string provider;
  std::vector<std::string> reseal;
  PoolToken token = {};
};

// RotatePool, RetireKeys and RevokeReplica refuse a replica's folder with FAILED_PRECONDITION, as
// the pool would not know of what is changed there.
//
// Adds an HPKE and a challenge key, keeps the old ones, and gives the folder new signing
// and TLS keys. Challenges are made with the new key from `challenges_after` on: by then
// all replicas must have it. Returns the id of the new HPKE key.
absl::StatusOr<Digest> RotatePool(const PoolChange& change,
                                  std::chrono::microseconds challenges_after, Timestamp now,
                                  Random& random);

// Takes the HPKE and challenge keys away that were made more than `age` ago, except those
// that are in use: the newest HPKE key, and challenge keys from that on with which
// challenges are made now. Sessions that were sealed to none of the rest, and challenges
// made with none of it, are refused from then on. Returns how many keys went. Keys in a
// token stay there until SweepToken, as replicas may use them yet.
absl::StatusOr<int> RetireKeys(const PoolChange& change, std::chrono::microseconds age,
                               Timestamp now, Random& random);

// Revokes the key manager whose certificate is the first one of the PEM file `certificate`, or
// the signing certificate where that is a replica's folder:
// the sessions of `change.reseal`, at least one, name it from now on, and so does every
// session that is created or resealed with this pool's folder later. A pool's own signing key
// that is revoked is replaced. Replicas lose nothing by it but the one that signs with this
// key. Returns the key's id. INVALID_ARGUMENT where the certificate is no key manager's of
// this provider.
absl::StatusOr<Digest> RevokeReplica(const PoolChange& change, const std::string& certificate,
                                     Timestamp now, Random& random);

// Makes a folder with the pool's HPKE and challenge keys and a signing and a TLS key of its
// own; a replica's folder that is there already is brought up to date in place, any other is
// refused. Of keys in a token it names those in the token of `token.label`, where that has them.
absl::Status MakeReplica(const std::string& folder, const std::string& provider,
                         const std::string& out, Timestamp now, const PoolToken& token = {});

// Brings the keys in the folder's files, but for the TLS key, into a token, where those that
// it has already are taken, and removes the files. Returns how many keys went.
absl::StatusOr<int> ImportPool(const PoolChange& change, Timestamp now);

// Destroys the provider's keys in the token that none of `folders` names. Returns how many.
absl::StatusOr<int> SweepToken(const std::vector<std::string>& folders, const std::string& provider,
                               Timestamp now, const PoolToken& token);

// Loads the pool and checks that it is the provider's.
absl::StatusOr<PoolFolder> LoadPoolOf(const std::string& folder, const Certificate& provider_root,
                                      Timestamp now, KeyStore* token = nullptr);

// What a session that is sealed to the pool says of it: every HPKE key, and whom it revoked.
SessionPool SessionPoolOf(const PoolFolder& pool);

}  // namespace nark::narkctl

#endif  // NARK_NARKCTL_POOL_H_
