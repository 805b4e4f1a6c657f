#ifndef NARK_KEYMANAGER_REPLICA_FILES_H_
#define NARK_KEYMANAGER_REPLICA_FILES_H_

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/base/file_stamp.h"
#include "common/crypto/key_store.h"
#include "common/crypto/secret_bytes.h"
#include "common/object/deny_list.h"
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
  // Where keys of the pool are found that lie in a token; borrowed, for as long as anything
  // that was read with it. Null: such a pool is refused.
  KeyStore* token = nullptr;
};

// What is taken over by itself, so that one bad file keeps no other from being heard.
enum class Part { kPool, kTls, kIssuers, kRevocations, kDenyList };
inline constexpr int kParts = static_cast<int>(Part::kDenyList) + 1;

// The label of metrics: "pool", "tls", ...
std::string_view PartName(Part part);

// A part whose new file is not in force.
struct RefusedPart {
  Part part;
  absl::Status why;  // names the file

  bool operator==(const RefusedPart&) const = default;
};

// When things were made and end, for who watches a replica.
struct ReplicaDates {
  // The newest of each kind: when the pool was last rotated.
  Timestamp hpke_key_made;
  Timestamp challenge_key_made;
  Timestamp signing_certificate_made;
  // The earliest end of each kind.
  Timestamp root_ends;
  Timestamp signing_certificate_ends;
  Timestamp tls_certificate_ends;
  Timestamp issuer_ends;
};

// From when until when a certificate is valid.
struct Validity {
  Timestamp from;
  Timestamp until;
};

// FAILED_PRECONDITION, naming `where` it lies, for a TLS certificate that is not valid at `now`.
absl::Status CheckTlsValidity(const Validity& validity, Timestamp now, const std::string& where);

// The files of a replica and what was good in them. One thread only.
class ReplicaSource {
 public:
  // Reads and checks every file. The message names the file that is at fault.
  static absl::StatusOr<std::unique_ptr<ReplicaSource>> Load(ReplicaFiles files, World world,
                                                             Limits limits = {});

  // Whether a file was replaced or rewritten since it was read.
  bool changed() const;

  // Reads every file again. What is good is in force from now on; a part that is not,
  // and a list older than that in force, stays as it was and is returned.
  std::vector<RefusedPart> Reload();

  // Decides by what is in force; another one after each Reload but those that refuse once more
  // what the one before refused, of files that have not changed: it would only forget whom it
  // has served.
  const std::shared_ptr<GrantAuthority>& authority() const { return authority_; }
  const std::string& tls_certificates_pem() const { return tls_.certificates; }  // leaf first
  const SecretBytes& tls_key_pem() const { return tls_.key; }
  // Whether the TLS certificate is for the name that receivers ask for (kServerName).
  bool tls_names_role() const { return tls_.names_role; }
  const Validity& tls_validity() const { return tls_.validity; }
  // Where it lies.
  const std::string& tls_source() const {
    return files_.tls_certificates.empty() ? files_.pool : files_.tls_certificates;
  }
  ReplicaDates dates() const;
  // Whether the folder, as it lies there now, revokes the key that is in force: receivers
  // that know it refuse whatever is signed with it.
  bool signing_key_revoked() const { return signing_key_revoked_; }

 private:
  struct Pool {
    std::shared_ptr<const ReplicaKeys> keys;
    Timestamp hpke_key_made;
    Timestamp challenge_key_made;
  };
  struct Tls {
    std::string certificates;
    SecretBytes key;
    Validity validity;
    bool names_role = false;
  };
  // By path.
  using Lists = std::map<std::string, RevocationList>;
  using Refusals = std::vector<RefusedPart>;

  ReplicaSource(ReplicaFiles files, World world, Limits limits);

  std::vector<FileStamp> Look() const;
  Refusals ReadAll(Timestamp now);
  void ReadPool(Timestamp now, Refusals& refused);
  void ReadTls(Timestamp now, Refusals& refused);
  void ReadTrust(Refusals& refused);
  void ReadDenied(Timestamp now, Refusals& refused);
  absl::StatusOr<RevocationList> ReadList(const std::string& path,
                                          const std::vector<Certificate>& issuers) const;
  absl::Status Decide();

  const ReplicaFiles files_;
  const World world_;
  const Limits limits_;
  std::vector<FileStamp> seen_;
  Refusals refused_;      // last
  bool decided_ = false;  // with what was good then
  // What is in force.
  Pool pool_;
  bool signing_key_revoked_ = false;
  Tls pool_tls_;  // as the pool's folder has it
  Tls tls_;
  std::vector<Certificate> issuers_;
  Lists lists_;
  std::optional<VerifiedDenyList> deny_list_;
  std::shared_ptr<GrantAuthority> authority_;
};

}  // namespace nark::keymanager

#endif  // NARK_KEYMANAGER_REPLICA_FILES_H_
