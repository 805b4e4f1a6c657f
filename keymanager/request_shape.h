#ifndef NARK_KEYMANAGER_REQUEST_SHAPE_H_
#define NARK_KEYMANAGER_REQUEST_SHAPE_H_

#include "absl/status/status.h"
#include "common/base/bytes.h"
#include "nark/v1/envelope.pb.h"
#include "nark/v1/keymanager.pb.h"

namespace nark::keymanager {

// Parses what a stranger sent. Before anything takes memory it is walked through: a message
// that has more fields than any honest one, or one that is not in the contract, is
// INVALID_ARGUMENT; parsing ten bytes of such fields takes a hundred, and a microsecond.
absl::Status ParseRequest(ByteView bytes, v1::GetChallengeRequest& request);
absl::Status ParseRequest(ByteView bytes, v1::IssueGrantRequest& request);
absl::Status ParseRequest(ByteView bytes, v1::GetMarkedBlockRequest& request);
// The most bytes that an honest one has.
size_t MostBytesOf(const v1::GetChallengeRequest&);
size_t MostBytesOf(const v1::IssueGrantRequest&);
size_t MostBytesOf(const v1::GetMarkedBlockRequest&);

// Sizes that no honest request exceeds, looked at before anything is hashed.
// INVALID_ARGUMENT, naming the field.
absl::Status CheckShape(const v1::IssueGrantRequest& request);

// Names of exact bytes, for caches: two requests (envelopes, certificate chains)
// with one name are equal in every byte that a check looks at.
Digest NameOf(const v1::SignedEnvelope& envelope);
Digest NameOf(const google::protobuf::RepeatedPtrField<std::string>& certificates);
Digest NameOf(const v1::IssueGrantRequest& request);

}  // namespace nark::keymanager

#endif  // NARK_KEYMANAGER_REQUEST_SHAPE_H_
