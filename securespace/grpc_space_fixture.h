#ifndef NARK_SECURESPACE_GRPC_SPACE_FIXTURE_H_
#define NARK_SECURESPACE_GRPC_SPACE_FIXTURE_H_

#include <grpcpp/client_context.h>

#include <chrono>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "common/base/status.h"
#include "common/rpc/client.h"
#include "common/rpc/status.h"
#include "nark/v1/secure_space.grpc.pb.h"
#include "securespace/frame.h"
#include "securespace/messages.h"
#include "securespace/secure_space.h"

namespace nark::securespace {

// A secure space as a third party reaches it: by gRPC, on a socket with a short path.
class GrpcSpace final : public SecureSpace {
 public:
  static absl::StatusOr<std::unique_ptr<SecureSpace>> Connect(const std::string& socket_path) {
    rpc::ChannelOptions options;
    options.endpoint = "unix:" + socket_path;
    options.max_message_bytes = kMaxSocketMessageBytes;
    ASSIGN_OR_RETURN(std::shared_ptr<grpc::Channel> channel, rpc::MakeChannel(options));
    return std::make_unique<GrpcSpace>(std::move(channel));
  }
  explicit GrpcSpace(std::shared_ptr<grpc::Channel> channel)
      : stub_(v1::SecureSpace::NewStub(channel)) {}

  absl::StatusOr<v1::GetIdentityResponse> GetIdentity() override {
    return Call<v1::GetIdentityResponse>(&v1::SecureSpace::Stub::GetIdentity,
                                         v1::GetIdentityRequest());
  }
  absl::StatusOr<v1::AttestResponse> Attest(const v1::AttestRequest& request) override {
    return Call<v1::AttestResponse>(&v1::SecureSpace::Stub::Attest, request);
  }
  absl::StatusOr<v1::InstallGrantResponse> InstallGrant(
      const v1::InstallGrantRequest& request) override {
    return Call<v1::InstallGrantResponse>(&v1::SecureSpace::Stub::InstallGrant, request);
  }
  absl::StatusOr<std::shared_ptr<const ChameleonBlock>> OpenMarkedBlock(const SessionName& session,
                                                                        ByteView sealed) override {
    ASSIGN_OR_RETURN(
        const v1::OpenMarkedBlockResponse response,
        Call<v1::OpenMarkedBlockResponse>(&v1::SecureSpace::Stub::OpenMarkedBlock,
                                          ToMessage(OpenBlockRequest{session, sealed})));
    return ParseBlock(AsBytes(response.SerializeAsString()));
  }
  absl::StatusOr<std::vector<KeyDecision>> ReleaseKeys(const ReleaseRequest& request) override {
    v1::ReleaseKeysRequest message;
    message.ParseFromString(FrameRelease(request).substr(kFrameHeaderBytes));
    ASSIGN_OR_RETURN(v1::ReleaseKeysResponse response,
                     Call<v1::ReleaseKeysResponse>(&v1::SecureSpace::Stub::ReleaseKeys, message));
    return ParseDecisions(AsBytes(response.SerializeAsString()));
  }
  absl::StatusOr<std::vector<OpenDecision>> OpenAdus(const OpenRequest& request) override {
    ASSIGN_OR_RETURN(
        v1::OpenAdusResponse response,
        Call<v1::OpenAdusResponse>(&v1::SecureSpace::Stub::OpenAdus, ToMessage(request)));
    return FromMessage(response);
  }
  absl::StatusOr<v1::GetDeliveryNoteResponse> GetDeliveryNote(
      const v1::GetDeliveryNoteRequest& request) override {
    return Call<v1::GetDeliveryNoteResponse>(&v1::SecureSpace::Stub::GetDeliveryNote, request);
  }

 private:
  template <typename Response, typename Request>
  absl::StatusOr<Response> Call(grpc::Status (v1::SecureSpace::Stub::*method)(grpc::ClientContext*,
                                                                              const Request&,
                                                                              Response*),
                                const Request& request) {
    grpc::ClientContext context;
    rpc::SetTimeout(context, std::chrono::seconds(10));
    Response response;
    RETURN_IF_ERROR(rpc::FromGrpc((stub_.get()->*method)(&context, request, &response)));
    return response;
  }

  const std::unique_ptr<v1::SecureSpace::Stub> stub_;
};

}  // namespace nark::securespace

#endif  // NARK_SECURESPACE_GRPC_SPACE_FIXTURE_H_
