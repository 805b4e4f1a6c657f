#include "sender/expel.h"

#include <cstdio>
#include <memory>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/base/bytes.h"
#include "common/base/status.h"
#include "common/object/control_order.h"
#include "common/object/identity_files.h"
#include "common/rpc/client.h"
#include "common/rpc/status.h"
#include "nark/v1/sender_control.grpc.pb.h"

namespace nark::sender {
namespace {

constexpr char kServerName[] = "sender.nark";

// Of a provider's folder what an order needs.
struct ControlRole {
  Certificate root;
  SigningIdentity control;
  Certificate tls_ca;
};

absl::StatusOr<ControlRole> ReadControlRole(const std::string& folder, Timestamp now) {
  ASSIGN_OR_RETURN(Certificate root,
                   ReadRoot(folder + "/root.pem", CertificateRole::kProviderRoot));
  const std::string certificate = folder + "/control/certificate.pem";
  ASSIGN_OR_RETURN(SigningIdentity control, ReadIdentity(certificate, folder + "/control/key.pem"));
  absl::Status chain =
      VerifyChain({control.certificate}, root, {.at = now, .leaf_role = CertificateRole::kControl})
          .status();
  if (!chain.ok()) return Annotate(chain, certificate);
  ASSIGN_OR_RETURN(Certificate tls_ca,
                   ReadRoot(folder + "/tls/certificate.pem", CertificateRole::kTlsCa));
  return ControlRole{std::move(root), std::move(control), std::move(tls_ca)};
}

absl::StatusOr<Bytes> ParseMember(const std::string& text) {
  Bytes member = FromHex(text);
  if (member.size() < 16 || member.size() > 32) {
    return absl::InvalidArgumentError(
        "--member: a secure space's id has 64 hexadecimal digits, a group's 32 to 64");
  }
  return member;
}

// A sender, by its control service.
class Control {
 public:
  static absl::StatusOr<std::unique_ptr<Control>> Connect(const ExpelSettings& settings,
                                                          const ControlRole& role) {
    ASSIGN_OR_RETURN(SecretBytes key, role.control.key.ToPem());
    const rpc::ClientIdentity identity{role.control.certificate.ToPem(), std::move(key)};
    ASSIGN_OR_RETURN(
        auto channel,
        rpc::MakeChannel({.endpoint = settings.control,
                          .tls = rpc::TlsTrust{ToBytes(role.tls_ca.der()), kServerName},
                          .identity = &identity}));
    return std::unique_ptr<Control>(new Control(settings, std::move(channel)));
  }

  template <typename Response, typename Request>
  absl::StatusOr<Response> Call(grpc::Status (v1::SenderControl::Stub::*method)(
                                    grpc::ClientContext*, const Request&, Response*),
                                const Request& request) {
    grpc::ClientContext context;
    rpc::SetTimeout(context, std::chrono::ceil<std::chrono::milliseconds>(settings_.timeout));
    Response response;
    const absl::Status status = rpc::FromGrpc((stub_.get()->*method)(&context, request, &response));
    if (!status.ok()) return MarkRemote(Annotate(status, "sender " + settings_.control));
    return response;
  }

 private:
  Control(const ExpelSettings& settings, std::shared_ptr<grpc::Channel> channel)
      : settings_(settings), stub_(v1::SenderControl::NewStub(std::move(channel))) {}
  const ExpelSettings& settings_;
  const std::unique_ptr<v1::SenderControl::Stub> stub_;
};

absl::StatusOr<uint32_t> GiveOrder(Control& control, v1::ControlAction action,
                                   v1::SignedEnvelope order) {
  if (action == v1::CONTROL_ACTION_WITHDRAW) {
    v1::ReadmitRequest request;
    *request.mutable_order() = std::move(order);
    ASSIGN_OR_RETURN(const v1::ReadmitResponse response,
                     control.Call(&v1::SenderControl::Stub::Readmit, request));
    return response.active_orders();
  }
  v1::ExpelRequest request;
  *request.mutable_order() = std::move(order);
  ASSIGN_OR_RETURN(const v1::ExpelResponse response,
                   control.Call(&v1::SenderControl::Stub::Expel, request));
  return response.active_orders();
}

}  // namespace

absl::Status RunExpel(const ExpelSettings& settings, Clock& clock) {
  ASSIGN_OR_RETURN(const Bytes member, ParseMember(settings.member));
  ASSIGN_OR_RETURN(const ControlRole role, ReadControlRole(settings.provider, clock.Now()));
  ASSIGN_OR_RETURN(const std::unique_ptr<Control> control, Control::Connect(settings, role));
  ASSIGN_OR_RETURN(const v1::GetStatusResponse status,
                   control->Call(&v1::SenderControl::Stub::GetStatus, v1::GetStatusRequest()));
  const absl::StatusOr<SessionName> session = SessionName::FromProto(status.session());
  if (!session.ok() || session->provider != role.root.public_key().id()) {
    return MarkRemote(absl::FailedPreconditionError(absl::StrCat(
        "sender ", settings.control, ": it sends for another provider than ", settings.provider)));
  }
  ASSIGN_OR_RETURN(v1::SignedEnvelope order,
                   MakeControlOrder(settings.action, member, *session, role.control, clock.Now()));
  ASSIGN_OR_RETURN(const uint32_t active, GiveOrder(*control, settings.action, std::move(order)));
  const char* const what = settings.action == v1::CONTROL_ACTION_WITHDRAW
                               ? "off the air; who has met an order needs a later voucher"
                           : settings.action == v1::CONTROL_ACTION_STOP ? "ordered to stop"
                                                                        : "ordered to contact";
  std::printf("%s in session %s: %s; %u orders on the air\n", ToHex(member).c_str(),
              session->ToString().c_str(), what, active);
  return absl::OkStatus();
}

}  // namespace nark::sender
