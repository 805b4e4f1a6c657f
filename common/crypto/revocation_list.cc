#include <algorithm>

#include "absl/strings/str_cat.h"
#include "common/base/status.h"
#include "common/crypto/certificate.h"
#include "common/crypto/certificate_parsed.h"
#include "common/crypto/pem.h"
#include "common/crypto/x509_parts.h"

namespace nark {
namespace {

constexpr char kPemLabel[] = "X509 CRL";

absl::Status Refused(std::string_view why) {
  return OpenSslRefusal(absl::StatusCode::kInvalidArgument, why);
}

absl::Status Cannot() { return OpenSslError("cannot make a revocation list"); }

// As of certificates: the bytes parsed from, and the signed part encoded anew.
bool ReencodesTo(X509_CRL* crl, ByteView der) {
  Bytes before = EncodeWhole(crl, i2d_X509_CRL);
  Bytes tbs = EncodeWhole(crl, i2d_re_X509_CRL_tbs);
  return !tbs.empty() && Equal(before, der) && Equal(EncodeWhole(crl, i2d_X509_CRL), der);
}

bool HasCritical(const STACK_OF(X509_EXTENSION) * extensions) {
  return X509v3_get_ext_by_critical(extensions, 1, -1) >= 0;
}

absl::Status CheckForm(X509_CRL* crl, ByteView der) {
  const X509_ALGOR* outer = nullptr;
  X509_CRL_get0_signature(crl, nullptr, &outer);
  if (X509_CRL_get_version(crl) != X509_CRL_VERSION_2) {
    return Refused("a revocation list that is not of version 2");
  }
  // OpenSSL shows the outer field alone; the inner one is under the signature.
  if (!IsEcdsaSha256(outer, outer)) {
    return Refused("a revocation list not signed with ECDSA and SHA-256");
  }
  if (!ReencodesTo(crl, der)) return Refused("a revocation list that is not DER");
  // A critical extension narrows what a list says (to one scope, to changes since
  // another list): none is understood here.
  if (HasCritical(X509_CRL_get0_extensions(crl))) {
    return Refused("a revocation list with a critical extension");
  }
  if (X509_CRL_get0_nextUpdate(crl) == nullptr) {
    return Refused("a revocation list that does not say when the next one comes");
  }
  return absl::OkStatus();
}

absl::StatusOr<std::vector<std::string>> SerialsOf(X509_CRL* crl) {
  std::vector<std::string> serials;
  STACK_OF(X509_REVOKED)* entries = X509_CRL_get_REVOKED(crl);
  for (int i = 0; i < sk_X509_REVOKED_num(entries); ++i) {
    const X509_REVOKED* entry = sk_X509_REVOKED_value(entries, i);
    if (HasCritical(X509_REVOKED_get0_extensions(entry))) {
      return Refused("a revocation list with a critical extension in an entry");
    }
    serials.push_back(SerialToHex(X509_REVOKED_get0_serialNumber(entry)));
  }
  std::sort(serials.begin(), serials.end());
  return serials;
}

absl::StatusOr<uint64_t> NumberOf(X509_CRL* crl) {
  int how = 0;
  UniqueInteger number(
      static_cast<ASN1_INTEGER*>(X509_CRL_get_ext_d2i(crl, NID_crl_number, &how, nullptr)));
  if (how == -1) return 0;  // none
  uint64_t value = 0;
  if (number == nullptr || ASN1_INTEGER_get_uint64(&value, number.get()) != 1) {
    return Refused("a revocation list with a number that is none");
  }
  return value;
}

absl::Status AddEntry(X509_CRL* crl, const std::string& serial_hex, const ASN1_TIME* date) {
  ASSIGN_OR_RETURN(UniqueInteger serial, SerialFromHex(serial_hex));
  UniqueRevoked entry(X509_REVOKED_new());
  if (entry == nullptr || X509_REVOKED_set_serialNumber(entry.get(), serial.get()) != 1 ||
      X509_REVOKED_set_revocationDate(entry.get(), const_cast<ASN1_TIME*>(date)) != 1 ||
      X509_CRL_add0_revoked(crl, entry.get()) != 1) {
    return Cannot();
  }
  (void)entry.release();
  return absl::OkStatus();
}

absl::Status AddExtensions(X509_CRL* crl, X509* issuer, uint64_t number) {
  ASSIGN_OR_RETURN(UniqueAuthorityKeyId id, MakeAuthorityKeyId(SubjectKeyIdOf(issuer).get()));
  UniqueInteger crl_number(ASN1_INTEGER_new());
  if (crl_number == nullptr || ASN1_INTEGER_set_uint64(crl_number.get(), number) != 1 ||
      X509_CRL_add1_ext_i2d(crl, NID_authority_key_identifier, id.get(), 0, X509V3_ADD_DEFAULT) !=
          1 ||
      X509_CRL_add1_ext_i2d(crl, NID_crl_number, crl_number.get(), 0, X509V3_ADD_DEFAULT) != 1) {
    return Cannot();
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<RevocationList> RevocationList::FromDer(ByteView der) {
  UniqueCrl crl = DecodeWhole<UniqueCrl>(der, d2i_X509_CRL);
  if (crl == nullptr) return Refused("not a revocation list");
  RETURN_IF_ERROR(CheckForm(crl.get(), der));
  auto parsed = std::make_shared<Parsed>();
  ASSIGN_OR_RETURN(parsed->serials_hex, SerialsOf(crl.get()));
  ASSIGN_OR_RETURN(parsed->number, NumberOf(crl.get()));
  ASSIGN_OR_RETURN(parsed->this_update, FromAsn1(X509_CRL_get0_lastUpdate(crl.get())));
  ASSIGN_OR_RETURN(parsed->next_update, FromAsn1(X509_CRL_get0_nextUpdate(crl.get())));
  parsed->crl = std::move(crl);
  parsed->der = ToBytes(der);
  return RevocationList(std::move(parsed));
}

absl::StatusOr<RevocationList> RevocationList::FromPem(ByteView pem) {
  ASSIGN_OR_RETURN(Bytes der, DecodeOnePem(kPemLabel, pem));
  return FromDer(der);
}

std::string RevocationList::ToPem() const { return EncodePem(kPemLabel, parsed_->der); }
Timestamp RevocationList::this_update() const { return parsed_->this_update; }
Timestamp RevocationList::next_update() const { return parsed_->next_update; }
std::vector<std::string> RevocationList::serials_hex() const { return parsed_->serials_hex; }
uint64_t RevocationList::number() const { return parsed_->number; }

absl::Status RevocationList::VerifySignedBy(const Certificate& issuer) const {
  const Digest& key = issuer.public_key().id();
  {
    absl::MutexLock lock(&parsed_->mutex);
    if (parsed_->verified_by == key) return absl::OkStatus();
  }
  bool may_sign = (X509_get_key_usage(issuer.parsed().x509.get()) & KU_CRL_SIGN) != 0;
  if (!may_sign || X509_CRL_verify(parsed_->crl.get(), issuer.public_key().evp()) != 1) {
    return OpenSslRefusal(
        absl::StatusCode::kUnauthenticated,
        absl::StrCat("the revocation list is not signed by \"", issuer.subject(), "\""));
  }
  absl::MutexLock lock(&parsed_->mutex);
  parsed_->verified_by = key;
  return absl::OkStatus();
}

absl::StatusOr<RevocationList> IssueRevocationList(const Certificate& issuer,
                                                   const PrivateKey& issuer_key,
                                                   const std::vector<std::string>& serials_hex,
                                                   Timestamp this_update, Timestamp next_update,
                                                   uint64_t number) {
  if (issuer_key.public_key().id() != issuer.public_key().id()) {
    return absl::InvalidArgumentError(
        absl::StrCat("the key does not belong to the certificate ", issuer.subject()));
  }
  if (next_update <= this_update) {
    return absl::InvalidArgumentError("a revocation list that ends before it begins");
  }
  X509* signer = issuer.parsed().x509.get();
  UniqueCrl crl(X509_CRL_new());
  ASSIGN_OR_RETURN(UniqueTime from, ToAsn1(this_update));
  ASSIGN_OR_RETURN(UniqueTime until, ToAsn1(next_update));
  if (crl == nullptr || X509_CRL_set_version(crl.get(), X509_CRL_VERSION_2) != 1 ||
      X509_CRL_set_issuer_name(crl.get(), X509_get_subject_name(signer)) != 1 ||
      X509_CRL_set1_lastUpdate(crl.get(), from.get()) != 1 ||
      X509_CRL_set1_nextUpdate(crl.get(), until.get()) != 1) {
    return Cannot();
  }
  std::vector<std::string> serials = serials_hex;
  std::sort(serials.begin(), serials.end());
  serials.erase(std::unique(serials.begin(), serials.end()), serials.end());
  for (const std::string& serial : serials) {
    RETURN_IF_ERROR(AddEntry(crl.get(), serial, from.get()));
  }
  RETURN_IF_ERROR(AddExtensions(crl.get(), signer, number));
  ASSIGN_OR_RETURN(EVP_PKEY * key, issuer_key.InMemory());
  if (X509_CRL_sign(crl.get(), key, EVP_sha256()) <= 0) return Cannot();
  return RevocationList::FromDer(EncodeWhole(crl.get(), i2d_X509_CRL));
}

}  // namespace nark
