#ifndef NARK_RELAY_CLIENT_TOKEN_H_
#define NARK_RELAY_CLIENT_TOKEN_H_

#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/base/bytes.h"
#include "common/crypto/hash.h"
#include "common/crypto/random.h"
#include "common/crypto/secret_bytes.h"
#include "relay/client/message.h"

namespace nark::relay {

// What one site shares with a relay, in a file of mode 0600:
//
//    0  magic        8  "NARKTKN1"
//    8  name length  1  1 to 63
//    9  name            a to z, 0 to 9, '-' and '.'
//       secret      32  random
//       check       16  first bytes of HMAC-SHA-256(secret, all before): notices damage
//
// The rest of what is needed follows from the secret (HKDF-Expand, docs/relay.md).
class Token {
 public:
  // INVALID_ARGUMENT for a name that is none.
  static absl::StatusOr<SecretBytes> Make(std::string_view name, Random& random);
  // INVALID_ARGUMENT for bytes that Make did not make.
  static absl::StatusOr<Token> Parse(ByteView file);
  // As Parse and ReadSecretFile; the message names the file.
  static absl::StatusOr<Token> Load(const std::string& path);

  const std::string& name() const { return name_; }
  const CredentialId& id() const { return id_; }
  // Under which subscribers and relays make their MACs.
  const HmacSha256Key& subscriber_key() const { return subscriber_key_; }
  const HmacSha256Key& answer_key() const { return answer_key_; }

 private:
  Token(std::string name, CredentialId id, ByteView subscriber_key, ByteView answer_key)
      : name_(std::move(name)), id_(id), subscriber_key_(subscriber_key), answer_key_(answer_key) {}
  std::string name_;
  CredentialId id_;
  HmacSha256Key subscriber_key_;
  HmacSha256Key answer_key_;
};

}  // namespace nark::relay

#endif  // NARK_RELAY_CLIENT_TOKEN_H_
