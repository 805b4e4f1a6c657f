#include "securespace/remote.h"

#include <grpcpp/client_context.h>

#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/base/status.h"
#include "common/rpc/client.h"
#include "common/rpc/status.h"
#include "nark/v1/secure_space.grpc.pb.h"
#include "securespace/service.h"
#include "securespace/socket_path.h"

namespace nark::securespace {
namespace {

class RemoteSpace final : public SecureSpace {
 public:
  RemoteSpace(std::string name, ShortSocketPath path, std::shared_ptr<grpc::Channel> channel,
              std::chrono::milliseconds timeout)
      : name_(std::move(name)),
        path_(std::move(path)),
        stub_(v1::SecureSpace::NewStub(channel)),
        timeout_(timeout) {}

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
  absl::StatusOr<std::vector<KeyDecision>> ReleaseKeys(const ReleaseRequest& request) override;
  absl::StatusOr<std::vector<OpenDecision>> OpenAdus(const OpenRequest& request) override;
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
    rpc::SetTimeout(context, timeout_);
    Response response;
    absl::Status status = rpc::FromGrpc((stub_.get()->*method)(&context, request, &response));
    if (!status.ok()) return Annotate(status, absl::StrCat("secure space ", name_));
    return response;
  }
  // A secure space that answers anything but one decision an item.
  absl::Status Confused() const {
    return absl::InternalError(
        absl::StrCat("secure space ", name_, ": it answered another list than the one asked"));
  }

  const std::string name_;
  const ShortSocketPath path_;  // the channel connects through it
  const std::unique_ptr<v1::SecureSpace::Stub> stub_;
  const std::chrono::milliseconds timeout_;
};

absl::StatusOr<std::vector<KeyDecision>> RemoteSpace::ReleaseKeys(const ReleaseRequest& request) {
  v1::ReleaseKeysRequest message;
  *message.mutable_session() = request.session.ToProto();
  message.set_sub_session(request.sub_session);
  for (ByteView header : request.headers) message.add_headers(ToText(header));
  ASSIGN_OR_RETURN(v1::ReleaseKeysResponse response,
                   Call<v1::ReleaseKeysResponse>(&v1::SecureSpace::Stub::ReleaseKeys, message));
  if (response.keys_size() != message.headers_size()) return Confused();
  std::vector<KeyDecision> decisions;
  for (v1::ReleasedKey& key : *response.mutable_keys()) {
    decisions.push_back({key.refusal(), SecretBytes::CopyOf(AsBytes(key.data_key()))});
    std::string& copy = *key.mutable_data_key();
    Wipe({reinterpret_cast<uint8_t*>(copy.data()), copy.size()});
  }
  return decisions;
}

absl::StatusOr<std::vector<OpenDecision>> RemoteSpace::OpenAdus(const OpenRequest& request) {
  v1::OpenAdusRequest message;
  *message.mutable_session() = request.session.ToProto();
  message.set_sub_session(request.sub_session);
  for (const SealedAdu& adu : request.adus) {
    v1::SealedAdu& sealed = *message.add_adus();
    sealed.set_header(ToText(adu.header));
    sealed.set_ciphertext(ToText(adu.ciphertext));
  }
  ASSIGN_OR_RETURN(v1::OpenAdusResponse response,
                   Call<v1::OpenAdusResponse>(&v1::SecureSpace::Stub::OpenAdus, message));
  if (response.adus_size() != message.adus_size()) return Confused();
  std::vector<OpenDecision> decisions;
  for (const v1::OpenedAdu& adu : response.adus()) {
    decisions.push_back({adu.refusal(), ToBytes(AsBytes(adu.plaintext()))});
  }
  return decisions;
}

}  // namespace

absl::StatusOr<std::unique_ptr<SecureSpace>> ConnectSecureSpace(const std::string& socket_path,
                                                                std::chrono::milliseconds timeout) {
  ASSIGN_OR_RETURN(ShortSocketPath path, ShortSocketPath::For(socket_path));
  rpc::ChannelOptions options;
  options.endpoint = "unix:" + path.path();
  options.max_message_bytes = kMaxSocketMessageBytes;
  ASSIGN_OR_RETURN(std::shared_ptr<grpc::Channel> channel, rpc::MakeChannel(options));
  return std::make_unique<RemoteSpace>(socket_path, std::move(path), std::move(channel), timeout);
}

}  // namespace nark::securespace
