// The authentication field of headers: one signature for one, or for a batch.

#include <algorithm>
#include <utility>

#include "common/base/status.h"
#include "common/crypto/hash.h"
#include "common/object/envelope.h"
#include "common/wire/batch_tree.h"
#include "common/wire/header.h"
#include "common/wire/layout.h"

namespace nark::wire {
namespace {

constexpr uint8_t kSingle = 1;
constexpr uint8_t kBatch = 2;
constexpr uint8_t kLeaf[1] = {0};
constexpr size_t kSignatureBytes = 64;
constexpr size_t kBatchPayloadBytes = 32 + 4 + 2 + 32;
// Roots (or single headers) remembered: more than the batches in flight of a few
// senders, few enough to scan.
constexpr size_t kSeen = 64;
// Batches whose nodes are remembered, of up to 66 KiB each.
constexpr size_t kTrees = 8;

absl::Status Malformed(std::string_view what) {
  return absl::InvalidArgumentError("malformed header authentication: " + std::string(what));
}

// RFC 6962, 2.1: a leaf over the pre-authentication encoding of the header; what stands
// before a header of that many bytes.
Sha256Stream StartLeaf(const Digest& session_context, size_t header_bytes) {
  const std::string prefix =
      PreAuthenticationPrefix(payload_type::kAduHeader, session_context.size() + header_bytes);
  Sha256Stream leaf;
  for (ByteView part : {ByteView(kLeaf), AsBytes(prefix), ByteView(session_context)}) {
    leaf.Update(part);
  }
  return leaf;
}

Digest FinishLeaf(Sha256Stream leaf, ByteView header) {
  Digest hash;
  leaf.FinishWith({header}, hash);
  return hash;
}

// session context[32] || u32 sender id || u16 count || root[32]
std::array<uint8_t, kBatchPayloadBytes> BatchPayload(const Digest& session_context,
                                                     uint32_t sender_id, uint16_t count,
                                                     const Digest& root) {
  std::array<uint8_t, kBatchPayloadBytes> payload;
  std::copy(session_context.begin(), session_context.end(), payload.begin());
  StoreBig32(&payload[32], sender_id);
  StoreBig16(&payload[36], count);
  std::copy(root.begin(), root.end(), payload.begin() + 38);
  return payload;
}

Bytes StartSignedHeader(ByteView header) {
  Bytes bytes;
  bytes.reserve(2 + header.size() + kMaxAuthenticationBytes);
  AppendBig16(bytes, static_cast<uint16_t>(header.size()));
  Append(bytes, header);
  return bytes;
}

uint64_t TagOf(const Digest& session_context) { return LoadBig64(session_context.data()); }

}  // namespace

// u8 1 || signature[64], or
// u8 2 || u16 index || u16 count || u8 path length || path[32 each] || signature[64]
absl::StatusOr<AuthenticationParts> SplitAuthentication(ByteView field) {
  Reader reader(field);
  AuthenticationParts parts;
  const ByteView form = reader.Take(1);
  if (form.empty()) return Malformed("missing");
  if (form[0] != kSingle && form[0] != kBatch) return Malformed("unknown form");
  parts.batch = form[0] == kBatch;
  if (parts.batch) {
    const ByteView place = reader.Take(5);
    if (place.empty()) return Malformed("truncated");
    parts.index = LoadBig16(&place[0]);
    parts.count = LoadBig16(&place[2]);
    if (parts.count == 0 || parts.count > kMaxBatch) return Malformed("batch size");
    if (parts.index >= parts.count) return Malformed("place outside the batch");
    if (place[4] != PathLength(parts.index, parts.count)) return Malformed("path length");
    parts.path = reader.Take(kTreeHashBytes * place[4]);
  }
  parts.signature = reader.Take(kSignatureBytes);
  if (reader.failed()) return Malformed("truncated");
  if (!reader.rest().empty()) return Malformed("trailing bytes");
  return parts;
}

absl::StatusOr<ParsedAuthentication> ParseAuthentication(ByteView field) {
  ASSIGN_OR_RETURN(AuthenticationParts parts, SplitAuthentication(field));
  ParsedAuthentication parsed;
  std::copy(parts.signature.begin(), parts.signature.end(), parsed.signature.begin());
  if (!parts.batch) return parsed;
  BatchPlace place{parts.index, parts.count,
                   std::vector<Digest>(parts.path.size() / kTreeHashBytes)};
  for (size_t i = 0; i < place.path.size(); ++i) {
    std::copy_n(&parts.path[kTreeHashBytes * i], kTreeHashBytes, place.path[i].begin());
  }
  parsed.batch = std::move(place);
  return parsed;
}

absl::StatusOr<Bytes> SignSingle(const Digest& session_context, ByteView header,
                                 const PrivateKey& key) {
  const std::string prefix =
      PreAuthenticationPrefix(payload_type::kAduHeader, session_context.size() + header.size());
  ASSIGN_OR_RETURN(Signature signature, key.Sign({AsBytes(prefix), session_context, header}));
  Bytes bytes = StartSignedHeader(header);
  bytes.push_back(kSingle);
  Append(bytes, signature);
  return bytes;
}

absl::StatusOr<std::vector<Bytes>> SignBatch(const Digest& session_context, uint32_t sender_id,
                                             const std::vector<Bytes>& headers,
                                             const PrivateKey& key) {
  if (headers.empty() || headers.size() > kMaxBatch) {
    return absl::InvalidArgumentError("a batch has 1 to 1024 headers");
  }
  std::vector<Digest> leaves;
  leaves.reserve(headers.size());
  for (const Bytes& header : headers) {
    leaves.push_back(FinishLeaf(StartLeaf(session_context, header.size()), header));
  }
  const std::vector<std::vector<Digest>> tree = BuildTree(std::move(leaves));
  const auto count = static_cast<uint16_t>(headers.size());
  const auto payload = BatchPayload(session_context, sender_id, count, tree.back().front());
  const std::string prefix = PreAuthenticationPrefix(payload_type::kAduBatch, payload.size());
  ASSIGN_OR_RETURN(Signature signature, key.Sign({AsBytes(prefix), payload}));

  std::vector<Bytes> signed_headers;
  signed_headers.reserve(headers.size());
  for (uint16_t i = 0; i < count; ++i) {
    Bytes bytes = StartSignedHeader(headers[i]);
    bytes.push_back(kBatch);
    AppendBig16(bytes, i);
    AppendBig16(bytes, count);
    bytes.push_back(static_cast<uint8_t>(PathLength(i, count)));
    size_t position = i;
    for (size_t level = 0; level + 1 < tree.size(); ++level, position /= 2) {
      const size_t sibling = position ^ 1;
      if (sibling < tree[level].size()) Append(bytes, tree[level][sibling]);
    }
    Append(bytes, signature);
    signed_headers.push_back(std::move(bytes));
  }
  return signed_headers;
}

absl::Status HeaderVerifier::Verify(const ParsedHeader& header, const PublicKey& sender_key) {
  if (header.header.session_tag != TagOf(context_)) {
    return absl::UnauthenticatedError("the header belongs to another session");
  }
  ASSIGN_OR_RETURN(AuthenticationParts parts, SplitAuthentication(header.authentication));
  if (!parts.batch) {
    Bytes payload;
    payload.reserve(context_.size() + header.bytes.size());
    Append(payload, context_);
    Append(payload, header.bytes);
    return VerifyOnce(payload_type::kAduHeader, payload, parts.signature, sender_key);
  }
  return VerifyBatch(header, parts, sender_key);
}

Digest HeaderVerifier::LeafHash(ByteView header) {
  if (header.size() != leaf_bytes_) {
    leaf_start_ = StartLeaf(context_, header.size());
    leaf_bytes_ = header.size();
  }
  return FinishLeaf(leaf_start_, header);
}

absl::Status HeaderVerifier::VerifyBatch(const ParsedHeader& header,
                                         const AuthenticationParts& parts, const PublicKey& key) {
  const uint32_t sender_id = header.header.sender_id;
  const Digest leaf = LeafHash(header.bytes);
  for (VerifiedBatch& batch : batches_) {
    if (batch.sender_id != sender_id || batch.tree.count() != parts.count ||
        !Equal(batch.signature, parts.signature) || batch.key_id != key.id()) {
      continue;
    }
    // Under this very signature the key's holder signed this root: with its path, the
    // header is as good as signed.
    if (batch.tree.Contains(leaf, parts.index, parts.path)) return absl::OkStatus();
  }
  const Digest root = RootFromPath(leaf, parts.index, parts.count, parts.path);
  const auto payload = BatchPayload(context_, sender_id, parts.count, root);
  RETURN_IF_ERROR(VerifyOnce(payload_type::kAduBatch, payload, parts.signature, key));
  VerifiedBatch batch{key.id(), sender_id, {}, BatchTree(parts.count, root)};
  std::copy(parts.signature.begin(), parts.signature.end(), batch.signature.begin());
  batch.tree.Contains(leaf, parts.index, parts.path);
  if (batches_.size() == kTrees) batches_.pop_front();
  batches_.push_back(std::move(batch));
  return absl::OkStatus();
}

absl::Status HeaderVerifier::VerifyOnce(std::string_view type, ByteView payload, ByteView signature,
                                        const PublicKey& key) {
  const std::string prefix = PreAuthenticationPrefix(type, payload.size());
  const Digest name = Sha256({key.id(), AsBytes(prefix), payload, signature});
  if (std::find(seen_.begin(), seen_.end(), name) != seen_.end()) return absl::OkStatus();
  ++signatures_checked_;
  RETURN_IF_ERROR(key.Verify({AsBytes(prefix), payload}, signature));
  if (seen_.size() < kSeen) {
    seen_.push_back(name);
  } else {
    seen_[next_] = name;
    next_ = (next_ + 1) % kSeen;
  }
  return absl::OkStatus();
}

}  // namespace nark::wire
