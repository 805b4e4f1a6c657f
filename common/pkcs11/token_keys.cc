#include "common/pkcs11/token_keys.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/base/status.h"
#include "common/crypto/hash.h"
#include "common/pkcs11/keys.h"
#include "common/pkcs11/object.h"
#include "common/pkcs11/pin.h"

namespace nark::pkcs11 {
namespace {

constexpr CK_ULONG kMacKeyBytes = 32;
constexpr size_t kScalarBytes = 32;
// Where the scalar stands in PrivateKey's PKCS#8.
constexpr size_t kScalarAt = 36;

// CKA_EC_PARAMS: the curves' object identifiers, DER. id-X25519 (RFC 8410 section 3) and
// secp256r1 (RFC 5480 section 2.1.1.1).
constexpr uint8_t kX25519[] = {0x06, 0x03, 0x2b, 0x65, 0x6e};
constexpr uint8_t kP256[] = {0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07};
// A P-256 SubjectPublicKeyInfo up to its point.
constexpr uint8_t kSpkiHead[] = {0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48,
                                 0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a, 0x86, 0x48,
                                 0xce, 0x3d, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00};

// How a token holds X25519 keys.
struct MontgomeryForm {
  CK_MECHANISM_TYPE generation;
  CK_KEY_TYPE key_type;
};

// PKCS#11 3.0 (sections 2.3.5 and 2.3.7) has a type of its own for Montgomery curves.
// SoftHSM 2.6 has only that of Edwards curves, and takes X25519 under it.
MontgomeryForm FormOf(const Session& session) {
  CK_SESSION_INFO info{};
  CK_MECHANISM_INFO mechanism{};
  if (session.functions.C_GetSessionInfo(session.handle, &info) == CKR_OK &&
      session.functions.C_GetMechanismInfo(info.slotID, kEcMontgomeryKeyPairGen, &mechanism) ==
          CKR_OK) {
    return {kEcMontgomeryKeyPairGen, kEcMontgomery};
  }
  return {CKM_EC_EDWARDS_KEY_PAIR_GEN, CKK_EC_EDWARDS};
}

std::string ShortId(const Digest& id) { return ToHex(id).substr(0, 8); }

KeyUri UriOf(const KeyPlace& place, std::string_view kind, KeyClass key_class, const Digest& id) {
  return {.token = place.token,
          .object = absl::StrCat(place.owner, "-", Absl(kind), "-", ShortId(id)),
          .key_class = key_class,
          .id = id};
}

Template& AddName(const KeyUri& uri, Template& to) {
  return to.Add(CKA_TOKEN, true).Add(CKA_LABEL, AsBytes(uri.object)).Add(CKA_ID, uri.id);
}

// What makes a key one that stays.
Template& AddSeal(Template& to) {
  return to.Add(CKA_PRIVATE, true).Add(CKA_SENSITIVE, true).Add(CKA_EXTRACTABLE, false);
}

Bytes DerPoint(ByteView point) {
  Bytes der = {0x04, static_cast<uint8_t>(point.size())};
  der.insert(der.end(), point.begin(), point.end());
  return der;
}

// What differs between the two kinds of key pairs.
struct Kind {
  std::string_view name;
  ByteView curve;
  CK_ATTRIBUTE_TYPE use;  // CKA_DERIVE or CKA_SIGN
  Digest (*id)(ByteView point);
};

Bytes SpkiOf(ByteView point) {
  Bytes spki(std::begin(kSpkiHead), std::end(kSpkiHead));
  spki.insert(spki.end(), point.begin(), point.end());
  return spki;
}

const Kind kHpke = {"hpke", kX25519, CKA_DERIVE, [](ByteView point) { return Sha256(point); }};
const Kind kSigning = {"signing", kP256, CKA_SIGN,
                       [](ByteView point) { return Sha256(SpkiOf(point)); }};

MontgomeryForm FormOf(const Session& session, const Kind& kind) {
  if (kind.use == CKA_SIGN) return {CKM_EC_KEY_PAIR_GEN, CKK_EC};
  return FormOf(session);
}

absl::StatusOr<HpkePrivateKey> TriedHpkeKey(std::shared_ptr<const TokenKey> key) {
  ASSIGN_OR_RETURN(const Bytes point, key->PublicPoint());
  X25519PublicKey half;
  if (point.size() != half.size() || Sha256(point) != key->id()) {
    return absl::FailedPreconditionError(key->uri() + " is no longer the key that was named so");
  }
  std::copy(point.begin(), point.end(), half.begin());
  SystemRandom random;
  ASSIGN_OR_RETURN(const HpkePrivateKey probe, HpkePrivateKey::Generate(random));
  HpkePrivateKey found = HpkePrivateKey::FromExternal(AsAgreement(key), half);
  ASSIGN_OR_RETURN(const SecretBytes theirs, X25519(found, probe.public_key()));
  ASSIGN_OR_RETURN(const SecretBytes ours, X25519(probe, half));
  if (theirs == ours) return found;
  return absl::FailedPreconditionError(key->uri() + " does not do X25519 with its public key");
}

absl::StatusOr<PrivateKey> TriedSigningKey(std::shared_ptr<const TokenKey> key,
                                           const PublicKey& public_key) {
  if (public_key.id() != key->id()) {
    return absl::InvalidArgumentError(key->uri() + " is not the key of its certificate");
  }
  PrivateKey found = PrivateKey::FromExternal(AsSigner(key), public_key);
  const ByteView probe = AsBytes("nark token key probe");
  ASSIGN_OR_RETURN(const Signature signature, found.Sign({probe}));
  if (public_key.Verify({probe}, signature).ok()) return found;
  return absl::FailedPreconditionError(key->uri() + " does not sign for its public key");
}

absl::StatusOr<std::shared_ptr<const ExternalMacKey>> TriedMacKey(
    std::shared_ptr<const TokenKey> key) {
  auto found = AsMacKey(std::move(key));
  RETURN_IF_ERROR(found->Mac({AsBytes("nark token key probe")}).status());
  return found;
}

// Makes a key pair, reads its public half, and names both after that.
absl::StatusOr<KeyUri> MakePair(Token& token, const KeyPlace& place, const Kind& kind) {
  KeyUri uri;
  RETURN_IF_ERROR(
      token.Run(absl::StrCat("making the key ", Absl(kind.name)), [&](const Session& session) {
        CK_MECHANISM how = {FormOf(session, kind).generation, nullptr, 0};
        Template shared, sealed;
        shared.Add(CKA_TOKEN, true).Add(CKA_PRIVATE, false).Add(CKA_EC_PARAMS, kind.curve);
        sealed.Add(CKA_TOKEN, true);
        AddSeal(sealed).Add(kind.use, true);
        CK_OBJECT_HANDLE half = 0, key = 0;
        CK_RV result =
            session.functions.C_GenerateKeyPair(session.handle, &how, shared.data(), shared.size(),
                                                sealed.data(), sealed.size(), &half, &key);
        if (result != CKR_OK) return result;
        Bytes point;
        result = ReadAttribute(session, half, CKA_EC_POINT, point);
        if (point.size() > 2 && point[0] == 0x04 && point[1] == point.size() - 2) {
          point.erase(point.begin(), point.begin() + 2);
        }
        uri = UriOf(place, kind.name, KeyClass::kPrivate, kind.id(point));
        Template name;
        name.Add(CKA_LABEL, AsBytes(uri.object)).Add(CKA_ID, uri.id);
        for (const CK_OBJECT_HANDLE object : {half, key}) {
          if (result != CKR_OK) break;
          result = session.functions.C_SetAttributeValue(session.handle, object, name.data(),
                                                         name.size());
        }
        if (result != CKR_OK) {
          session.functions.C_DestroyObject(session.handle, half);
          session.functions.C_DestroyObject(session.handle, key);
        }
        return result;
      }));
  return uri;
}

// Whether the token has a key with this name. Its id is a hash of the key: it is the same.
absl::StatusOr<bool> Has(const std::shared_ptr<Token>& token, const KeyUri& uri) {
  const absl::Status found = TokenKey::Find(token, uri).status();
  if (absl::IsNotFound(found)) return false;
  if (!found.ok()) return found;
  return true;
}

// Puts both halves of a pair there.
absl::Status PutPair(const std::shared_ptr<Token>& token, const KeyUri& uri, const Kind& kind,
                     ByteView point, ByteView secret) {
  ASSIGN_OR_RETURN(const bool has, Has(token, uri));
  if (has) return absl::OkStatus();
  return token->Run(absl::StrCat("importing ", uri.object), [&](const Session& session) {
    const CK_KEY_TYPE type = FormOf(session, kind).key_type;
    Template shared, sealed;
    AddName(uri, shared)
        .Add(CKA_CLASS, CK_ULONG{CKO_PUBLIC_KEY})
        .Add(CKA_KEY_TYPE, CK_ULONG{type})
        .Add(CKA_PRIVATE, false)
        .Add(CKA_EC_PARAMS, kind.curve)
        .Add(CKA_EC_POINT, DerPoint(point));
    AddSeal(AddName(uri, sealed))
        .Add(CKA_CLASS, CK_ULONG{CKO_PRIVATE_KEY})
        .Add(CKA_KEY_TYPE, CK_ULONG{type})
        .Add(kind.use, true)
        .Add(CKA_EC_PARAMS, kind.curve)
        .Borrow(CKA_VALUE, secret);
    CK_OBJECT_HANDLE half = 0, key = 0;
    CK_RV result =
        session.functions.C_CreateObject(session.handle, shared.data(), shared.size(), &half);
    if (result != CKR_OK) return result;
    result = session.functions.C_CreateObject(session.handle, sealed.data(), sealed.size(), &key);
    if (result != CKR_OK) session.functions.C_DestroyObject(session.handle, half);
    return result;
  });
}

absl::Status PutMacKey(const std::shared_ptr<Token>& token, const KeyUri& uri,
                       const SecretBytes& mac_key) {
  ASSIGN_OR_RETURN(const bool has, Has(token, uri));
  if (has) return absl::OkStatus();
  return token->Run(absl::StrCat("importing ", uri.object), [&](const Session& session) {
    Template put;
    AddSeal(AddName(uri, put))
        .Add(CKA_CLASS, CK_ULONG{CKO_SECRET_KEY})
        .Add(CKA_KEY_TYPE, CK_ULONG{CKK_GENERIC_SECRET})
        .Add(CKA_SIGN, true)
        .Borrow(CKA_VALUE, mac_key.Reveal());
    CK_OBJECT_HANDLE key = 0;
    return session.functions.C_CreateObject(session.handle, put.data(), put.size(), &key);
  });
}

}  // namespace

absl::StatusOr<std::string> TokenOf(const std::string& uri) {
  ASSIGN_OR_RETURN(const KeyUri parsed, KeyUri::Parse(uri));
  return parsed.token;
}

absl::StatusOr<std::string> InToken(const std::string& uri, const std::string& token) {
  ASSIGN_OR_RETURN(KeyUri parsed, KeyUri::Parse(uri));
  parsed.token = token;
  return parsed.ToString();
}

absl::StatusOr<std::unique_ptr<TokenKeys>> TokenKeys::FromFiles(const std::string& module_path,
                                                                const std::string& pin_path,
                                                                Access access) {
  if (module_path.empty() != pin_path.empty()) {
    return absl::InvalidArgumentError("--pkcs11-module and --pkcs11-pin-file go together");
  }
  if (module_path.empty()) return nullptr;
  ASSIGN_OR_RETURN(SecretBytes pin, ReadPin(pin_path));
  return Create(module_path, std::move(pin), access);
}

absl::StatusOr<std::unique_ptr<TokenKeys>> TokenKeys::Create(const std::string& module_path,
                                                             SecretBytes pin, Access access) {
  ASSIGN_OR_RETURN(std::shared_ptr<Module> module, Module::Load(module_path));
  return std::unique_ptr<TokenKeys>(new TokenKeys(std::move(module), std::move(pin), access));
}

absl::StatusOr<std::shared_ptr<Token>> TokenKeys::Open(const std::string& label) {
  absl::MutexLock lock(&mutex_);
  if (const auto refused = refused_.find(label); refused != refused_.end()) {
    return refused->second;
  }
  std::shared_ptr<Token>& known = tokens_[label];
  if (known == nullptr) {
    auto token = Token::Open(module_, label, pin_.Clone(), access_);
    if (absl::IsUnauthenticated(token.status())) refused_.emplace(label, token.status());
    if (!token.ok()) return token.status();
    known = *std::move(token);
  }
  return known;
}

absl::StatusOr<HpkePrivateKey> TokenKeys::FindHpkeKey(const std::string& uri) {
  ASSIGN_OR_RETURN(const KeyUri parsed, KeyUri::Parse(uri));
  ASSIGN_OR_RETURN(auto token, Open(parsed.token));
  ASSIGN_OR_RETURN(auto key, TokenKey::Find(std::move(token), parsed));
  return TriedHpkeKey(std::move(key));
}

absl::StatusOr<PrivateKey> TokenKeys::FindSigningKey(const std::string& uri,
                                                     const PublicKey& public_key) {
  ASSIGN_OR_RETURN(const KeyUri parsed, KeyUri::Parse(uri));
  ASSIGN_OR_RETURN(auto token, Open(parsed.token));
  ASSIGN_OR_RETURN(auto key, TokenKey::Find(std::move(token), parsed));
  return TriedSigningKey(std::move(key), public_key);
}

absl::StatusOr<std::shared_ptr<const ExternalMacKey>> TokenKeys::FindMacKey(
    const std::string& uri) {
  ASSIGN_OR_RETURN(const KeyUri parsed, KeyUri::Parse(uri));
  ASSIGN_OR_RETURN(auto token, Open(parsed.token));
  ASSIGN_OR_RETURN(auto key, TokenKey::Find(std::move(token), parsed));
  return TriedMacKey(std::move(key));
}

absl::StatusOr<HpkePrivateKey> TokenKeys::MakeHpkeKey(const KeyPlace& place) {
  ASSIGN_OR_RETURN(auto token, Open(place.token));
  ASSIGN_OR_RETURN(const KeyUri uri, MakePair(*token, place, kHpke));
  return FindHpkeKey(uri.ToString());
}

absl::StatusOr<PrivateKey> TokenKeys::MakeSigningKey(const KeyPlace& place) {
  ASSIGN_OR_RETURN(auto token, Open(place.token));
  ASSIGN_OR_RETURN(const KeyUri uri, MakePair(*token, place, kSigning));
  ASSIGN_OR_RETURN(auto key, TokenKey::Find(std::move(token), uri));
  ASSIGN_OR_RETURN(const Bytes point, key->PublicPoint());
  ASSIGN_OR_RETURN(const PublicKey half, PublicKey::FromSpki(SpkiOf(point)));
  return TriedSigningKey(std::move(key), half);
}

absl::StatusOr<std::shared_ptr<const ExternalMacKey>> TokenKeys::MakeMacKey(const KeyPlace& place,
                                                                            Random& random) {
  Digest id;
  RETURN_IF_ERROR(random.Fill(id));
  const KeyUri uri = UriOf(place, "challenge", KeyClass::kSecret, id);
  ASSIGN_OR_RETURN(auto token, Open(place.token));
  RETURN_IF_ERROR(token->Run(absl::StrCat("making ", uri.object), [&](const Session& session) {
    CK_MECHANISM how = {CKM_GENERIC_SECRET_KEY_GEN, nullptr, 0};
    Template made;
    AddSeal(AddName(uri, made))
        .Add(CKA_KEY_TYPE, CK_ULONG{CKK_GENERIC_SECRET})
        .Add(CKA_VALUE_LEN, kMacKeyBytes)
        .Add(CKA_SIGN, true);
    CK_OBJECT_HANDLE key = 0;
    return session.functions.C_GenerateKey(session.handle, &how, made.data(), made.size(), &key);
  }));
  return FindMacKey(uri.ToString());
}

absl::StatusOr<HpkePrivateKey> TokenKeys::Import(const KeyPlace& place, const HpkePrivateKey& key) {
  const KeyUri uri =
      UriOf(place, kHpke.name, KeyClass::kPrivate, Sha256(ByteView(key.public_key())));
  ASSIGN_OR_RETURN(auto token, Open(place.token));
  RETURN_IF_ERROR(PutPair(token, uri, kHpke, key.public_key(), key.raw().Reveal()));
  return FindHpkeKey(uri.ToString());
}

absl::StatusOr<PrivateKey> TokenKeys::Import(const KeyPlace& place, const PrivateKey& key) {
  const PublicKey& half = key.public_key();
  const KeyUri uri = UriOf(place, kSigning.name, KeyClass::kPrivate, half.id());
  ASSIGN_OR_RETURN(const SecretBytes pkcs8, key.ToPkcs8());
  ASSIGN_OR_RETURN(auto token, Open(place.token));
  RETURN_IF_ERROR(PutPair(token, uri, kSigning, ByteView(half.spki()).subspan(sizeof kSpkiHead),
                          pkcs8.Reveal().subspan(kScalarAt, kScalarBytes)));
  return FindSigningKey(uri.ToString(), half);
}

absl::StatusOr<std::shared_ptr<const ExternalMacKey>> TokenKeys::Import(const KeyPlace& place,
                                                                        const SecretBytes& mac_key,
                                                                        const Digest& id) {
  const KeyUri uri = UriOf(place, "challenge", KeyClass::kSecret, id);
  ASSIGN_OR_RETURN(auto token, Open(place.token));
  RETURN_IF_ERROR(PutMacKey(token, uri, mac_key));
  ASSIGN_OR_RETURN(auto found, FindMacKey(uri.ToString()));
  const std::initializer_list<ByteView> probe = {AsBytes("nark token key probe")};
  ASSIGN_OR_RETURN(const Digest theirs, found->Mac(probe));
  if (theirs == HmacSha256(mac_key, probe)) return found;
  return absl::FailedPreconditionError(found->uri() + " does not do HMAC-SHA-256");
}

absl::StatusOr<int> TokenKeys::DestroyOthers(const KeyPlace& place, const std::set<Digest>& keep) {
  ASSIGN_OR_RETURN(auto token, Open(place.token));
  const std::string prefix = place.owner + "-";
  int keys = 0;
  RETURN_IF_ERROR(token->Run("destroying keys", [&](const Session& session) {
    Template all;
    all.Add(CKA_TOKEN, true);
    std::vector<CK_OBJECT_HANDLE> objects;
    CK_RV result = FindObjects(session, all, objects);
    for (const CK_OBJECT_HANDLE object : objects) {
      Bytes label, name, object_class;
      if (ReadAttribute(session, object, CKA_LABEL, label) != CKR_OK ||
          ReadAttribute(session, object, CKA_ID, name) != CKR_OK ||
          ReadAttribute(session, object, CKA_CLASS, object_class) != CKR_OK) {
        continue;  // not a key
      }
      Digest id{};
      if (!AsText(label).starts_with(prefix) || name.size() != id.size()) continue;
      std::copy(name.begin(), name.end(), id.begin());
      if (keep.contains(id)) continue;
      result = session.functions.C_DestroyObject(session.handle, object);
      if (result != CKR_OK) break;
      const CK_ULONG half = CKO_PUBLIC_KEY;
      keys += !Equal(object_class, ByteView(reinterpret_cast<const uint8_t*>(&half), sizeof half));
    }
    return result;
  }));
  return keys;
}

}  // namespace nark::pkcs11
