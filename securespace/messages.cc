#include "securespace/messages.h"

#include <google/protobuf/io/coded_stream.h>
#include <google/protobuf/message_lite.h>
#include <google/protobuf/wire_format_lite.h>

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/base/status.h"
#include "common/rpc/details.h"
#include "google/rpc/status.pb.h"

namespace nark::securespace {
namespace {

using google::protobuf::internal::WireFormatLite;
using google::protobuf::io::CodedInputStream;
using google::protobuf::io::CodedOutputStream;

// What is no list of headers or ADUs: some signed objects, whose empty parts take up
// to twenty times their bytes once parsed.
constexpr size_t kMaxObjectsBytes = 4 << 20;

// A field's tag on the wire: number and type.
constexpr uint32_t Varint(uint32_t field) { return field << 3; }
constexpr uint32_t Delimited(uint32_t field) { return field << 3 | 2; }

absl::Status Malformed() { return absl::InvalidArgumentError("the message does not parse"); }

absl::Status TooLong(size_t most, const char* items) {
  return absl::InvalidArgumentError(absl::StrCat("a list holds at most ", most, " ", items));
}

// A length-delimited field, as a view into what `in` reads.
bool ReadView(CodedInputStream& in, ByteView& view) {
  uint32_t size = 0;
  const void* data = nullptr;
  int available = 0;
  if (!in.ReadVarint32(&size)) return false;
  if (size == 0) {
    view = {};
    return true;
  }
  if (!in.GetDirectBufferPointer(&data, &available) || size > static_cast<uint32_t>(available)) {
    return false;
  }
  view = {static_cast<const uint8_t*>(data), size};
  return in.Skip(static_cast<int>(size));
}

CodedInputStream StreamOf(ByteView message) {
  return CodedInputStream(message.data(), static_cast<int>(message.size()));
}

absl::StatusOr<DigestClaim> FromMessage(const v1::AduDigest& message) {
  DigestClaim claim{.sender_id = message.sender_id(), .adu_id = message.adu_id(), .digest = {}};
  if (message.digest().size() != claim.digest.size()) return Malformed();
  std::copy(message.digest().begin(), message.digest().end(), claim.digest.begin());
  return claim;
}

v1::AduDigest ToMessage(const DigestClaim& claim) {
  v1::AduDigest message;
  message.set_sender_id(claim.sender_id);
  message.set_adu_id(claim.adu_id);
  message.set_digest(ToText(claim.digest));
  return message;
}

absl::Status AddDigest(ByteView message, std::vector<DigestClaim>& digests) {
  if (digests.size() == kMaxDigests) return TooLong(kMaxDigests, "digests");
  v1::AduDigest parsed;
  if (!parsed.ParseFromArray(message.data(), static_cast<int>(message.size()))) return Malformed();
  ASSIGN_OR_RETURN(digests.emplace_back(), FromMessage(parsed));
  return absl::OkStatus();
}

// A list: its session in field 1, its sub-session in 2, `add` for each item in 3, and
// digests in 4.
template <typename Request, typename Add>
absl::Status ParseList(ByteView message, Request& request, const Add& add) {
  v1::SessionRef session;
  CodedInputStream in = StreamOf(message);
  while (uint32_t tag = in.ReadTag()) {
    ByteView view;
    if (tag == Delimited(1)) {
      if (!ReadView(in, view) ||
          !session.ParseFromArray(view.data(), static_cast<int>(view.size()))) {
        return Malformed();
      }
    } else if (tag == Varint(2)) {
      if (!in.ReadVarint32(&request.sub_session)) return Malformed();
    } else if (tag == Delimited(3)) {
      if (!ReadView(in, view)) return Malformed();
      RETURN_IF_ERROR(add(view));
    } else if (tag == Delimited(4)) {
      if (!ReadView(in, view)) return Malformed();
      RETURN_IF_ERROR(AddDigest(view, request.digests));
    } else if (!WireFormatLite::SkipField(&in, tag)) {
      return Malformed();
    }
  }
  if (!in.ConsumedEntireMessage()) return Malformed();
  ASSIGN_OR_RETURN(request.session, SessionName::FromProto(session));
  return absl::OkStatus();
}

bool ParseAdu(ByteView message, SealedAdu& adu) {
  CodedInputStream in = StreamOf(message);
  while (uint32_t tag = in.ReadTag()) {
    const bool header = tag == Delimited(1);
    if (header || tag == Delimited(2)) {
      if (!ReadView(in, header ? adu.header : adu.ciphertext)) return false;
    } else if (!WireFormatLite::SkipField(&in, tag)) {
      return false;
    }
  }
  return in.ConsumedEntireMessage();
}

bool ParseDecision(ByteView message, KeyDecision& decision) {
  CodedInputStream in = StreamOf(message);
  while (uint32_t tag = in.ReadTag()) {
    if (tag == Varint(1)) {
      uint32_t refusal = 0;
      if (!in.ReadVarint32(&refusal)) return false;
      decision.refusal = static_cast<v1::RefusalReason>(refusal);
    } else if (tag == Delimited(2)) {
      ByteView key;
      if (!ReadView(in, key)) return false;
      decision.data_key = SecretBytes::CopyOf(key);
    } else if (!WireFormatLite::SkipField(&in, tag)) {
      return false;
    }
  }
  return in.ConsumedEntireMessage();
}

size_t DecisionBytes(const KeyDecision& decision) {
  const uint32_t refusal = static_cast<uint32_t>(decision.refusal);
  const uint32_t key = static_cast<uint32_t>(decision.data_key.size());
  return (refusal == 0 ? 0 : 1 + CodedOutputStream::VarintSize32(refusal)) +
         (key == 0 ? 0 : 1 + CodedOutputStream::VarintSize32(key) + key);
}

SecretBytes Serialised(const google::protobuf::MessageLite& message) {
  SecretBytes frame = MakeFrame(0, message.ByteSizeLong());
  MutableByteView to = MessageIn(frame);
  message.SerializeWithCachedSizesToArray(to.data());
  return frame;
}

template <typename Response>
SecretBytes Answer(const absl::StatusOr<Response>& response) {
  return response.ok() ? Serialised(*response) : FrameStatus(response.status());
}

// Parses the request and has it answered.
template <typename Request, typename Call>
SecretBytes Answer(ByteView message, const Call& call) {
  if (message.size() > kMaxObjectsBytes) {
    return FrameStatus(absl::InvalidArgumentError(
        absl::StrCat("such a call has at most ", kMaxObjectsBytes, " bytes")));
  }
  Request request;
  if (!request.ParseFromArray(message.data(), static_cast<int>(message.size()))) {
    return FrameStatus(Malformed());
  }
  return Answer(call(request));
}

SecretBytes AnswerRelease(SecureSpace& space, ByteView message) {
  absl::StatusOr<ReleaseRequest> request = ParseRelease(message);
  if (!request.ok()) return FrameStatus(request.status());
  absl::StatusOr<std::vector<KeyDecision>> decisions = space.ReleaseKeys(*request);
  return decisions.ok() ? FrameDecisions(*decisions) : FrameStatus(decisions.status());
}

absl::StatusOr<v1::OpenAdusResponse> Open(SecureSpace& space, ByteView message) {
  ASSIGN_OR_RETURN(OpenRequest list, ParseOpen(message));
  ASSIGN_OR_RETURN(std::vector<OpenDecision> decisions, space.OpenAdus(list));
  return ToMessage(decisions);
}

}  // namespace

std::string FrameRelease(const ReleaseRequest& request) {
  const std::string session = request.session.ToProto().SerializeAsString();
  const auto field_bytes = [](size_t size) {
    return 1 + CodedOutputStream::VarintSize32(static_cast<uint32_t>(size)) + size;
  };
  size_t bytes = field_bytes(session.size());
  if (request.sub_session != 0) bytes += 1 + CodedOutputStream::VarintSize32(request.sub_session);
  for (ByteView header : request.headers) bytes += field_bytes(header.size());
  std::vector<std::string> digests;
  for (const DigestClaim& claim : request.digests) {
    digests.push_back(ToMessage(claim).SerializeAsString());
    bytes += field_bytes(digests.back().size());
  }

  std::string frame(kFrameHeaderBytes + bytes, '\0');
  auto* to = reinterpret_cast<uint8_t*>(frame.data());
  WriteFrameHeader(static_cast<uint8_t>(Method::kReleaseKeys), bytes, to);
  to += kFrameHeaderBytes;
  const auto write = [&to](uint32_t value) {
    to = CodedOutputStream::WriteVarint32ToArray(value, to);
  };
  const auto write_field = [&](uint32_t field, ByteView content) {
    write(Delimited(field));
    write(static_cast<uint32_t>(content.size()));
    to = std::copy(content.begin(), content.end(), to);
  };
  write_field(1, AsBytes(session));
  if (request.sub_session != 0) {
    write(Varint(2));
    write(request.sub_session);
  }
  for (ByteView header : request.headers) write_field(3, header);
  for (const std::string& digest : digests) write_field(4, AsBytes(digest));
  return frame;
}

absl::StatusOr<ReleaseRequest> ParseRelease(ByteView message) {
  ReleaseRequest request;
  RETURN_IF_ERROR(ParseList(message, request, [&](ByteView header) -> absl::Status {
    if (request.headers.size() == kMaxReleaseHeaders) return TooLong(kMaxReleaseHeaders, "headers");
    request.headers.push_back(header);
    return absl::OkStatus();
  }));
  return request;
}

absl::StatusOr<OpenRequest> ParseOpen(ByteView message) {
  OpenRequest request;
  RETURN_IF_ERROR(ParseList(message, request, [&](ByteView item) -> absl::Status {
    if (request.adus.size() == kMaxOpenAdus) return TooLong(kMaxOpenAdus, "ADUs");
    return ParseAdu(item, request.adus.emplace_back()) ? absl::OkStatus() : Malformed();
  }));
  return request;
}

SecretBytes FrameDecisions(const std::vector<KeyDecision>& decisions) {
  size_t bytes = 0;
  for (const KeyDecision& decision : decisions) {
    const size_t one = DecisionBytes(decision);
    bytes += 1 + CodedOutputStream::VarintSize32(static_cast<uint32_t>(one)) + one;
  }
  SecretBytes frame = MakeFrame(0, bytes);
  uint8_t* to = MessageIn(frame).data();
  const auto write = [&to](uint32_t value) {
    to = CodedOutputStream::WriteVarint32ToArray(value, to);
  };
  for (const KeyDecision& decision : decisions) {
    write(Delimited(1));
    write(static_cast<uint32_t>(DecisionBytes(decision)));
    if (decision.refusal != 0) {
      write(Varint(1));
      write(static_cast<uint32_t>(decision.refusal));
    }
    if (decision.data_key.empty()) continue;
    write(Delimited(2));
    write(static_cast<uint32_t>(decision.data_key.size()));
    ByteView key = decision.data_key.Reveal();
    to = std::copy(key.begin(), key.end(), to);
  }
  return frame;
}

absl::StatusOr<std::vector<KeyDecision>> ParseDecisions(ByteView message) {
  std::vector<KeyDecision> decisions;
  CodedInputStream in = StreamOf(message);
  bool good = true;
  while (uint32_t tag = good ? in.ReadTag() : 0) {
    ByteView view;
    if (tag == Delimited(1)) {
      good = decisions.size() < kMaxReleaseHeaders && ReadView(in, view) &&
             ParseDecision(view, decisions.emplace_back());
    } else {
      good = WireFormatLite::SkipField(&in, tag);
    }
  }
  if (good && in.ConsumedEntireMessage()) return decisions;
  return absl::InternalError("its answer does not parse");
}

v1::OpenAdusRequest ToMessage(const OpenRequest& request) {
  v1::OpenAdusRequest message;
  *message.mutable_session() = request.session.ToProto();
  message.set_sub_session(request.sub_session);
  for (const SealedAdu& adu : request.adus) {
    v1::SealedAdu& sealed = *message.add_adus();
    sealed.set_header(ToText(adu.header));
    sealed.set_ciphertext(ToText(adu.ciphertext));
  }
  for (const DigestClaim& claim : request.digests) *message.add_digests() = ToMessage(claim);
  return message;
}

absl::StatusOr<std::vector<DigestClaim>> FromMessages(
    const google::protobuf::RepeatedPtrField<v1::AduDigest>& messages) {
  std::vector<DigestClaim> claims;
  for (const v1::AduDigest& message : messages) {
    ASSIGN_OR_RETURN(claims.emplace_back(), FromMessage(message));
  }
  return claims;
}

absl::StatusOr<OpenRequest> FromMessage(const v1::OpenAdusRequest& message) {
  OpenRequest request;
  ASSIGN_OR_RETURN(request.session, SessionName::FromProto(message.session()));
  request.sub_session = message.sub_session();
  for (const v1::SealedAdu& adu : message.adus()) {
    request.adus.push_back({AsBytes(adu.header()), AsBytes(adu.ciphertext())});
  }
  ASSIGN_OR_RETURN(request.digests, FromMessages(message.digests()));
  return request;
}

v1::OpenAdusResponse ToMessage(const std::vector<OpenDecision>& decisions) {
  v1::OpenAdusResponse message;
  for (const OpenDecision& decision : decisions) {
    v1::OpenedAdu& adu = *message.add_adus();
    adu.set_refusal(decision.refusal);
    adu.set_plaintext(ToText(decision.plaintext));
  }
  return message;
}

std::vector<OpenDecision> FromMessage(const v1::OpenAdusResponse& message) {
  std::vector<OpenDecision> decisions;
  for (const v1::OpenedAdu& adu : message.adus()) {
    decisions.push_back({adu.refusal(), ToBytes(AsBytes(adu.plaintext()))});
  }
  return decisions;
}

SecretBytes AnswerFrame(SecureSpace& space, const Frame& request) {
  switch (static_cast<Method>(request.kind)) {
    case Method::kGetIdentity:
      return Answer<v1::GetIdentityRequest>(request.message,
                                            [&](const auto&) { return space.GetIdentity(); });
    case Method::kAttest:
      return Answer<v1::AttestRequest>(request.message,
                                       [&](const auto& message) { return space.Attest(message); });
    case Method::kInstallGrant:
      return Answer<v1::InstallGrantRequest>(
          request.message, [&](const auto& message) { return space.InstallGrant(message); });
    case Method::kReleaseKeys:
      return AnswerRelease(space, request.message);
    case Method::kOpenAdus:
      return Answer(Open(space, request.message));
    case Method::kGetDeliveryNote:
      return Answer<v1::GetDeliveryNoteRequest>(
          request.message, [&](const auto& message) { return space.GetDeliveryNote(message); });
    case Method::kOpenMarkedBlock:
      return AnswerOpenBlock(space, request.message);
  }
  return FrameStatus(absl::UnimplementedError("there is no such method"));
}

SecretBytes FrameStatus(const absl::Status& status) {
  return MakeFrame(static_cast<uint8_t>(status.code()),
                   AsBytes(rpc::ToDetails(status).SerializeAsString()));
}

absl::Status ParseStatus(const Frame& answer) {
  google::rpc::Status details;
  if (!details.ParseFromArray(answer.message.data(), static_cast<int>(answer.message.size()))) {
    details.Clear();
  }
  return rpc::FromDetails(answer.kind, details.message(), details);
}

}  // namespace nark::securespace
