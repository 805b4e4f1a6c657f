#include "sender/service.h"

#include "common/base/status.h"
#include "common/rpc/peer.h"
#include "common/rpc/status.h"

namespace nark::sender {
namespace {

grpc::ServerUnaryReactor* Finish(grpc::CallbackServerContext* context, const absl::Status& status) {
  grpc::ServerUnaryReactor* reactor = context->DefaultReactor();
  reactor->Finish(rpc::ToGrpc(status));
  return reactor;
}

}  // namespace

absl::Status SenderControlService::CheckCaller(const grpc::CallbackServerContext& context) const {
  absl::Status checked = [&]() -> absl::Status {
    ASSIGN_OR_RETURN(const Certificate caller, rpc::PeerCertificate(context));
    return VerifyChain({caller}, session_.root(),
                       {.at = clock_.Now(), .leaf_role = CertificateRole::kControl})
        .status();
  }();
  if (checked.ok()) return checked;
  return Refusal(absl::StatusCode::kPermissionDenied, "NOT_CONTROL_ROLE",
                 "only the control role of the session's provider may call");
}

grpc::ServerUnaryReactor* SenderControlService::Expel(grpc::CallbackServerContext* context,
                                                      const v1::ExpelRequest* request,
                                                      v1::ExpelResponse* response) {
  return Finish(context, [&]() -> absl::Status {
    RETURN_IF_ERROR(CheckCaller(*context));
    ASSIGN_OR_RETURN(const uint32_t active, book_.Expel(request->order(), clock_.Now()));
    response->set_active_orders(active);
    response->set_round_adus(
        book_.RoundAdus(RoomForOrders(session_.terms(), position_.sub_session)));
    response->set_next_adu_id(position_.next_adu_id);
    return absl::OkStatus();
  }());
}

grpc::ServerUnaryReactor* SenderControlService::Readmit(grpc::CallbackServerContext* context,
                                                        const v1::ReadmitRequest* request,
                                                        v1::ReadmitResponse* response) {
  return Finish(context, [&]() -> absl::Status {
    RETURN_IF_ERROR(CheckCaller(*context));
    ASSIGN_OR_RETURN(const uint32_t active, book_.Readmit(request->order(), clock_.Now()));
    response->set_active_orders(active);
    return absl::OkStatus();
  }());
}

grpc::ServerUnaryReactor* SenderControlService::GetStatus(grpc::CallbackServerContext* context,
                                                          const v1::GetStatusRequest*,
                                                          v1::GetStatusResponse* response) {
  return Finish(context, [&]() -> absl::Status {
    RETURN_IF_ERROR(CheckCaller(*context));
    response->set_next_adu_id(position_.next_adu_id);
    response->set_adus_sent(position_.adus_sent);
    response->set_active_orders(book_.active());
    *response->mutable_session() = session_.name().ToProto();
    return absl::OkStatus();
  }());
}

}  // namespace nark::sender
