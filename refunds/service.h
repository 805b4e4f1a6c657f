#ifndef NARK_REFUNDS_SERVICE_H_
#define NARK_REFUNDS_SERVICE_H_

#include <functional>
#include <memory>
#include <string>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "nark/v1/refund_desk.grpc.pb.h"
#include "refunds/desk.h"

namespace nark::refunds {

// nark.v1.RefundDesk over a Desk, which can be exchanged while calls run: that is
// how lists are reloaded. Thread-safe.
class RefundDeskService final : public v1::RefundDesk::CallbackService {
 public:
  RefundDeskService(std::shared_ptr<Desk> desk, DeskObserver& observer)
      : observer_(observer), desk_(std::move(desk)) {}

  void Replace(std::shared_ptr<Desk> desk);
  std::shared_ptr<Desk> desk() const;

  grpc::ServerUnaryReactor* SubmitDeliveryNote(grpc::CallbackServerContext* context,
                                               const v1::SubmitDeliveryNoteRequest* request,
                                               v1::SubmitDeliveryNoteResponse* response) override;
  grpc::ServerUnaryReactor* GetRefund(grpc::CallbackServerContext* context,
                                      const v1::GetRefundRequest* request,
                                      v1::GetRefundResponse* response) override;

 private:
  DeskObserver& observer_;
  mutable absl::Mutex mutex_;
  std::shared_ptr<Desk> desk_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace nark::refunds

#endif  // NARK_REFUNDS_SERVICE_H_
