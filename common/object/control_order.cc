#include "common/object/control_order.h"

#include "common/base/status.h"
#include "common/object/envelope.h"
#include "common/object/shapes.h"

namespace nark {
namespace {

absl::Status CheckShape(const v1::ControlOrder& order) {
  if (!v1::ControlAction_IsValid(order.action()) ||
      order.action() == v1::CONTROL_ACTION_UNSPECIFIED) {
    return absl::InvalidArgumentError("the order has no action that is known");
  }
  // Short ids could name somebody by accident.
  if (order.target().size() < 16 || order.target().size() > 32) {
    return absl::InvalidArgumentError("the order's target is not 16 to 32 bytes");
  }
  return shapes::CheckTime(order.issue_time_us(), "the order's issue time");
}

absl::Status Malformed(const absl::Status& why) {
  return Refusal(absl::StatusCode::kInvalidArgument, "ORDER_MALFORMED", Std(why.message()));
}

}  // namespace

absl::StatusOr<v1::SignedEnvelope> MakeControlOrder(v1::ControlAction action, ByteView target,
                                                    const SessionName& session,
                                                    const SigningIdentity& control_role,
                                                    Timestamp now) {
  v1::ControlOrder order;
  order.set_action(action);
  order.set_target(ToText(target));
  order.set_issue_time_us(ToMicros(now));
  *order.mutable_session() = session.ToProto();
  RETURN_IF_ERROR(CheckShape(order));
  return SignEnvelope(payload_type::kControlOrder, Serialise(order), control_role.key,
                      control_role.Chain());
}

absl::StatusOr<VerifiedControlOrder> VerifyControlOrder(const v1::SignedEnvelope& envelope,
                                                        const VerifiedSession& session,
                                                        std::optional<Timestamp> at) {
  const absl::Status signature =
      VerifyEnvelopeChain(envelope, payload_type::kControlOrder, session.root(),
                          {.at = at, .leaf_role = CertificateRole::kControl})
          .status();
  if (!signature.ok()) {
    return Refusal(absl::StatusCode::kUnauthenticated, "ORDER_SIGNATURE", Std(signature.message()));
  }
  const auto order = PayloadOf<v1::ControlOrder>(envelope, "the order");
  if (!order.ok()) return Malformed(order.status());
  if (absl::Status shape = CheckShape(*order); !shape.ok()) return Malformed(shape);
  const absl::StatusOr<SessionName> name = SessionName::FromProto(order->session());
  if (!name.ok()) return Malformed(name.status());
  if (*name != session.name()) {
    return Refusal(absl::StatusCode::kPermissionDenied, "ORDER_OTHER_SESSION",
                   "the order is for another session than this sender's");
  }
  VerifiedControlOrder verified{order->action(), ToBytes(AsBytes(order->target())),
                                order->issue_time_us(), envelope};
  verified.envelope.DiscardUnknownFields();
  return verified;
}

}  // namespace nark
