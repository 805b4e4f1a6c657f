#include "common/crypto/x509_parts.h"

#include <algorithm>
#include <ctime>

#include "common/base/status.h"

namespace nark {
namespace {

constexpr size_t kMaxSerialBytes = 20;
// YYMMDDHHMMSSZ and YYYYMMDDHHMMSSZ.
constexpr int kUtcTimeLength = 13;
constexpr int kGeneralizedTimeLength = 15;

absl::Status Refused(std::string_view what) {
  return OpenSslRefusal(absl::StatusCode::kInvalidArgument, what);
}

}  // namespace

absl::StatusOr<UniqueTime> ToAsn1(Timestamp t) {
  auto seconds = std::chrono::floor<std::chrono::seconds>(t).time_since_epoch().count();
  UniqueTime time(ASN1_TIME_set(nullptr, static_cast<time_t>(seconds)));
  if (time == nullptr) return Refused("a time beyond the year 9999");
  return time;
}

absl::StatusOr<Timestamp> FromAsn1(const ASN1_TIME* t) {
  int expected = ASN1_STRING_type(t) == V_ASN1_UTCTIME ? kUtcTimeLength : kGeneralizedTimeLength;
  std::tm parts{};
  if (ASN1_STRING_length(t) != expected || ASN1_STRING_get0_data(t)[expected - 1] != 'Z' ||
      ASN1_TIME_to_tm(t, &parts) != 1) {
    return Refused("a time in an encoding that RFC 5280 does not allow");
  }
  return Timestamp(std::chrono::seconds(::timegm(&parts)));
}

std::string SerialToHex(const ASN1_INTEGER* serial) {
  std::string hex =
      ToHex({ASN1_STRING_get0_data(serial), static_cast<size_t>(ASN1_STRING_length(serial))});
  return ASN1_STRING_type(serial) == V_ASN1_NEG_INTEGER ? "-" + hex : hex;
}

absl::StatusOr<UniqueInteger> SerialFromHex(std::string_view hex) {
  Bytes bytes = FromHex(hex);
  bool zero = std::all_of(bytes.begin(), bytes.end(), [](uint8_t b) { return b == 0; });
  if (zero || bytes.size() > kMaxSerialBytes) return Refused("not a serial number");
  UniqueBignum number(BN_bin2bn(bytes.data(), static_cast<int>(bytes.size()), nullptr));
  UniqueInteger serial(number == nullptr ? nullptr : BN_to_ASN1_INTEGER(number.get(), nullptr));
  if (serial == nullptr) return OpenSslError("cannot encode a serial number");
  return serial;
}

UniqueOctets SubjectKeyIdOf(const X509* certificate) {
  void* id = X509_get_ext_d2i(certificate, NID_subject_key_identifier, nullptr, nullptr);
  return UniqueOctets(static_cast<ASN1_OCTET_STRING*>(id));
}

absl::StatusOr<UniqueAuthorityKeyId> MakeAuthorityKeyId(const ASN1_OCTET_STRING* subject_key_id) {
  if (subject_key_id == nullptr) return Refused("the issuer's certificate has no key identifier");
  UniqueAuthorityKeyId id(AUTHORITY_KEYID_new());
  if (id == nullptr || (id->keyid = ASN1_OCTET_STRING_dup(subject_key_id)) == nullptr) {
    return OpenSslError("cannot make a key identifier");
  }
  return id;
}

bool IsEcdsaSha256(const X509_ALGOR* inner, const X509_ALGOR* outer) {
  const ASN1_OBJECT* object = nullptr;
  int parameter_type = 0;
  X509_ALGOR_get0(&object, &parameter_type, nullptr, outer);
  // RFC 5758 section 3.2: the parameters are absent.
  return X509_ALGOR_cmp(inner, outer) == 0 && OBJ_obj2nid(object) == NID_ecdsa_with_SHA256 &&
         parameter_type == V_ASN1_UNDEF;
}

}  // namespace nark
