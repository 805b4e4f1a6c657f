#ifndef NARK_SECURESPACE_MESSAGES_H_
#define NARK_SECURESPACE_MESSAGES_H_

#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/base/bytes.h"
#include "common/crypto/secret_bytes.h"
#include "securespace/frame.h"
#include "securespace/secure_space.h"

namespace nark::securespace {

// Lists as the messages of nark.v1, for both ways over a socket.

// A whole frame that calls ReleaseKeys: what it holds is no secret. The message is the
// one that v1::ReleaseKeysRequest serialises to.
std::string FrameRelease(const ReleaseRequest& request);
// Headers are views into `message`. INVALID_ARGUMENT where it is none, and for more
// than kMaxReleaseHeaders, of which no more are held in memory.
absl::StatusOr<ReleaseRequest> ParseRelease(ByteView message);

// A whole answering frame with a ReleaseKeysResponse: keys pass through no string.
SecretBytes FrameDecisions(const std::vector<KeyDecision>& decisions);
// The mirror, of the message alone. INTERNAL where it is none.
absl::StatusOr<std::vector<KeyDecision>> ParseDecisions(ByteView message);

// The same of an OpenAdusRequest; ADUs are views into `message`.
absl::StatusOr<OpenRequest> ParseOpen(ByteView message);
v1::OpenAdusRequest ToMessage(const OpenRequest& request);
// ADUs are views into `message`.
absl::StatusOr<OpenRequest> FromMessage(const v1::OpenAdusRequest& message);
// The digests of either request. INVALID_ARGUMENT where one is none.
absl::StatusOr<std::vector<DigestClaim>> FromMessages(
    const google::protobuf::RepeatedPtrField<v1::AduDigest>& messages);
v1::OpenAdusResponse ToMessage(const std::vector<OpenDecision>& decisions);
std::vector<OpenDecision> FromMessage(const v1::OpenAdusResponse& message);

// The same of an OpenMarkedBlockRequest and its answer: the block passes through no string.
// `sealed` is a view into `message`.
struct OpenBlockRequest {
  SessionName session;
  ByteView sealed;
};
absl::StatusOr<OpenBlockRequest> FromMessage(const v1::OpenMarkedBlockRequest& message);
v1::OpenMarkedBlockRequest ToMessage(const OpenBlockRequest& request);
SecretBytes FrameBlock(const ChameleonBlock* block);
// A whole frame in answer to the message.
SecretBytes AnswerOpenBlock(SecureSpace& space, ByteView message);
// The message alone; no block where it stayed inside. INTERNAL where it is none.
absl::StatusOr<std::shared_ptr<const ChameleonBlock>> ParseBlock(ByteView message);

// Answers one request frame of the framed protocol with a whole frame.
SecretBytes AnswerFrame(SecureSpace& space, const Frame& request);

SecretBytes FrameStatus(const absl::Status& status);
// The status of an answer whose code is not 0.
absl::Status ParseStatus(const Frame& answer);

}  // namespace nark::securespace

#endif  // NARK_SECURESPACE_MESSAGES_H_
