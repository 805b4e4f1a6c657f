#ifndef NARK_KEYMANAGER_REPLICA_FILES_H_
#define NARK_KEYMANAGER_REPLICA_FILES_H_

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "common/crypto/secret_bytes.h"
#include "keymanager/grant_authority.h"

namespace nark::keymanager {

// Where a replica reads what it knows.
struct ReplicaFiles {
  std::string pool;                      // folder
  std::vector<std::string> issuers;      // PEM, one certificate each
  std::vector<std::string> revocations;  // PEM, one list each
  std::string deny_list;                 // a signed DenyList; may be empty
  std::string tls_certificates;          // PEM; empty: the pool's
  std::string tls_key;
};

struct LoadedReplica {
  std::shared_ptr<GrantAuthority> authority;
  std::string tls_certificates_pem;  // leaf first
  SecretBytes tls_key_pem;
};

// Reads every file and checks it. The message names the file that is at fault.
absl::StatusOr<LoadedReplica> LoadReplica(const ReplicaFiles& files, World world);

// Changes whenever one of the files was replaced or rewritten: a hash over their
// inodes, sizes and times. A file that is missing has a value too.
uint64_t FilesVersion(const ReplicaFiles& files);

}  // namespace nark::keymanager

#endif  // NARK_KEYMANAGER_REPLICA_FILES_H_
