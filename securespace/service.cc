#include "securespace/service.h"

#include <utility>
#include <vector>

#include "common/base/status.h"
#include "common/rpc/status.h"
#include "securespace/messages.h"

namespace nark::securespace {
namespace {

// Ends the call with what the core said.
template <typename Response>
grpc::ServerUnaryReactor* Answer(grpc::CallbackServerContext* context,
                                 absl::StatusOr<Response> answer, Response* response) {
  grpc::ServerUnaryReactor* reactor = context->DefaultReactor();
  if (answer.ok()) *response = *std::move(answer);
  reactor->Finish(rpc::ToGrpc(answer.status()));
  return reactor;
}

absl::StatusOr<v1::ReleaseKeysResponse> Release(SecureSpace& space,
                                                const v1::ReleaseKeysRequest& request) {
  ReleaseRequest list;
  ASSIGN_OR_RETURN(list.session, SessionName::FromProto(request.session()));
  list.sub_session = request.sub_session();
  for (const std::string& header : request.headers()) list.headers.push_back(AsBytes(header));
  ASSIGN_OR_RETURN(list.digests, FromMessages(request.digests()));
  ASSIGN_OR_RETURN(std::vector<KeyDecision> decisions, space.ReleaseKeys(list));
  v1::ReleaseKeysResponse response;
  for (const KeyDecision& decision : decisions) {
    v1::ReleasedKey& key = *response.add_keys();
    key.set_refusal(decision.refusal);
    key.set_data_key(ToText(decision.data_key.Reveal()));
  }
  return response;
}

absl::StatusOr<v1::OpenAdusResponse> Open(SecureSpace& space, const v1::OpenAdusRequest& request) {
  ASSIGN_OR_RETURN(OpenRequest list, FromMessage(request));
  ASSIGN_OR_RETURN(std::vector<OpenDecision> decisions, space.OpenAdus(list));
  return ToMessage(decisions);
}

absl::StatusOr<v1::OpenMarkedBlockResponse> OpenBlock(SecureSpace& space,
                                                      const v1::OpenMarkedBlockRequest& request) {
  ASSIGN_OR_RETURN(const OpenBlockRequest parsed, FromMessage(request));
  ASSIGN_OR_RETURN(const auto block, space.OpenMarkedBlock(parsed.session, parsed.sealed));
  v1::OpenMarkedBlockResponse response;
  if (block != nullptr) response.set_block(ToText(block->bytes().Reveal()));
  return response;
}

}  // namespace

grpc::ServerUnaryReactor* SecureSpaceService::GetIdentity(grpc::CallbackServerContext* context,
                                                          const v1::GetIdentityRequest*,
                                                          v1::GetIdentityResponse* response) {
  return Answer(context, space_.GetIdentity(), response);
}

grpc::ServerUnaryReactor* SecureSpaceService::Attest(grpc::CallbackServerContext* context,
                                                     const v1::AttestRequest* request,
                                                     v1::AttestResponse* response) {
  return Answer(context, space_.Attest(*request), response);
}

grpc::ServerUnaryReactor* SecureSpaceService::InstallGrant(grpc::CallbackServerContext* context,
                                                           const v1::InstallGrantRequest* request,
                                                           v1::InstallGrantResponse* response) {
  return Answer(context, space_.InstallGrant(*request), response);
}

grpc::ServerUnaryReactor* SecureSpaceService::ReleaseKeys(grpc::CallbackServerContext* context,
                                                          const v1::ReleaseKeysRequest* request,
                                                          v1::ReleaseKeysResponse* response) {
  return Answer(context, Release(space_, *request), response);
}

grpc::ServerUnaryReactor* SecureSpaceService::OpenAdus(grpc::CallbackServerContext* context,
                                                       const v1::OpenAdusRequest* request,
                                                       v1::OpenAdusResponse* response) {
  return Answer(context, Open(space_, *request), response);
}

grpc::ServerUnaryReactor* SecureSpaceService::OpenMarkedBlock(
    grpc::CallbackServerContext* context, const v1::OpenMarkedBlockRequest* request,
    v1::OpenMarkedBlockResponse* response) {
  return Answer(context, OpenBlock(space_, *request), response);
}

grpc::ServerUnaryReactor* SecureSpaceService::GetDeliveryNote(
    grpc::CallbackServerContext* context, const v1::GetDeliveryNoteRequest* request,
    v1::GetDeliveryNoteResponse* response) {
  return Answer(context, space_.GetDeliveryNote(*request), response);
}

}  // namespace nark::securespace
