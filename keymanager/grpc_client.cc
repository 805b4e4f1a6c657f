#include "keymanager/grpc_client.h"

#include <grpcpp/client_context.h>

#include <utility>

#include "common/audit/sealed_block.h"
#include "common/base/status.h"
#include "common/rpc/call_ids.h"
#include "common/rpc/status.h"
#include "nark/v1/keymanager.grpc.pb.h"

namespace nark::keymanager {
namespace {

class GrpcClient final : public Client {
 public:
  GrpcClient(std::string endpoint, std::string request_id,
             std::unique_ptr<rpc::TlsSessionCache> sessions, std::shared_ptr<grpc::Channel> channel)
      : endpoint_(std::move(endpoint)),
        request_id_(std::move(request_id)),
        sessions_(std::move(sessions)),
        stub_(v1::KeyManager::NewStub(std::move(channel))) {}

  absl::StatusOr<v1::GetChallengeResponse> GetChallenge(
      const v1::GetChallengeRequest& request, std::chrono::milliseconds timeout) override {
    return Call<v1::GetChallengeResponse>(&v1::KeyManager::Stub::GetChallenge, request, timeout);
  }
  absl::StatusOr<v1::IssueGrantResponse> IssueGrant(const v1::IssueGrantRequest& request,
                                                    std::chrono::milliseconds timeout) override {
    return Call<v1::IssueGrantResponse>(&v1::KeyManager::Stub::IssueGrant, request, timeout);
  }

  absl::StatusOr<Bytes> GetMarkedBlock(const v1::GetMarkedBlockRequest& request,
                                       std::chrono::milliseconds timeout,
                                       const BlockProgress& progress) override {
    grpc::ClientContext context;
    Prepare(context, timeout);
    const auto reader = stub_->GetMarkedBlock(&context, request);
    const size_t most = audit::SealedBlockBytes(ChameleonBlock::kMaxWordsLog2);
    Bytes sealed;
    v1::GetMarkedBlockResponse piece;
    while (reader->Read(&piece)) {
      const ByteView bytes = AsBytes(piece.piece());
      if (sealed.size() + bytes.size() > most) {
        context.TryCancel();
        continue;
      }
      sealed.insert(sealed.end(), bytes.begin(), bytes.end());
      if (progress) progress(sealed.size(), piece.total_bytes());
    }
    const grpc::Status status = reader->Finish();
    if (!status.ok()) return Annotate(rpc::FromGrpc(status), "key manager " + endpoint_);
    return sealed;
  }

 private:
  void Prepare(grpc::ClientContext& context, std::chrono::milliseconds timeout) const {
    rpc::SetTimeout(context, timeout);
    if (!request_id_.empty()) context.AddMetadata(rpc::kRequestIdKey, request_id_);
  }

  template <typename Response, typename Request>
  absl::StatusOr<Response> Call(grpc::Status (v1::KeyManager::Stub::*method)(grpc::ClientContext*,
                                                                             const Request&,
                                                                             Response*),
                                const Request& request, std::chrono::milliseconds timeout) {
    grpc::ClientContext context;
    Prepare(context, timeout);
    Response response;
    const grpc::Status status = (stub_.get()->*method)(&context, request, &response);
    if (!status.ok()) return Annotate(rpc::FromGrpc(status), "key manager " + endpoint_);
    return response;
  }

  const std::string endpoint_;
  const std::string request_id_;
  const std::unique_ptr<rpc::TlsSessionCache> sessions_;  // outlives the channel
  const std::unique_ptr<v1::KeyManager::Stub> stub_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<Client>> MakeGrpcClient(rpc::ChannelOptions options,
                                                       std::string request_id) {
  std::unique_ptr<rpc::TlsSessionCache> sessions;
  if (options.tls && options.tls_sessions == nullptr) {
    sessions = std::make_unique<rpc::TlsSessionCache>(1);
    options.tls_sessions = sessions.get();
  }
  ASSIGN_OR_RETURN(auto channel, rpc::MakeChannel(options));
  return std::make_unique<GrpcClient>(options.endpoint, std::move(request_id), std::move(sessions),
                                      std::move(channel));
}

}  // namespace nark::keymanager
