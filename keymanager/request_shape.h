#ifndef NARK_KEYMANAGER_REQUEST_SHAPE_H_
#define NARK_KEYMANAGER_REQUEST_SHAPE_H_

#include "absl/status/status.h"
#include "common/base/bytes.h"
#include "nark/v1/envelope.pb.h"
#include "nark/v1/keymanager.pb.h"

namespace nark::keymanager {

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
