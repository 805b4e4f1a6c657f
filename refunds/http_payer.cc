#include "refunds/http_payer.h"

#include <utility>

#include "common/base/status.h"

namespace nark::refunds {
namespace {

class HttpPayer final : public Payer {
 public:
  HttpPayer(std::unique_ptr<serve::HttpClient> client, std::chrono::milliseconds longest)
      : client_(std::move(client)), longest_(longest) {}

  absl::Status Pay(const PaymentOrder& order) override {
    return client_->Post(order.json, "application/json",
                         {{"Idempotency-Key", order.idempotency_key}});
  }
  std::chrono::milliseconds longest() const override { return longest_; }
  void Cancel() override { client_->Cancel(); }

 private:
  const std::unique_ptr<serve::HttpClient> client_;
  const std::chrono::milliseconds longest_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<Payer>> MakeHttpPayer(serve::HttpClientOptions options) {
  // To connect, to send, to wait.
  const std::chrono::milliseconds longest = 3 * options.timeout;
  ASSIGN_OR_RETURN(auto client, serve::HttpClient::Create(std::move(options)));
  return std::make_unique<HttpPayer>(std::move(client), longest);
}

}  // namespace nark::refunds
