#ifndef NARK_COMMON_OBJECT_POOL_FOLDER_H_
#define NARK_COMMON_OBJECT_POOL_FOLDER_H_

#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "common/base/clock.h"
#include "common/base/file_operations.h"
#include "common/crypto/certificate.h"
#include "common/crypto/external_key.h"
#include "common/crypto/hpke.h"
#include "common/crypto/key_store.h"
#include "common/crypto/secret_bytes.h"
#include "common/object/identity.h"
#include "common/object/provider.h"

namespace nark {

// A key that challenges are authenticated with. Move-only.
struct ChallengeKey {
  SecretBytes key;  // 32 bytes; empty where it lies elsewhere
  Timestamp made;
  // From when on replicas make challenges with it. Before, they only verify: a pool's
  // replicas take a new key over one after the other.
  Timestamp makes_from;
  std::shared_ptr<const ExternalMacKey> external = nullptr;

  ChallengeKey Clone() const { return {key.Clone(), made, makes_from, external}; }
  // Names it: in a challenge by its first bytes.
  Digest Id() const;
};

// The id of a challenge key in memory.
Digest ChallengeKeyId(const SecretBytes& key);

// All that a replica of the key manager holds. Move-only.
struct PoolFolder {
  Certificate root;                          // the provider's
  std::vector<HpkePrivateKey> hpke_keys;     // at least one, the oldest first
  std::vector<Timestamp> hpke_keys_made;     // when, one for each
  std::vector<ChallengeKey> challenge_keys;  // at least one, the oldest first
  SigningIdentity signing;                   // Chain(): key manager, pool role
  std::string tls_certificates_pem;          // leaf first
  SecretBytes tls_key_pem;
  std::vector<RevokedKeyManager> revoked = {};  // ascending by key id, each once
  PoolFolderKind kind = PoolFolderKind::kPool;

  // Whether the pool has revoked a key manager's signing key, and the one in this folder.
  bool Revokes(const Digest& key_id) const;
  bool RevokesItself() const { return Revokes(signing.certificate.public_key().id()); }
};

// Loads what `narkctl pool` wrote, also where it revokes itself: verifies the manifest under the
// root of the folder, reads each listed file once, compares its SHA-256, and parses those same
// bytes. Files that are not listed are ignored. A folder that is being written comes as it was
// before, or as it is then. The message names the file. A key that lies
// elsewhere has a file with its URI (*.pkcs11) and is found in `store`; FAILED_PRECONDITION where
// there is no store.
absl::StatusOr<PoolFolder> LoadPoolFolder(const std::string& folder, Timestamp now,
                                          KeyStore* store = nullptr);

// The path of the file with the signing certificate and its chain, by the word of the manifest
// alone: nothing is verified.
absl::StatusOr<std::string> SigningCertificateFile(const std::string& folder);

// The names of files that WritePoolFolder has named, or was writing, and that the manifest does
// not list, in order: most are keys that nothing reads any more. Nothing is verified.
absl::StatusOr<std::vector<std::string>> UnlistedFiles(const std::string& folder);

// Writes the files with mode 0600, each under a name that has not meant another content, then
// the manifest, signed by `pool_role`, then removes files of earlier ones. Of keys that lie
// elsewhere it writes the URI. The folder exists. Where it fails, or a crash comes in between,
// the folder holds what it held before, or all that is new; what is left over goes with the
// next success. One writer at a time.
absl::Status WritePoolFolder(const std::string& folder, const PoolFolder& pool,
                             const SigningIdentity& pool_role, Timestamp now,
                             FileOperations& operations = PosixFileOperations());

}  // namespace nark

#endif  // NARK_COMMON_OBJECT_POOL_FOLDER_H_
