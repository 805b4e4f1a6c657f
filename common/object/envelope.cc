#include "common/object/envelope.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "common/base/status.h"
#include "common/crypto/hash.h"
#include "google/protobuf/io/coded_stream.h"
#include "google/protobuf/io/zero_copy_stream_impl_lite.h"
#include "google/protobuf/stubs/logging.h"

namespace nark {
namespace {

absl::Status CheckType(const v1::SignedEnvelope& envelope, std::string_view payload_type) {
  if (envelope.payload_type() != payload_type) {
    // What came instead is not printed where it could be anything.
    const std::string& got = envelope.payload_type();
    if (got.empty() || got.size() > kMaxPayloadTypeBytes ||
        got.find_first_not_of("abcdefghijklmnopqrstuvwxyz0123456789./+-") != std::string::npos) {
      return absl::UnauthenticatedError(
          absl::StrCat("the signed object is not of type ", Absl(payload_type)));
    }
    return absl::UnauthenticatedError(
        absl::StrCat("the signed object is of type ", got, ", not of type ", Absl(payload_type)));
  }
  if (envelope.payload().size() > kMaxPayloadBytes) {
    return absl::UnauthenticatedError("the signed object is larger than 1 MiB");
  }
  return absl::OkStatus();
}

absl::Status CheckSignature(const v1::SignedEnvelope& envelope, const PublicKey& key) {
  if (!Equal(AsBytes(envelope.key_id()), key.id())) {
    return absl::UnauthenticatedError("the signature names another key than its signer's");
  }
  if (envelope.signature().size() != Signature().size()) {
    return absl::UnauthenticatedError("the signature is not 64 bytes");
  }
  std::string prefix = PreAuthenticationPrefix(envelope.payload_type(), envelope.payload().size());
  return key.Verify({AsBytes(prefix), AsBytes(envelope.payload())}, AsBytes(envelope.signature()));
}

}  // namespace

std::string PreAuthenticationPrefix(std::string_view payload_type, size_t payload_bytes) {
  return absl::StrCat("DSSEv1 ", payload_type.size(), " ", Absl(payload_type), " ", payload_bytes,
                      " ");
}

Digest ObjectIdentity(std::string_view payload_type, ByteView payload) {
  std::string prefix = PreAuthenticationPrefix(payload_type, payload.size());
  return Sha256({AsBytes(prefix), payload});
}

Digest ObjectIdentity(const v1::SignedEnvelope& envelope) {
  return ObjectIdentity(envelope.payload_type(), AsBytes(envelope.payload()));
}

absl::StatusOr<v1::SignedEnvelope> SignEnvelope(std::string_view payload_type,
                                                std::string_view payload, const PrivateKey& key,
                                                const std::vector<Certificate>& certificates) {
  if (payload.size() > kMaxPayloadBytes) {
    return absl::InvalidArgumentError(absl::StrCat("an object of ", payload.size(),
                                                   " bytes is too large to be signed: at most ",
                                                   kMaxPayloadBytes));
  }
  if (certificates.size() > kMaxEnvelopeCertificates) {
    return absl::InvalidArgumentError("an envelope carries at most 4 certificates");
  }
  std::string prefix = PreAuthenticationPrefix(payload_type, payload.size());
  ASSIGN_OR_RETURN(Signature signature, key.Sign({AsBytes(prefix), AsBytes(payload)}));
  v1::SignedEnvelope envelope;
  envelope.set_payload_type(payload_type.data(), payload_type.size());
  envelope.set_payload(payload.data(), payload.size());
  envelope.set_key_id(ToText(key.public_key().id()));
  envelope.set_signature(ToText(signature));
  for (const Certificate& certificate : certificates) {
    envelope.add_certificates(ToText(certificate.der()));
  }
  return envelope;
}

absl::Status VerifyEnvelope(const v1::SignedEnvelope& envelope, std::string_view payload_type,
                            const PublicKey& key) {
  RETURN_IF_ERROR(CheckType(envelope, payload_type));
  // Nobody would check them, so bytes could be changed without notice.
  if (envelope.certificates_size() != 0) {
    return absl::UnauthenticatedError(
        "the signed object carries certificates, and its signer's key is known already");
  }
  return CheckSignature(envelope, key);
}

absl::StatusOr<Certificate> VerifyEnvelopeChain(const v1::SignedEnvelope& envelope,
                                                std::string_view payload_type,
                                                const Certificate& root, const ChainRules& rules) {
  RETURN_IF_ERROR(CheckType(envelope, payload_type));
  ASSIGN_OR_RETURN(std::vector<Certificate> chain, ParseCertificates(envelope.certificates()));
  ASSIGN_OR_RETURN(Certificate signer, VerifyChain(chain, root, rules));
  RETURN_IF_ERROR(CheckSignature(envelope, signer.public_key()));
  return signer;
}

absl::StatusOr<std::vector<Certificate>> ParseCertificates(
    const google::protobuf::RepeatedPtrField<std::string>& certificates) {
  if (certificates.empty() || certificates.size() > kMaxEnvelopeCertificates) {
    return WithChainFault(absl::UnauthenticatedError(absl::StrCat(
                              "1 to 4 certificates are needed, not ", certificates.size())),
                          ChainFault::kLength);
  }
  std::vector<Certificate> chain;
  for (const std::string& der : certificates) {
    absl::StatusOr<Certificate> certificate = Certificate::FromDer(AsBytes(der));
    if (!certificate.ok()) {
      return WithChainFault(absl::UnauthenticatedError(absl::StrCat(
                                "a certificate does not parse: ", certificate.status().message())),
                            ChainFaultOf(certificate.status()));
    }
    chain.push_back(*std::move(certificate));
  }
  return chain;
}

absl::Status ParseStrictly(ByteView bytes, std::string_view what, google::protobuf::Message& to) {
  // The library would write about bad UTF-8 on stderr, besides the status.
  google::protobuf::LogSilencer quiet;
  if (!to.ParseFromArray(bytes.data(), static_cast<int>(bytes.size()))) {
    return absl::InvalidArgumentError(absl::StrCat(Absl(what), " is damaged: it does not parse"));
  }
  to.DiscardUnknownFields();
  std::string canonical = Serialise(to);
  if (!Equal(AsBytes(canonical), bytes)) {
    return absl::InvalidArgumentError(
        absl::StrCat(Absl(what), " is damaged, or from a later version: it holds unknown bytes"));
  }
  return absl::OkStatus();
}

v1::SignedEnvelope KnownFields(v1::SignedEnvelope envelope) {
  envelope.DiscardUnknownFields();
  return envelope;
}

std::string Serialise(const google::protobuf::Message& message) {
  std::string bytes;
  {
    google::protobuf::io::StringOutputStream stream(&bytes);
    google::protobuf::io::CodedOutputStream coded(&stream);
    coded.SetSerializationDeterministic(true);
    message.SerializePartialToCodedStream(&coded);
  }
  return bytes;
}

}  // namespace nark
