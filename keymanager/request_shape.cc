#include "keymanager/request_shape.h"

#include <google/protobuf/descriptor.h>
#include <google/protobuf/io/coded_stream.h>
#include <google/protobuf/wire_format_lite.h>

#include <array>
#include <limits>
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

constexpr size_t kMaxChallengeRequestBytes = 1 << 10;
// All parts at their largest, and room for what names them.
constexpr size_t kMaxGrantRequestBytes = kMaxDescriptorBytes + kMaxVoucherBytes +
                                         kMaxEvidenceBytes +
                                         4 * kMaxCertificates * kMaxCertificateBytes + (16 << 10);
// An honest one has some thirty; five times as many certificates still get a reason.
constexpr int kMaxFields = 128;

// Takes the fields of a message, and of those in it, from `left`.
bool WalkFields(google::protobuf::io::CodedInputStream& in,
                const google::protobuf::Descriptor& message, int& left) {
  using google::protobuf::internal::WireFormatLite;
  while (const uint32_t tag = in.ReadTag()) {
    const auto* field = message.FindFieldByNumber(WireFormatLite::GetTagFieldNumber(tag));
    if (field == nullptr || --left < 0) return false;
    // As another kind it would be kept as unknown, whatever is in it: a group may hold much.
    const auto type = static_cast<WireFormatLite::FieldType>(field->type());
    if (WireFormatLite::GetTagWireType(tag) != WireFormatLite::WireTypeForFieldType(type)) {
      return false;
    }
    if (field->message_type() == nullptr) {
      if (!WireFormatLite::SkipField(&in, tag)) return false;
      continue;
    }
    uint32_t size = 0;
    if (!in.ReadVarint32(&size) || size > static_cast<uint32_t>(std::numeric_limits<int>::max())) {
      return false;
    }
    // The messages of a request are no deeper than the contract, which does not repeat itself.
    const auto outer = in.PushLimit(static_cast<int>(size));
    if (!WalkFields(in, *field->message_type(), left) || in.BytesUntilLimit() != 0) return false;
    in.PopLimit(outer);
  }
  return in.ConsumedEntireMessage();
}

template <typename Request>
absl::Status Parse(ByteView bytes, Request& request) {
  google::protobuf::io::CodedInputStream in(bytes.data(), static_cast<int>(bytes.size()));
  int left = kMaxFields;
  if (bytes.size() > MostBytesOf(request) || !WalkFields(in, *Request::descriptor(), left)) {
    return absl::InvalidArgumentError(
        absl::StrCat("a message of ", bytes.size(), " bytes that is none of the contract's"));
  }
  if (!request.ParseFromArray(bytes.data(), static_cast<int>(bytes.size()))) {
    return absl::InvalidArgumentError("a message that does not parse");
  }
  return absl::OkStatus();
}

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

absl::Status ParseRequest(ByteView bytes, v1::GetChallengeRequest& request) {
  return Parse(bytes, request);
}

absl::Status ParseRequest(ByteView bytes, v1::IssueGrantRequest& request) {
  return Parse(bytes, request);
}

absl::Status ParseRequest(ByteView bytes, v1::GetMarkedBlockRequest& request) {
  return Parse(bytes, request);
}

size_t MostBytesOf(const v1::GetChallengeRequest&) { return kMaxChallengeRequestBytes; }

size_t MostBytesOf(const v1::IssueGrantRequest&) { return kMaxGrantRequestBytes; }

size_t MostBytesOf(const v1::GetMarkedBlockRequest&) { return kMaxGrantRequestBytes; }

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
