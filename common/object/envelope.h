#ifndef NARK_COMMON_OBJECT_ENVELOPE_H_
#define NARK_COMMON_OBJECT_ENVELOPE_H_

#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/base/bytes.h"
#include "common/base/clock.h"
#include "common/crypto/certificate.h"
#include "common/crypto/signature.h"
#include "nark/v1/envelope.pb.h"

namespace nark {

// Payload types of the signed objects. Each has one meaning for ever.
namespace payload_type {
inline constexpr std::string_view kTerms = "application/vnd.nark.terms.v1+protobuf";
inline constexpr std::string_view kSessionDescriptor =
    "application/vnd.nark.session-descriptor.v1+protobuf";
inline constexpr std::string_view kVoucher = "application/vnd.nark.voucher.v1+protobuf";
inline constexpr std::string_view kChallenge = "application/vnd.nark.challenge.v1+protobuf";
inline constexpr std::string_view kEvidence = "application/vnd.nark.evidence.v1+protobuf";
inline constexpr std::string_view kGrant = "application/vnd.nark.grant.v1+protobuf";
inline constexpr std::string_view kDeliveryNote = "application/vnd.nark.delivery-note.v1+protobuf";
inline constexpr std::string_view kRefundReceipt =
    "application/vnd.nark.refund-receipt.v1+protobuf";
inline constexpr std::string_view kSenderFile = "application/vnd.nark.sender-file.v1+protobuf";
inline constexpr std::string_view kPoolManifest = "application/vnd.nark.pool-manifest.v1+protobuf";
inline constexpr std::string_view kDenyList = "application/vnd.nark.deny-list.v1+protobuf";
inline constexpr std::string_view kControlOrder = "application/vnd.nark.control-order.v1+protobuf";
inline constexpr std::string_view kAduHeader = "application/vnd.nark.adu-header.v1";
inline constexpr std::string_view kAduBatch = "application/vnd.nark.adu-batch.v1";
}  // namespace payload_type

// The pre-authentication encoding of DSSE up to where the payload begins:
//   "DSSEv1" SP LEN(type) SP type SP LEN(payload) SP
// Hash or sign it together with the payload, without joining the two.
std::string PreAuthenticationPrefix(std::string_view payload_type, size_t payload_bytes);

// SHA-256 of the pre-authentication encoding: the identity of a signed object.
Digest ObjectIdentity(std::string_view payload_type, ByteView payload);
Digest ObjectIdentity(const v1::SignedEnvelope& envelope);

// Limits of an envelope.
inline constexpr size_t kMaxPayloadTypeBytes = 80;
inline constexpr size_t kMaxPayloadBytes = 1 << 20;
inline constexpr int kMaxEnvelopeCertificates = 4;

// Signs `payload`. `certificates` (leaf first, root left out) go along unsigned.
absl::StatusOr<v1::SignedEnvelope> SignEnvelope(std::string_view payload_type,
                                                std::string_view payload, const PrivateKey& key,
                                                const std::vector<Certificate>& certificates);

// Checks type, key id and signature under a key that the caller already trusts;
// such an envelope carries no certificates. UNAUTHENTICATED where one of them is
// wrong; the message says which.
absl::Status VerifyEnvelope(const v1::SignedEnvelope& envelope, std::string_view payload_type,
                            const PublicKey& key);

// The same under the chain that the envelope carries, which must lead to `root`
// by `rules`. Returns the signer's certificate.
absl::StatusOr<Certificate> VerifyEnvelopeChain(const v1::SignedEnvelope& envelope,
                                                std::string_view payload_type,
                                                const Certificate& root, const ChainRules& rules);

// Certificates out of a message (X.509 DER, 1 to 4). Parsed, not verified.
// UNAUTHENTICATED where one is none, with its ChainFault.
absl::StatusOr<std::vector<Certificate>> ParseCertificates(
    const google::protobuf::RepeatedPtrField<std::string>& certificates);

// Parses a message whose bytes came from outside: refuses bytes that are not
// the canonical serialisation (unknown fields, changed order, padding), so that
// no bit of a file is without meaning. `what` names it in the message.
absl::Status ParseStrictly(ByteView bytes, std::string_view what, google::protobuf::Message& to);

// The payload of an envelope that has been verified.
template <typename Message>
absl::StatusOr<Message> PayloadOf(const v1::SignedEnvelope& envelope, std::string_view what) {
  Message message;
  absl::Status status = ParseStrictly(AsBytes(envelope.payload()), what, message);
  if (!status.ok()) return status;
  return message;
}

// The envelope without what this version does not know. Nothing signs those fields and
// nobody checks them: whoever keeps, hashes or passes on an envelope keeps this, or
// anybody could make one object look like many, of any size. Never for payloads.
v1::SignedEnvelope KnownFields(v1::SignedEnvelope envelope);

// Canonical bytes of a message (deterministic serialisation).
std::string Serialise(const google::protobuf::Message& message);

}  // namespace nark

#endif  // NARK_COMMON_OBJECT_ENVELOPE_H_
