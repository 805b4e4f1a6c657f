#ifndef NARK_COMMON_OBJECT_CONTROL_ORDER_H_
#define NARK_COMMON_OBJECT_CONTROL_ORDER_H_

#include <optional>

#include "absl/status/statusor.h"
#include "common/base/bytes.h"
#include "common/base/clock.h"
#include "common/object/identity.h"
#include "common/object/session.h"
#include "nark/v1/sender_control.pb.h"

namespace nark {

// An order of the provider's about one member or group of a session.
struct VerifiedControlOrder {
  v1::ControlAction action = v1::CONTROL_ACTION_UNSPECIFIED;  // a known one
  Bytes target;                                               // 16 to 32 bytes
  uint64_t issue_time_us = 0;
  v1::SignedEnvelope envelope;
};

// Signs one, issued at `now`. INVALID_ARGUMENT for a target of another size.
absl::StatusOr<v1::SignedEnvelope> MakeControlOrder(v1::ControlAction action, ByteView target,
                                                    const SessionName& session,
                                                    const SigningIdentity& control_role,
                                                    Timestamp now);

// Signed by the control role of the session's root, for this session. The role's
// certificate must be good at `at`; absent: at any time. UNAUTHENTICATED, reason
// ORDER_SIGNATURE; INVALID_ARGUMENT, reason ORDER_MALFORMED; PERMISSION_DENIED, reason
// ORDER_OTHER_SESSION.
absl::StatusOr<VerifiedControlOrder> VerifyControlOrder(const v1::SignedEnvelope& envelope,
                                                        const VerifiedSession& session,
                                                        std::optional<Timestamp> at);

}  // namespace nark

#endif  // NARK_COMMON_OBJECT_CONTROL_ORDER_H_
