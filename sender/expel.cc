#include "sender/expel.h"

#include <cstdio>
#include <map>
#include <memory>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
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

absl::StatusOr<Bytes> ParseTarget(const ExpelSettings& settings) {
  if (settings.member.empty() == settings.group.empty()) {
    return absl::InvalidArgumentError("give either --member or --group");
  }
  const bool is_group = settings.member.empty();
  Bytes target = FromHex(is_group ? settings.group : settings.member);
  if (target.size() < 16 || target.size() > 32) {
    return absl::InvalidArgumentError(
        absl::StrCat(is_group ? "--group" : "--member",
                     ": a secure space's id has 64 hexadecimal digits, a group's 32 to 64"));
  }
  return target;
}

// A sender, by its control service.
class Control {
 public:
  static absl::StatusOr<std::unique_ptr<Control>> Connect(const std::string& address,
                                                          std::chrono::microseconds timeout,
                                                          const ControlRole& role) {
    ASSIGN_OR_RETURN(SecretBytes key, role.control.key.ToPem());
    const rpc::ClientIdentity identity{role.control.certificate.ToPem(), std::move(key)};
    ASSIGN_OR_RETURN(
        auto channel,
        rpc::MakeChannel({.endpoint = address,
                          .tls = rpc::TlsTrust{ToBytes(role.tls_ca.der()), kServerName},
                          .identity = &identity}));
    return std::unique_ptr<Control>(new Control(address, timeout, std::move(channel)));
  }

  template <typename Response, typename Request>
  absl::StatusOr<Response> Call(grpc::Status (v1::SenderControl::Stub::*method)(
                                    grpc::ClientContext*, const Request&, Response*),
                                const Request& request) {
    grpc::ClientContext context;
    rpc::SetTimeout(context, std::chrono::ceil<std::chrono::milliseconds>(timeout_));
    Response response;
    const absl::Status status = rpc::FromGrpc((stub_.get()->*method)(&context, request, &response));
    if (!status.ok()) return MarkRemote(Annotate(status, "sender " + address_));
    return response;
  }

 private:
  Control(std::string address, std::chrono::microseconds timeout,
          std::shared_ptr<grpc::Channel> channel)
      : address_(std::move(address)),
        timeout_(timeout),
        stub_(v1::SenderControl::NewStub(std::move(channel))) {}
  const std::string address_;
  const std::chrono::microseconds timeout_;
  const std::unique_ptr<v1::SenderControl::Stub> stub_;
};

// What to tell people of it.
absl::StatusOr<std::string> GiveOrder(Control& control, v1::ControlAction action,
                                      v1::SignedEnvelope order) {
  if (action == v1::CONTROL_ACTION_WITHDRAW) {
    v1::ReadmitRequest request;
    *request.mutable_order() = std::move(order);
    ASSIGN_OR_RETURN(const v1::ReadmitResponse response,
                     control.Call(&v1::SenderControl::Stub::Readmit, request));
    return absl::StrCat("off the air; who has met an order needs a later voucher; ",
                        response.active_orders(), " orders on the air");
  }
  v1::ExpelRequest request;
  *request.mutable_order() = std::move(order);
  ASSIGN_OR_RETURN(const v1::ExpelResponse response,
                   control.Call(&v1::SenderControl::Stub::Expel, request));
  return absl::StrCat(action == v1::CONTROL_ACTION_STOP ? "ordered to stop" : "ordered to contact",
                      " from about ADU ", response.next_adu_id(), " on; ", response.active_orders(),
                      " orders on the air, all of them in every ",
                      2 * uint64_t{response.round_adus()} - 1, " ADUs");
}

// One order to all senders of a session, so that it is one to secure spaces as well.
class Orders {
 public:
  Orders(const ExpelSettings& settings, Bytes target, const ControlRole& role, Timestamp now)
      : settings_(settings), target_(std::move(target)), role_(role), now_(now) {}

  absl::Status GiveTo(const std::string& address) {
    ASSIGN_OR_RETURN(const std::unique_ptr<Control> control,
                     Control::Connect(address, settings_.timeout, role_));
    ASSIGN_OR_RETURN(const v1::GetStatusResponse status,
                     control->Call(&v1::SenderControl::Stub::GetStatus, v1::GetStatusRequest()));
    const absl::StatusOr<SessionName> session = SessionName::FromProto(status.session());
    if (!session.ok() || session->provider != role_.root.public_key().id()) {
      return MarkRemote(absl::FailedPreconditionError(absl::StrCat(
          "sender ", address, ": it sends for another provider than ", settings_.provider)));
    }
    if (!orders_.contains(*session)) {
      ASSIGN_OR_RETURN(orders_[*session],
                       MakeControlOrder(settings_.action, target_, *session, role_.control, now_));
    }
    ASSIGN_OR_RETURN(const std::string told,
                     GiveOrder(*control, settings_.action, orders_[*session]));
    std::printf("%s in session %s: %s\n", ToHex(target_).c_str(), session->ToString().c_str(),
                told.c_str());
    return absl::OkStatus();
  }

 private:
  const ExpelSettings& settings_;
  const Bytes target_;
  const ControlRole& role_;
  const Timestamp now_;
  std::map<SessionName, v1::SignedEnvelope> orders_;
};

}  // namespace

absl::Status RunExpel(const ExpelSettings& settings, Clock& clock) {
  ASSIGN_OR_RETURN(Bytes target, ParseTarget(settings));
  const Timestamp now = clock.Now();
  ASSIGN_OR_RETURN(const ControlRole role, ReadControlRole(settings.provider, now));
  Orders orders(settings, std::move(target), role, now);
  std::vector<absl::Status> failed;
  for (const std::string& address : settings.controls) {
    absl::Status status = orders.GiveTo(address);
    if (!status.ok()) failed.push_back(std::move(status));
  }
  if (failed.empty()) return absl::OkStatus();
  if (settings.controls.size() == 1) return failed.front();
  std::vector<std::string> lines;
  for (const absl::Status& status : failed) lines.emplace_back(status.message());
  return MarkRemote(
      absl::Status(failed.front().code(),
                   absl::StrCat(failed.size(), " of ", settings.controls.size(),
                                " senders did not take the order: ", absl::StrJoin(lines, "; "))));
}

}  // namespace nark::sender
