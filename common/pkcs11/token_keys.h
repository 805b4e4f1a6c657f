#ifndef NARK_COMMON_PKCS11_TOKEN_KEYS_H_
#define NARK_COMMON_PKCS11_TOKEN_KEYS_H_

#include <map>
#include <memory>
#include <set>
#include <string>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "common/base/bytes.h"
#include "common/crypto/key_store.h"
#include "common/crypto/random.h"
#include "common/crypto/secret_bytes.h"
#include "common/pkcs11/token.h"

namespace nark::pkcs11 {

// Where a new key goes, and what its label begins with. Labels are for people, and for
// DestroyOthers.
struct KeyPlace {
  std::string token;
  std::string owner;  // "nark-0a1b2c3d"
};

// The keys in the tokens of one PKCS#11 module, which all have the same PIN. Keys are made
// or imported as token objects that are private, sensitive and not extractable; one that is
// not so is not used. Thread-safe.
class TokenKeys final : public KeyStore {
 public:
  // Opens no token yet. `access` kRead: Find... only.
  static absl::StatusOr<std::unique_ptr<TokenKeys>> Create(const std::string& module_path,
                                                           SecretBytes pin, Access access);

  // The PIN from a file (ReadPin). Null where both are empty; INVALID_ARGUMENT, naming the
  // flags --pkcs11-module and --pkcs11-pin-file, where one is.
  static absl::StatusOr<std::unique_ptr<TokenKeys>> FromFiles(const std::string& module_path,
                                                              const std::string& pin_path,
                                                              Access access);

  absl::StatusOr<HpkePrivateKey> FindHpkeKey(const std::string& uri) override;
  absl::StatusOr<PrivateKey> FindSigningKey(const std::string& uri,
                                            const PublicKey& public_key) override;
  absl::StatusOr<std::shared_ptr<const ExternalMacKey>> FindMacKey(const std::string& uri) override;

  // Make a key in the token and try it.
  absl::StatusOr<HpkePrivateKey> MakeHpkeKey(const KeyPlace& place);
  absl::StatusOr<PrivateKey> MakeSigningKey(const KeyPlace& place);
  absl::StatusOr<std::shared_ptr<const ExternalMacKey>> MakeMacKey(const KeyPlace& place,
                                                                   Random& random);

  // Bring a key in that lies in memory, unless the token has it, and try it there. `id`
  // names the symmetric key.
  absl::StatusOr<HpkePrivateKey> Import(const KeyPlace& place, const HpkePrivateKey& key);
  absl::StatusOr<PrivateKey> Import(const KeyPlace& place, const PrivateKey& key);
  absl::StatusOr<std::shared_ptr<const ExternalMacKey>> Import(const KeyPlace& place,
                                                               const SecretBytes& mac_key,
                                                               const Digest& id);

  // Destroys the keys in the token whose labels begin with the owner and whose ids are not
  // in `keep`. Returns how many.
  absl::StatusOr<int> DestroyOthers(const KeyPlace& place, const std::set<Digest>& keep);

 private:
  TokenKeys(std::shared_ptr<Module> module, SecretBytes pin, Access access)
      : module_(std::move(module)), pin_(std::move(pin)), access_(access) {}
  absl::StatusOr<std::shared_ptr<Token>> Open(const std::string& label);

  const std::shared_ptr<Module> module_;
  const SecretBytes pin_;
  const Access access_;
  absl::Mutex mutex_;
  std::map<std::string, std::shared_ptr<Token>> tokens_ ABSL_GUARDED_BY(mutex_);
  std::map<std::string, absl::Status> refused_ ABSL_GUARDED_BY(mutex_);  // the PIN, for good
};

// The token that a key's URI names; and the URI of the same key in another token.
// INVALID_ARGUMENT.
absl::StatusOr<std::string> TokenOf(const std::string& uri);
absl::StatusOr<std::string> InToken(const std::string& uri, const std::string& token);

}  // namespace nark::pkcs11

#endif  // NARK_COMMON_PKCS11_TOKEN_KEYS_H_
