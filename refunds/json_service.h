#ifndef NARK_REFUNDS_JSON_SERVICE_H_
#define NARK_REFUNDS_JSON_SERVICE_H_

#include <functional>
#include <memory>
#include <string_view>
#include <utility>

#include "absl/status/statusor.h"
#include "common/serve/api_server.h"
#include "refunds/desk.h"

namespace nark::refunds {

// nark.v1.RefundDesk for curl (docs/refunds.md, "Over HTTP"):
//
//   POST /v1/refunds            a note file, as {"note_file": BASE64} with Content-Type
//                               application/json, or as it is with any other
//   GET  /v1/refunds/VOUCHER    what was answered before; VOUCHER in hexadecimal
//
// Thread-safe.
class JsonService {
 public:
  // `desk` is asked for each request, so that it can be exchanged meanwhile.
  JsonService(std::function<std::shared_ptr<Desk>()> desk, DeskObserver& observer)
      : desk_(std::move(desk)), observer_(observer) {}

  // Waits for the ledger.
  serve::ApiAnswer Handle(const serve::ApiRequest& request);

 private:
  absl::StatusOr<serve::ApiAnswer> Submit(const serve::ApiRequest& request);
  absl::StatusOr<serve::ApiAnswer> Find(std::string_view voucher);

  const std::function<std::shared_ptr<Desk>()> desk_;
  DeskObserver& observer_;
};

}  // namespace nark::refunds

#endif  // NARK_REFUNDS_JSON_SERVICE_H_
