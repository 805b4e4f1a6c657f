#ifndef NARK_SENDER_SERVICE_H_
#define NARK_SENDER_SERVICE_H_

#include <atomic>
#include <cstdint>

#include "common/base/clock.h"
#include "common/object/session.h"
#include "nark/v1/sender_control.grpc.pb.h"
#include "sender/order_book.h"

namespace nark::sender {

// Where a sender stands, for who asks from another thread.
struct Position {
  uint32_t sub_session = 0;  // set before anybody asks
  std::atomic<uint64_t> next_adu_id{0};
  std::atomic<uint64_t> adus_sent{0};
};

// nark.v1.SenderControl over an order book, for callers whose TLS certificate is the
// control role's of the session's provider (PERMISSION_DENIED, reason
// NOT_CONTROL_ROLE, for everybody else). Thread-safe.
class SenderControlService final : public v1::SenderControl::CallbackService {
 public:
  // All must outlive it.
  SenderControlService(const VerifiedSession& session, OrderBook& book, const Position& position,
                       Clock& clock)
      : session_(session), book_(book), position_(position), clock_(clock) {}

  grpc::ServerUnaryReactor* Expel(grpc::CallbackServerContext* context,
                                  const v1::ExpelRequest* request,
                                  v1::ExpelResponse* response) override;
  grpc::ServerUnaryReactor* Readmit(grpc::CallbackServerContext* context,
                                    const v1::ReadmitRequest* request,
                                    v1::ReadmitResponse* response) override;
  grpc::ServerUnaryReactor* GetStatus(grpc::CallbackServerContext* context,
                                      const v1::GetStatusRequest* request,
                                      v1::GetStatusResponse* response) override;

 private:
  absl::Status CheckCaller(const grpc::CallbackServerContext& context) const;

  const VerifiedSession& session_;
  OrderBook& book_;
  const Position& position_;
  Clock& clock_;
};

}  // namespace nark::sender

#endif  // NARK_SENDER_SERVICE_H_
