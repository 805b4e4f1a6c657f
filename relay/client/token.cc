#include "relay/client/token.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/base/status.h"
#include "common/crypto/secret_file.h"

namespace nark::relay {
namespace {

constexpr std::string_view kMagic = "NARKTKN1";
constexpr size_t kSecretBytes = 32;
constexpr size_t kCheckBytes = 16;
constexpr size_t kMaxNameBytes = 63;
constexpr size_t kMaxFileBytes = kMagic.size() + 1 + kMaxNameBytes + kSecretBytes + kCheckBytes;

bool IsName(std::string_view name) {
  return !name.empty() && name.size() <= kMaxNameBytes &&
         std::all_of(name.begin(), name.end(), [](char c) {
           return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '.';
         });
}

absl::Status NoToken() {
  return absl::InvalidArgumentError("no token of a relay, or a damaged one; ask for it again");
}

}  // namespace

absl::StatusOr<SecretBytes> Token::Make(std::string_view name, Random& random) {
  if (!IsName(name)) {
    return absl::InvalidArgumentError(
        absl::StrCat("\"", Absl(name), "\" is no name of a site; it has 1 to ", kMaxNameBytes,
                     " of a to z, 0 to 9, '-' and '.'"));
  }
  const size_t head = kMagic.size() + 1 + name.size();
  SecretBytes file(head + kSecretBytes + kCheckBytes);
  MutableByteView bytes = file.RevealMutable();
  std::copy(kMagic.begin(), kMagic.end(), bytes.begin());
  bytes[kMagic.size()] = static_cast<uint8_t>(name.size());
  std::copy(name.begin(), name.end(), bytes.begin() + kMagic.size() + 1);
  RETURN_IF_ERROR(random.Fill(bytes.subspan(head, kSecretBytes)));
  const Digest check =
      HmacSha256Key(bytes.subspan(head, kSecretBytes)).Mac({bytes.first(head + kSecretBytes)});
  std::copy_n(check.begin(), kCheckBytes, bytes.subspan(head + kSecretBytes).begin());
  return file;
}

absl::StatusOr<Token> Token::Parse(ByteView file) {
  if (file.size() <= kMagic.size() || AsText(file.first(kMagic.size())) != kMagic) {
    return NoToken();
  }
  const size_t name_bytes = file[kMagic.size()];
  const size_t head = kMagic.size() + 1 + name_bytes;
  if (file.size() != head + kSecretBytes + kCheckBytes) return NoToken();
  const std::string_view name = AsText(file.subspan(kMagic.size() + 1, name_bytes));
  const ByteView secret_view = file.subspan(head, kSecretBytes);
  const Digest check = HmacSha256Key(secret_view).Mac({file.first(head + kSecretBytes)});
  if (!IsName(name) ||
      !ConstantTimeEqual(ByteView(check).first(kCheckBytes), file.last(kCheckBytes))) {
    return NoToken();
  }
  const SecretBytes secret = SecretBytes::CopyOf(secret_view);
  ASSIGN_OR_RETURN(const SecretBytes id,
                   HkdfExpand(secret, AsBytes("nark relay credential v1"), sizeof(CredentialId)));
  ASSIGN_OR_RETURN(const SecretBytes subscriber,
                   HkdfExpand(secret, AsBytes("nark relay subscriber v1"), kSecretBytes));
  ASSIGN_OR_RETURN(const SecretBytes answer,
                   HkdfExpand(secret, AsBytes("nark relay answer v1"), kSecretBytes));
  CredentialId credential;
  std::copy_n(id.Reveal().begin(), credential.size(), credential.begin());
  return Token(std::string(name), credential, subscriber.Reveal(), answer.Reveal());
}

absl::StatusOr<Token> Token::Load(const std::string& path) {
  ASSIGN_OR_RETURN(const SecretBytes file, ReadSecretFile(path, kMaxFileBytes));
  absl::StatusOr<Token> token = Parse(file.Reveal());
  if (!token.ok()) return Annotate(token.status(), path);
  return token;
}

}  // namespace nark::relay
