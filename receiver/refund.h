#ifndef NARK_RECEIVER_REFUND_H_
#define NARK_RECEIVER_REFUND_H_

#include <chrono>
#include <string>

#include "absl/status/status.h"
#include "common/base/clock.h"
#include "receiver/membership.h"

namespace nark::receiver {

// What `nark-receiver refund` was told.
struct RefundSettings {
  std::string note_path;
  std::string refunds;  // HOST:PORT; empty: the first of the note's descriptor
  std::string out;      // where the signed answer goes; empty: nowhere
  enum class Report { kText, kJson } report = Report::kText;
  KeyManagerTransport transport = KeyManagerTransport::kTls;
  std::chrono::microseconds timeout = std::chrono::seconds(10);
};

// Submits a delivery note, verifies the answer under the provider's root, and shows
// it on stdout: also a refusal, as far as the desk gave a reason. IsRemote unless
// something was paid: the desk refused, paid another note, was not reached or lied.
absl::Status RunRefund(const RefundSettings& settings, Clock& clock);

}  // namespace nark::receiver

#endif  // NARK_RECEIVER_REFUND_H_
