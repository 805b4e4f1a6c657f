#include "refunds/service.h"

#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>
#include <stdlib.h>

#include <atomic>
#include <filesystem>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "common/base/status.h"
#include "common/object/envelope.h"
#include "common/object/testing.h"
#include "common/rpc/client.h"
#include "common/rpc/server.h"
#include "common/rpc/status.h"
#include "refunds/sqlite_ledger.h"

namespace nark::refunds {
namespace {

class CountedAnswers final : public DeskObserver {
 public:
  void OnReceipt(v1::RefundStatus) override { ++receipts; }
  void OnRefusal(const absl::Status&) override { ++refusals; }
  std::atomic<int> receipts{0};
  std::atomic<int> refusals{0};
};

class ServiceTest : public testing::Test {
 protected:
  ServiceTest() {
    char pattern[] = "/tmp/nark-service-XXXXXX";
    folder_ = mkdtemp(pattern);
    ledger_ = *OpenSqliteLedger(folder_ + "/ledger.db");
    service_ = std::make_unique<RefundDeskService>(MakeDesk(), answers_);
    const SigningIdentity tls =
        *MakeTlsServer("refunds.nark", provider_.tls_ca, SystemClock().Now());
    rpc::ServerOptions options;
    options.listen = "127.0.0.1:0";
    options.tls =
        rpc::TlsIdentity{.certificates = tls.certificate.ToPem(), .key = *tls.key.ToPem()};
    server_ = *rpc::Server::Start(std::move(options), {service_.get()});
    auto channel =
        rpc::MakeChannel({.endpoint = server_->address(),
                          .tls = rpc::TlsTrust{.ca_certificate = provider_.tls_ca.certificate.der(),
                                               .server_name = "refunds.nark"}});
    stub_ = v1::RefundDesk::NewStub(*channel);
  }
  ~ServiceTest() override {
    server_.reset();
    service_.reset();
    ledger_.reset();
    std::filesystem::remove_all(folder_);
  }

  std::unique_ptr<Desk> MakeDesk() {
    auto key = PrivateKey::FromPkcs8(*provider_.refunds.key.ToPkcs8());
    return *Desk::Create(
        {provider_.root.certificate, {*std::move(key), provider_.refunds.certificate, {}}},
        *Trust::Create({provider_.issuer.certificate}, {}, std::nullopt), clock_, *ledger_);
  }
  // Ten bought and never granted: owed whole.
  v1::SubmitDeliveryNoteRequest Request() {
    VoucherOptions options;
    options.secure_space_id = space_.id;
    options.policy.mutable_range()->set_last(9);
    options.price.emplace();
    options.price->set_amount_minor(1000);
    options.price->set_currency("EUR");
    v1::DeliveryNote note;
    *note.mutable_session() = session_.name().ToProto();
    note.set_terms_identity(ToText(session_.session().terms_identity()));
    note.set_secure_space_id(ToText(space_.id));
    note.set_assurance(v1::ASSURANCE_CLASS_EMULATED);
    *note.add_vouchers()->mutable_voucher() = provider_.MakeVoucher(session_, options);
    note.set_status(v1::NOTE_STATUS_FINAL);
    v1::SubmitDeliveryNoteRequest request;
    v1::NoteFile& file = *request.mutable_note();
    *file.mutable_note() =
        *SignEnvelope(payload_type::kDeliveryNote, Serialise(note), space_.note_key, {});
    file.add_secure_space_certificates(ToText(space_.certificate.der()));
    *file.mutable_session_descriptor() = session_.descriptor();
    return request;
  }
  absl::StatusOr<v1::SubmitDeliveryNoteResponse> Submit(
      const v1::SubmitDeliveryNoteRequest& request) {
    grpc::ClientContext context;
    rpc::SetTimeout(context, std::chrono::seconds(30));
    v1::SubmitDeliveryNoteResponse response;
    const absl::Status status =
        rpc::FromGrpc(stub_->SubmitDeliveryNote(&context, request, &response));
    if (!status.ok()) return status;
    return response;
  }

  std::string folder_;
  TestProvider provider_{SystemClock().Now()};
  SystemClock clock_;
  const TestSession session_ = provider_.MakeSession();
  const TestSecureSpace space_ = provider_.MakeSecureSpace();
  CountedAnswers answers_;
  std::unique_ptr<Ledger> ledger_;
  std::unique_ptr<RefundDeskService> service_;
  std::unique_ptr<rpc::Server> server_;
  std::unique_ptr<v1::RefundDesk::Stub> stub_;
};

TEST_F(ServiceTest, ManySubmittersOfOneNoteGetOneReceipt) {
  constexpr int kSubmitters = 16;
  const v1::SubmitDeliveryNoteRequest request = Request();
  std::vector<std::string> answers(kSubmitters);
  std::vector<std::thread> submitters;
  for (std::string& answer : answers) {
    submitters.emplace_back([&] {
      const auto got = Submit(request);
      ASSERT_TRUE(got.ok()) << got.status();
      answer = Serialise(*got);
    });
  }
  for (std::thread& submitter : submitters) submitter.join();
  for (const std::string& answer : answers) EXPECT_EQ(answer, answers[0]);
  v1::SubmitDeliveryNoteResponse response;
  ASSERT_TRUE(response.ParseFromString(answers[0]));
  ASSERT_EQ(response.receipts_size(), 1);
  const auto receipt = PayloadOf<v1::RefundReceipt>(response.receipts(0), "the receipt");
  EXPECT_EQ(receipt->status(), v1::REFUND_STATUS_PAID);
  EXPECT_EQ(receipt->amount().amount_minor(), 1000u);
  EXPECT_EQ(answers_.receipts, kSubmitters);
  EXPECT_EQ(ledger_->Outbox()->pending, 1u);

  grpc::ClientContext context;
  v1::GetRefundRequest ask;
  ask.set_provider(ToText(provider_.id()));
  ask.set_voucher_id(receipt->voucher_id());
  v1::GetRefundResponse found;
  ASSERT_TRUE(stub_->GetRefund(&context, ask, &found).ok());
  EXPECT_EQ(Serialise(found.receipt()), Serialise(response.receipts(0)));
}

TEST_F(ServiceTest, AnswersWhileItsDeskIsReplaced) {
  const v1::SubmitDeliveryNoteRequest request = Request();
  std::atomic<bool> over = false;
  std::thread submitter([&] {
    for (int i = 0; i < 50; ++i) {
      const auto got = Submit(request);
      EXPECT_TRUE(got.ok()) << got.status();
    }
    over = true;
  });
  while (!over) service_->Replace(MakeDesk());
  submitter.join();
  EXPECT_EQ(answers_.receipts, 50);
}

TEST_F(ServiceTest, RefusesOverTheWireWithTheReason) {
  v1::SubmitDeliveryNoteRequest request = Request();
  request.mutable_note()->mutable_note()->mutable_signature()->front() ^= 1;
  const absl::Status refused = Submit(request).status();
  EXPECT_EQ(refused.code(), absl::StatusCode::kUnauthenticated);
  EXPECT_EQ(ReasonOf(refused), "NOTE_SIGNATURE");
  EXPECT_EQ(answers_.refusals, 1);
  EXPECT_EQ(ledger_->Outbox()->pending, 0u);
}

}  // namespace
}  // namespace nark::refunds
