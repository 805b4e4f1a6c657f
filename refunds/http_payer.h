#ifndef NARK_REFUNDS_HTTP_PAYER_H_
#define NARK_REFUNDS_HTTP_PAYER_H_

#include <memory>

#include "absl/status/statusor.h"
#include "common/serve/http_client.h"
#include "refunds/payout.h"

namespace nark::refunds {

// POSTs each order as JSON, with its key in the header Idempotency-Key; an answer of
// 2xx says that the order was taken for good. INVALID_ARGUMENT as HttpClient.
absl::StatusOr<std::unique_ptr<Payer>> MakeHttpPayer(serve::HttpClientOptions options);

}  // namespace nark::refunds

#endif  // NARK_REFUNDS_HTTP_PAYER_H_
