#include "receiver/refund.h"

#include <cstdio>
#include <memory>
#include <nlohmann/json.hpp>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/base/bytes.h"
#include "common/base/status.h"
#include "common/object/file.h"
#include "common/object/session.h"
#include "common/rpc/address.h"
#include "common/rpc/client.h"
#include "common/rpc/status.h"
#include "nark/v1/refund_desk.grpc.pb.h"
#include "receiver/refund_answer.h"

namespace nark::receiver {
namespace {

constexpr char kServerName[] = "refunds.nark";
// Of an answer: for each conflict a note comes back.
constexpr size_t kMaxAnswerBytes = 16 << 20;

absl::StatusOr<v1::SubmitDeliveryNoteResponse> Submit(const RefundSettings& settings,
                                                      const std::string& endpoint,
                                                      const v1::NoteFile& note,
                                                      const VerifiedSession& session) {
  rpc::ChannelOptions options;
  options.endpoint = endpoint;
  options.max_message_bytes = kMaxAnswerBytes;
  if (settings.transport == KeyManagerTransport::kTls) {
    options.tls =
        rpc::TlsTrust{ToBytes(AsBytes(session.descriptor().tls_ca_certificate())), kServerName};
  }
  ASSIGN_OR_RETURN(auto channel, rpc::MakeChannel(options));
  const std::unique_ptr<v1::RefundDesk::Stub> stub = v1::RefundDesk::NewStub(channel);
  grpc::ClientContext context;
  rpc::SetTimeout(context, std::chrono::ceil<std::chrono::milliseconds>(settings.timeout));
  v1::SubmitDeliveryNoteRequest request;
  *request.mutable_note() = note;
  v1::SubmitDeliveryNoteResponse response;
  RETURN_IF_ERROR(rpc::FromGrpc(stub->SubmitDeliveryNote(&context, request, &response)));
  return response;
}

void Show(const RefundSummary& answer, RefundSettings::Report report) {
  std::puts(report == RefundSettings::Report::kJson ? answer.ToJson().dump().c_str()
                                                    : answer.ToText().c_str());
}

absl::StatusOr<std::string> EndpointOf(const RefundSettings& settings,
                                       const VerifiedSession& session) {
  if (!settings.refunds.empty()) {
    const absl::Status valid = rpc::ParseAddress(settings.refunds).status();
    return valid.ok() ? absl::StatusOr<std::string>(settings.refunds)
                      : Annotate(valid, "--refunds");
  }
  if (session.descriptor().refund_desks().empty()) {
    return absl::FailedPreconditionError(
        absl::StrCat(settings.note_path, ": its session names no refund desk: give --refunds"));
  }
  return session.descriptor().refund_desks(0);
}

}  // namespace

absl::Status RunRefund(const RefundSettings& settings, Clock& clock) {
  ASSIGN_OR_RETURN(const v1::NarkFile file, ReadNarkFile(settings.note_path, v1::NarkFile::kNote));
  auto session = VerifiedSession::VerifyIssued(file.note().session_descriptor(), clock.Now());
  if (!session.ok()) return Annotate(session.status(), settings.note_path);
  ASSIGN_OR_RETURN(const std::string endpoint, EndpointOf(settings, *session));
  const std::string desk = absl::StrCat("refund desk ", endpoint);

  auto response = Submit(settings, endpoint, file.note(), *session);
  if (!response.ok()) {
    if (!ReasonOf(response.status()).empty()) {
      Show(RefusedSummary(response.status()), settings.report);
    }
    return MarkRemote(Annotate(response.status(), desk));
  }
  auto answer = VerifyRefundAnswer(*response, file.note(), *session, clock.Now());
  if (!answer.ok()) return MarkRemote(Annotate(answer.status(), desk));
  if (!settings.out.empty()) {
    v1::NarkFile kept;
    *kept.mutable_refund()->mutable_receipts() = std::move(*response->mutable_receipts());
    *kept.mutable_refund()->mutable_first_notes() = std::move(*response->mutable_first_notes());
    RETURN_IF_ERROR(WriteNarkFile(settings.out, kept, FileMode::kPublic));
  }
  Show(*answer, settings.report);
  if (answer->status == v1::REFUND_STATUS_PAID) return absl::OkStatus();
  return MarkRemote(absl::FailedPreconditionError(
      absl::StrCat(desk, answer->status == v1::REFUND_STATUS_CONFLICT
                             ? ": another note was submitted before for what this one names"
                             : absl::StrCat(": nothing is owed: ", answer->reason))));
}

}  // namespace nark::receiver
