#include "sender/service.h"

#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>

#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "common/base/status.h"
#include "common/object/testing.h"
#include "common/rpc/client.h"
#include "common/rpc/status.h"
#include "sender/control_server.h"
#include "sender/testing.h"

namespace nark::sender {
namespace {

class ServiceTest : public testing::Test {
 protected:
  ServiceTest() {
    auto opened = OrderBook::Open({.session = sender_.session,
                                   .sender_id = 1,
                                   .storage = storage_,
                                   .name = "orders",
                                   .random = random_});
    book_ = *std::move(opened);
    auto server = ControlServer::Start("127.0.0.1:0", sender_, *book_, position_, clock_);
    EXPECT_TRUE(server.ok()) << server.status();
    server_ = *std::move(server);
  }

  static SessionOptions Controlled() {
    SessionOptions options;
    for (auto& sender : options.senders) sender.set_may_control(true);
    return options;
  }
  // What a caller is told that shows this certificate, or none.
  absl::StatusOr<v1::GetStatusResponse> Ask(const SigningIdentity* caller) {
    std::optional<rpc::ClientIdentity> identity;
    if (caller != nullptr) identity = {caller->certificate.ToPem(), *caller->key.ToPem()};
    auto channel =
        rpc::MakeChannel({.endpoint = server_->address(),
                          .tls = rpc::TlsTrust{.ca_certificate = provider_.tls_ca.certificate.der(),
                                               .server_name = "sender.nark"},
                          .identity = identity ? &*identity : nullptr});
    EXPECT_TRUE(channel.ok()) << channel.status();
    stub_ = v1::SenderControl::NewStub(*channel);
    grpc::ClientContext context;
    rpc::SetTimeout(context, std::chrono::seconds(30));
    v1::GetStatusResponse response;
    const absl::Status status =
        rpc::FromGrpc(stub_->GetStatus(&context, v1::GetStatusRequest(), &response));
    if (!status.ok()) return status;
    return response;
  }

  TestProvider provider_{SystemClock().Now()};
  SystemClock clock_;
  const TestSession session_ = provider_.MakeSession(Controlled());
  const OpenedSenderFile sender_ = *OpenSenderFile(session_.sender_files.at(1), clock_.Now());
  MemoryStorage storage_;
  SeededRandom random_{1};
  Position position_;
  std::unique_ptr<OrderBook> book_;
  std::unique_ptr<ControlServer> server_;
  std::unique_ptr<v1::SenderControl::Stub> stub_;
};

TEST_F(ServiceTest, TellsTheControlRoleWhereItStands) {
  position_.next_adu_id = 7;
  position_.adus_sent = 3;
  const auto status = Ask(&provider_.control);
  ASSERT_TRUE(status.ok()) << status.status();
  EXPECT_EQ(status->next_adu_id(), 7u);
  EXPECT_EQ(status->adus_sent(), 3u);
  EXPECT_EQ(status->active_orders(), 0u);
  EXPECT_EQ(*SessionName::FromProto(status->session()), session_.name());
}

TEST_F(ServiceTest, TalksToNobodyElse) {
  TestProvider stranger{SystemClock().Now()};
  for (const SigningIdentity* caller :
       {&provider_.till, &provider_.descriptor_role, &provider_.root, &stranger.control}) {
    const absl::Status refused = Ask(caller).status();
    EXPECT_EQ(refused.code(), absl::StatusCode::kPermissionDenied) << refused;
    EXPECT_EQ(ReasonOf(refused), "NOT_CONTROL_ROLE");
  }
  // Without a certificate there is no connection.
  EXPECT_EQ(Ask(nullptr).status().code(), absl::StatusCode::kUnavailable);
}

// An order is the provider's by its own signature as well, whoever carries it.
TEST_F(ServiceTest, PutsAnOrderOnTheAirForTheControlRoleOnly) {
  const Bytes member(32, 5);
  v1::ExpelRequest request;
  *request.mutable_order() = *MakeControlOrder(v1::CONTROL_ACTION_STOP, member, session_.name(),
                                               provider_.control, clock_.Now());
  v1::ExpelResponse response;
  position_.next_adu_id = 41;
  const auto expel = [&](const SigningIdentity& caller) {
    (void)Ask(&caller);
    grpc::ClientContext context;
    rpc::SetTimeout(context, std::chrono::seconds(30));
    return rpc::FromGrpc(stub_->Expel(&context, request, &response));
  };
  EXPECT_EQ(ReasonOf(expel(provider_.till)), "NOT_CONTROL_ROLE");
  EXPECT_EQ(book_->active(), 0u);
  EXPECT_TRUE(expel(provider_.control).ok());
  EXPECT_EQ(book_->active(), 1u);
  EXPECT_EQ(response.active_orders(), 1u);
  EXPECT_EQ(response.round_adus(), 1u);
  EXPECT_EQ(response.next_adu_id(), 41u);
  request.mutable_order()->mutable_signature()->front() ^= 1;
  EXPECT_EQ(ReasonOf(expel(provider_.control)), "ORDER_SIGNATURE");

  v1::ReadmitRequest withdrawal;
  *withdrawal.mutable_order() = *MakeControlOrder(v1::CONTROL_ACTION_WITHDRAW, member,
                                                  session_.name(), provider_.control, clock_.Now());
  const auto readmit = [&](const SigningIdentity& caller) {
    (void)Ask(&caller);
    grpc::ClientContext context;
    rpc::SetTimeout(context, std::chrono::seconds(30));
    v1::ReadmitResponse response;
    return rpc::FromGrpc(stub_->Readmit(&context, withdrawal, &response));
  };
  EXPECT_EQ(ReasonOf(readmit(provider_.till)), "NOT_CONTROL_ROLE");
  EXPECT_EQ(book_->active(), 1u);
  EXPECT_TRUE(readmit(provider_.control).ok());
  EXPECT_EQ(book_->active(), 0u);
}

}  // namespace
}  // namespace nark::sender
