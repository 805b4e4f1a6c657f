#include "keymanager/request_shape.h"

#include <array>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/base/status.h"
#include "common/crypto/certificate.h"
#include "common/crypto/hash.h"

namespace nark::keymanager {
namespace {

constexpr size_t kMaxDescriptorBytes = 1 << 20;
constexpr size_t kMaxVoucherBytes = 64 << 10;
constexpr size_t kMaxEvidenceBytes = 4 << 10;
constexpr size_t kMaxCertificateBytes = 4 << 10;
constexpr int kMaxCertificates = 4;

absl::Status CheckCertificates(const google::protobuf::RepeatedPtrField<std::string>& certificates,
                               std::string_view where) {
  if (certificates.size() > kMaxCertificates) {
    return absl::InvalidArgumentError(absl::StrCat(Absl(where), " has more than 4 certificates"));
  }
  for (const std::string& certificate : certificates) {
    if (certificate.empty() || certificate.size() > kMaxCertificateBytes) {
      return absl::InvalidArgumentError(
          absl::StrCat(Absl(where), " has a certificate that is empty or above 4 KiB"));
    }
  }
  return absl::OkStatus();
}

absl::Status CheckEnvelope(const v1::SignedEnvelope& envelope, size_t max_payload_bytes,
                           std::string_view where) {
  const size_t size = envelope.payload().size();
  if (size == 0 || size > max_payload_bytes) {
    return absl::InvalidArgumentError(
        absl::StrCat(Absl(where), " has a payload of ", size, " bytes"));
  }
  if (envelope.key_id().size() != 32 || envelope.signature().size() != 64) {
    return absl::InvalidArgumentError(
        absl::StrCat(Absl(where), " has a key id or signature of the wrong size"));
  }
  return CheckCertificates(envelope.certificates(), where);
}

// Sizes go in front, so that no two lists of parts look alike.
void Absorb(Sha256Stream& hash, ByteView part) {
  std::array<uint8_t, 4> size;
  StoreBig32(size.data(), static_cast<uint32_t>(part.size()));
  hash.Update(size);
  hash.Update(part);
}

}  // namespace

absl::Status CheckShape(const v1::IssueGrantRequest& request) {
  RETURN_IF_ERROR(
      CheckEnvelope(request.session_descriptor(), kMaxDescriptorBytes, "the descriptor"));
  RETURN_IF_ERROR(CheckEnvelope(request.voucher(), kMaxVoucherBytes, "the voucher"));
  RETURN_IF_ERROR(CheckEnvelope(request.evidence(), kMaxEvidenceBytes, "the evidence"));
  if (request.secure_space_certificates().empty()) {
    return absl::InvalidArgumentError("the secure space's certificate is missing");
  }
  absl::Status chain = CheckCertificates(request.secure_space_certificates(), "the secure space");
  return request.secure_space_certificates_size() > kMaxCertificates
             ? WithChainFault(std::move(chain), ChainFault::kLength)
             : chain;
}

Digest NameOf(const v1::SignedEnvelope& envelope) {
  Sha256Stream hash;
  Absorb(hash, AsBytes(envelope.payload_type()));
  Absorb(hash, AsBytes(envelope.payload()));
  Absorb(hash, AsBytes(envelope.key_id()));
  Absorb(hash, AsBytes(envelope.signature()));
  for (const std::string& certificate : envelope.certificates()) {
    Absorb(hash, AsBytes(certificate));
  }
  return hash.Finish();
}

Digest NameOf(const google::protobuf::RepeatedPtrField<std::string>& certificates) {
  Sha256Stream hash;
  for (const std::string& certificate : certificates) Absorb(hash, AsBytes(certificate));
  return hash.Finish();
}

Digest NameOf(const v1::IssueGrantRequest& request) {
  Sha256Stream hash;
  hash.Update(NameOf(request.session_descriptor()));
  hash.Update(NameOf(request.voucher()));
  hash.Update(NameOf(request.evidence()));
  hash.Update(NameOf(request.secure_space_certificates()));
  Absorb(hash, AsBytes(request.challenge().body()));
  Absorb(hash, AsBytes(request.challenge().mac_key_id()));
  Absorb(hash, AsBytes(request.challenge().mac()));
  return hash.Finish();
}

}  // namespace nark::keymanager
