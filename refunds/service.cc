#include "refunds/service.h"

#include <utility>

#include "common/rpc/status.h"

namespace nark::refunds {

void RefundDeskService::Replace(std::shared_ptr<Desk> desk) {
  absl::MutexLock lock(&mutex_);
  desk_.swap(desk);
}

std::shared_ptr<Desk> RefundDeskService::desk() const {
  absl::MutexLock lock(&mutex_);
  return desk_;
}

grpc::ServerUnaryReactor* RefundDeskService::SubmitDeliveryNote(
    grpc::CallbackServerContext* context, const v1::SubmitDeliveryNoteRequest* request,
    v1::SubmitDeliveryNoteResponse* response) {
  grpc::ServerUnaryReactor* reactor = context->DefaultReactor();
  // Nobody waits for the answer any more: save the work.
  if (context->IsCancelled()) {
    reactor->Finish(grpc::Status::CANCELLED);
    return reactor;
  }
  const std::shared_ptr<Desk> desk = this->desk();
  desk->Submit(request->note(), [this, desk, reactor, response](auto answer) {
    if (!answer.ok()) {
      observer_.OnRefusal(answer.status());
      reactor->Finish(rpc::ToGrpc(ForCallers(answer.status())));
      return;
    }
    *response = *std::move(answer);
    for (const v1::SignedEnvelope& envelope : response->receipts()) {
      v1::RefundReceipt receipt;
      if (receipt.ParseFromString(envelope.payload())) observer_.OnReceipt(receipt.status());
    }
    reactor->Finish(grpc::Status::OK);
  });
  return reactor;
}

grpc::ServerUnaryReactor* RefundDeskService::GetRefund(grpc::CallbackServerContext* context,
                                                       const v1::GetRefundRequest* request,
                                                       v1::GetRefundResponse* response) {
  grpc::ServerUnaryReactor* reactor = context->DefaultReactor();
  absl::StatusOr<v1::GetRefundResponse> found = desk()->Find(*request);
  if (found.ok()) {
    *response = *std::move(found);
  } else {
    observer_.OnRefusal(found.status());
  }
  reactor->Finish(rpc::ToGrpc(ForCallers(found.status())));
  return reactor;
}

}  // namespace nark::refunds
