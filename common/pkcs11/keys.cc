#include "common/pkcs11/keys.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/base/status.h"

namespace nark::pkcs11 {
namespace {

constexpr size_t kX25519Bytes = 32;

Template Searched(CK_OBJECT_CLASS object_class, const Digest& id) {
  Template searched;
  searched.Add(CKA_TOKEN, true).Add(CKA_CLASS, CK_ULONG{object_class}).Add(CKA_ID, id);
  return searched;
}

CK_OBJECT_CLASS ClassOf(const KeyUri& uri) {
  return uri.key_class == KeyClass::kPrivate ? CKO_PRIVATE_KEY : CKO_SECRET_KEY;
}

// Whether the token answers for the key never to leave it.
CK_RV IsSealed(const Session& session, CK_OBJECT_HANDLE key, bool& sealed) {
  bool sensitive = false, extractable = true;
  CK_RV result = ReadFlag(session, key, CKA_SENSITIVE, sensitive);
  if (result == CKR_OK) result = ReadFlag(session, key, CKA_EXTRACTABLE, extractable);
  sealed = sensitive && !extractable;
  return result;
}

class Agreement final : public X25519Agreement {
 public:
  explicit Agreement(std::shared_ptr<const TokenKey> key) : key_(std::move(key)) {}
  const std::string& uri() const override { return key_->uri(); }
  const Digest& id() const override { return key_->id(); }
  absl::StatusOr<SecretBytes> Agree(ByteView public_key) const override {
    return key_->Agree(public_key);
  }

 private:
  const std::shared_ptr<const TokenKey> key_;
};

class Signer final : public EcdsaSigner {
 public:
  explicit Signer(std::shared_ptr<const TokenKey> key) : key_(std::move(key)) {}
  const std::string& uri() const override { return key_->uri(); }
  const Digest& id() const override { return key_->id(); }
  absl::StatusOr<Signature> SignDigest(const Digest& digest) const override {
    Signature signature{};
    ASSIGN_OR_RETURN(const Bytes made, key_->Sign(CKM_ECDSA, digest, signature.size()));
    std::copy(made.begin(), made.end(), signature.begin());
    return signature;
  }

 private:
  const std::shared_ptr<const TokenKey> key_;
};

class MacKey final : public ExternalMacKey {
 public:
  explicit MacKey(std::shared_ptr<const TokenKey> key) : key_(std::move(key)) {}
  const std::string& uri() const override { return key_->uri(); }
  const Digest& id() const override { return key_->id(); }
  absl::StatusOr<Digest> Mac(std::initializer_list<ByteView> parts) const override {
    Bytes message;
    for (const ByteView part : parts) message.insert(message.end(), part.begin(), part.end());
    Digest mac{};
    ASSIGN_OR_RETURN(const Bytes made, key_->Sign(CKM_SHA256_HMAC, message, mac.size()));
    std::copy(made.begin(), made.end(), mac.begin());
    return mac;
  }

 private:
  const std::shared_ptr<const TokenKey> key_;
};

}  // namespace

absl::StatusOr<std::shared_ptr<TokenKey>> TokenKey::Find(std::shared_ptr<Token> token,
                                                         const KeyUri& uri) {
  std::shared_ptr<TokenKey> key(new TokenKey(std::move(token), uri));
  const std::string where = absl::StrCat("the key ", uri.object, " in token '", uri.token, "'");
  size_t found = 0;
  bool asked = false, sealed = false;
  RETURN_IF_ERROR(
      key->token_->Run(absl::StrCat("finding ", uri.object), [&](const Session& session) {
        Template searched = Searched(ClassOf(uri), uri.id);
        std::vector<CK_OBJECT_HANDLE> objects;
        const CK_RV result = FindObjects(session, searched, objects);
        found = objects.size();
        // A token that is gone may seem empty: it has to say so after another login.
        const bool first = std::exchange(asked, true) == false;
        if (result == CKR_OK && found == 0 && first) return CK_RV{CKR_KEY_HANDLE_INVALID};
        if (result != CKR_OK || found != 1) return result;
        absl::MutexLock lock(&key->mutex_);
        key->handle_ = objects.front();
        key->epoch_ = session.epoch;
        return IsSealed(session, objects.front(), sealed);
      }));
  if (found == 0) return absl::NotFoundError(where + " is not there");
  if (found > 1) return absl::FailedPreconditionError(where + " is there twice");
  if (!sealed) {
    return absl::FailedPreconditionError(
        where + " could be read out (it must be sensitive and not extractable); make another");
  }
  return key;
}

CK_RV TokenKey::Handle(const Session& session, CK_OBJECT_HANDLE& handle) const {
  absl::MutexLock lock(&mutex_);
  if (epoch_ != session.epoch) {
    Template searched = Searched(ClassOf(uri_), uri_.id);
    std::vector<CK_OBJECT_HANDLE> objects;
    const CK_RV result = FindObjects(session, searched, objects);
    if (result != CKR_OK) return result;
    if (objects.size() != 1) return CKR_KEY_HANDLE_INVALID;
    handle_ = objects.front();
    epoch_ = session.epoch;
  }
  handle = handle_;
  return CKR_OK;
}

absl::StatusOr<Bytes> TokenKey::PublicPoint() const {
  Bytes point;
  size_t found = 0;
  RETURN_IF_ERROR(token_->Run(absl::StrCat("reading the public key of ", uri_.object),
                              [&](const Session& session) {
                                Template searched = Searched(CKO_PUBLIC_KEY, uri_.id);
                                std::vector<CK_OBJECT_HANDLE> objects;
                                const CK_RV result = FindObjects(session, searched, objects);
                                found = objects.size();
                                if (result != CKR_OK || found != 1) return result;
                                return ReadAttribute(session, objects.front(), CKA_EC_POINT, point);
                              }));
  if (found != 1) {
    return absl::NotFoundError(
        absl::StrCat("token '", uri_.token, "' has no public key beside ", uri_.object));
  }
  // DER OCTET STRING, or in some tokens the bare point.
  if (point.size() > 2 && point[0] == 0x04 && point[1] == point.size() - 2) {
    point.erase(point.begin(), point.begin() + 2);
  }
  return point;
}

absl::StatusOr<Bytes> TokenKey::Sign(CK_MECHANISM_TYPE mechanism, ByteView data,
                                     size_t size) const {
  Bytes made(size);
  RETURN_IF_ERROR(token_->Run(absl::StrCat("using ", uri_.object), [&](const Session& session) {
    CK_OBJECT_HANDLE key = 0;
    CK_RV result = Handle(session, key);
    if (result != CKR_OK) return result;
    CK_MECHANISM how = {mechanism, nullptr, 0};
    result = session.functions.C_SignInit(session.handle, &how, key);
    if (result != CKR_OK) return result;
    CK_ULONG length = static_cast<CK_ULONG>(made.size());
    result = session.functions.C_Sign(session.handle, const_cast<uint8_t*>(data.data()),
                                      static_cast<CK_ULONG>(data.size()), made.data(), &length);
    return result == CKR_OK && length != made.size() ? CKR_FUNCTION_FAILED : result;
  }));
  return made;
}

absl::StatusOr<SecretBytes> TokenKey::Agree(ByteView public_key) const {
  SecretBytes shared(kX25519Bytes);
  RETURN_IF_ERROR(token_->Run(absl::StrCat("using ", uri_.object), [&](const Session& session) {
    CK_OBJECT_HANDLE key = 0;
    CK_RV result = Handle(session, key);
    if (result != CKR_OK) return result;
    CK_ECDH1_DERIVE_PARAMS parameters{};
    parameters.kdf = CKD_NULL;
    parameters.pPublicData = const_cast<uint8_t*>(public_key.data());
    parameters.ulPublicDataLen = static_cast<CK_ULONG>(public_key.size());
    CK_MECHANISM how = {CKM_ECDH1_DERIVE, &parameters, sizeof parameters};
    // What is agreed on has to come here: HPKE's further steps are not the token's. The key
    // stays.
    Template derived;
    derived.Add(CKA_TOKEN, false)
        .Add(CKA_CLASS, CK_ULONG{CKO_SECRET_KEY})
        .Add(CKA_KEY_TYPE, CK_ULONG{CKK_GENERIC_SECRET})
        .Add(CKA_SENSITIVE, false)
        .Add(CKA_EXTRACTABLE, true)
        .Add(CKA_VALUE_LEN, CK_ULONG{kX25519Bytes});
    CK_OBJECT_HANDLE object = 0;
    result = session.functions.C_DeriveKey(session.handle, &how, key, derived.data(),
                                           derived.size(), &object);
    if (result != CKR_OK) return result;
    const MutableByteView to = shared.RevealMutable();
    CK_ATTRIBUTE value = {CKA_VALUE, to.data(), static_cast<CK_ULONG>(to.size())};
    result = session.functions.C_GetAttributeValue(session.handle, object, &value, 1);
    if (result == CKR_OK && value.ulValueLen != to.size()) result = CKR_FUNCTION_FAILED;
    const CK_RV destroyed = session.functions.C_DestroyObject(session.handle, object);
    return result != CKR_OK ? result : destroyed;
  }));
  return shared;
}

std::shared_ptr<const X25519Agreement> AsAgreement(std::shared_ptr<const TokenKey> key) {
  return std::make_shared<const Agreement>(std::move(key));
}

std::shared_ptr<const EcdsaSigner> AsSigner(std::shared_ptr<const TokenKey> key) {
  return std::make_shared<const Signer>(std::move(key));
}

std::shared_ptr<const ExternalMacKey> AsMacKey(std::shared_ptr<const TokenKey> key) {
  return std::make_shared<const MacKey>(std::move(key));
}

}  // namespace nark::pkcs11
